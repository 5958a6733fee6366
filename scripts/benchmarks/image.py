"""Images that are put into a registry without being built: one small layer, or the lab's smallest base image."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from tasks.core.images import CONTENT_KEY_LABEL
from tasks.core.manifest import MANIFEST_TYPES

BUSYBOX = "base/busybox"
BUSYBOX_TAG = "1"
_OCI = "application/vnd.oci.image"
_SECONDS = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What images are made of: all but the label with their content key.

    Attributes:
        config: the configuration.
        kind: the manifest's media type.
        config_kind: the configuration's.
        layers: the layers' descriptors.
        content: bytes of layers by digest; where there are none, the registry has them in another repository.
        repository: that repository.
    """

    config: Mapping[str, Any]
    kind: str
    config_kind: str
    layers: Sequence[Mapping[str, Any]]
    content: Mapping[str, bytes]
    repository: str = ""

    def config_of(self, key: str) -> bytes:
        """Return the configuration of the image with a content key."""
        runs = dict(self.config.get("config") or {})
        labels = {**(runs.get("Labels") or {}), CONTENT_KEY_LABEL: key}
        return json.dumps({**self.config, "config": {**runs, "Labels": labels}}).encode()

    def put(self, session: requests.Session, api: str, key: str, tags: Sequence[str]) -> None:
        """Put the image with a content key into a repository, under some tags.

        Args:
            session: for the requests.
            api: the repository's address.
            key: the content key.
            tags: the tags.
        """
        for layer in self.layers:
            digest = str(layer["digest"])
            if digest in self.content:
                _put_blob(session, api, self.content[digest])
            else:
                where = f"{api}/blobs/uploads/?mount={digest}&from={self.repository}"
                session.post(where, timeout=_SECONDS).raise_for_status()
        config = self.config_of(key)
        described = {"mediaType": self.config_kind, "digest": _put_blob(session, api, config), "size": len(config)}
        manifest = {
            "schemaVersion": 2,
            "mediaType": self.kind,
            "config": described,
            "layers": list(map(dict, self.layers)),
        }
        data, headers = json.dumps(manifest), {"Content-Type": self.kind}
        for tag in tags:
            session.put(f"{api}/manifests/{tag}", data=data, headers=headers, timeout=_SECONDS).raise_for_status()


def of_busybox(registry: str) -> Base:
    """Return the lab's smallest base image, which can run."""
    api = f"http://{registry}/v2/{BUSYBOX}"
    manifest = _got(f"{api}/manifests/{BUSYBOX_TAG}")
    if "manifests" in manifest:
        manifest = _got(f"{api}/manifests/{manifest['manifests'][0]['digest']}")
    return Base(
        config=_got(f"{api}/blobs/{manifest['config']['digest']}"),
        kind=manifest["mediaType"],
        config_kind=manifest["config"]["mediaType"],
        layers=manifest["layers"],
        content={},
        repository=BUSYBOX,
    )


def _got(url: str) -> dict[str, Any]:
    answer = requests.get(url, headers={"Accept": ", ".join([*MANIFEST_TYPES, "*/*"])}, timeout=_SECONDS)
    answer.raise_for_status()
    return dict(answer.json())


def _put_blob(session: requests.Session, api: str, content: bytes) -> str:
    digest = _digest(content)
    started = session.post(f"{api}/blobs/uploads/", timeout=_SECONDS)
    started.raise_for_status()
    where = started.headers["Location"]
    joint = "&" if "?" in where else "?"
    session.put(f"{where}{joint}digest={digest}", data=content, timeout=_SECONDS).raise_for_status()
    return digest


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _layer() -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
    return layer.getvalue()


LAYER = _layer()
_CREATED = datetime.now(UTC).isoformat()
OF_NOTHING = Base(
    config={
        "architecture": "amd64",
        "os": "linux",
        "created": _CREATED,
        "rootfs": {"type": "layers", "diff_ids": [_digest(LAYER)]},
        "history": [{"created": _CREATED}],
    },
    kind=f"{_OCI}.manifest.v1+json",
    config_kind=f"{_OCI}.config.v1+json",
    layers=({"mediaType": f"{_OCI}.layer.v1.tar", "digest": _digest(LAYER), "size": len(LAYER)},),
    content={_digest(LAYER): LAYER},
)
