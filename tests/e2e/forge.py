"""Images made by hand in a registry: of a size, with a label, and without a build."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import requests

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Forge:
    """Makes images in a registry, and takes them away again.

    Attributes:
        registry: its host, reachable from here.
        repository: where the images go.
    """

    registry: str
    repository: str
    made: list[str] = field(default_factory=list)

    def image(self, size: int, labels: dict[str, str] | None = None, base: str = "") -> str:
        """Make an image of about `size` bytes like no other; its digest.

        Args:
            size: bytes of its own layer, which cannot be compressed.
            labels: its labels.
            base: `repository@digest` or `repository:tag` in the same registry that it starts from.
        """
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as tar:
            entry = tarfile.TarInfo(f"payload{size}")
            entry.size = size
            tar.addfile(entry, io.BytesIO(os.urandom(size)))
        layer = gzip.compress(content.getvalue(), compresslevel=0)
        image, layers = self._base(base)
        image["config"] = {**image.get("config", {}), "Labels": labels or {}}
        image["rootfs"]["diff_ids"].append(_digest(content.getvalue()))
        image.pop("history", None)
        config = json.dumps(image).encode()
        for blob in (layer, config):
            self._blob(blob)
        own = {"mediaType": LAYER, "size": len(layer), "digest": _digest(layer)}
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {"mediaType": CONFIG, "size": len(config), "digest": _digest(config)},
                "layers": [*layers, own],
            }
        ).encode()
        digest = _digest(manifest)
        address = f"http://{self.registry}/v2/{self.repository}/manifests/{digest}"
        requests.put(address, manifest, headers={"Content-Type": MANIFEST}, timeout=30).raise_for_status()
        self.made.append(digest)
        return digest

    def _base(self, base: str) -> tuple[Any, list[Any]]:
        """Return the configuration and the layers of an image, which are here too afterwards."""
        empty = {"architecture": "amd64", "os": "linux", "created": "2026-01-02T03:04:05Z"}
        if not base:
            return {**empty, "rootfs": {"type": "layers", "diff_ids": []}}, []
        repository, reference = base.split("@") if "@" in base else base.split(":")
        there = f"http://{self.registry}/v2/{repository}"
        found = requests.get(f"{there}/manifests/{reference}", headers={"Accept": MANIFEST}, timeout=30).json()
        for layer in found["layers"]:
            query = {"mount": layer["digest"], "from": repository}
            uploads = f"http://{self.registry}/v2/{self.repository}/blobs/uploads/"
            assert requests.post(uploads, params=query, timeout=30).status_code == HTTPStatus.CREATED
        config = requests.get(f"{there}/blobs/{found['config']['digest']}", timeout=30).json()
        return config, found["layers"]

    def _blob(self, data: bytes) -> None:
        begun = requests.post(f"http://{self.registry}/v2/{self.repository}/blobs/uploads/", timeout=30)
        begun.raise_for_status()
        where = begun.headers["Location"]
        between = "&" if "?" in where else "?"
        headers = {"Content-Type": "application/octet-stream"}
        requests.put(f"{where}{between}digest={_digest(data)}", data, headers=headers, timeout=60).raise_for_status()

    def close(self) -> None:
        """Take away what was made."""
        for digest in self.made:
            requests.delete(f"http://{self.registry}/v2/{self.repository}/manifests/{digest}", timeout=30)
