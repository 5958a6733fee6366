"""A stack of many services, each with many files, whose images are there: on the engine, and in the registry."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests

from scripts.benchmarks.measure import CLONE, doit
from tasks.core.images import CONTENT_KEY_LABEL, key_tag

# More services than this are not built but loaded: a bake of a thousand targets takes the better part of an hour.
MOST_BUILT = 100
_PER_FOLDER = 10
_OCI = "application/vnd.oci.image"
_WHO = {f"GIT_{role}_{what}": "bench@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True, kw_only=True, slots=True)
class Many:
    """The stack.

    Attributes:
        folder: services.toml and everything else of it.
        name: the stack's name, found nowhere else on this machine.
        registry: host of the registry.
        services: how many services.
        files: files of each, the Dockerfile included.
    """

    folder: Path
    name: str
    registry: str
    services: int
    files: int

    @property
    def checkout(self) -> Path:
        """The git work tree."""
        return self.folder / "checkout"

    @property
    def config(self) -> str:
        """The variable that names services.toml."""
        return f"config={self.folder / 'services.toml'}"

    @property
    def names(self) -> list[str]:
        """The services."""
        return [f"s{number:04}" for number in range(self.services)]

    @property
    def loaded(self) -> bool:
        """Whether the images are loaded instead of built."""
        return self.services > MOST_BUILT

    def doit(self, *words: str) -> tuple[str, ...]:
        """Return the command `doit WORDS` for this stack."""
        return doit(*words, self.config)

    def run(self, *words: str) -> None:
        """Run `doit WORDS` to its end; what it says is shown only if it fails."""
        done = subprocess.run(self.doit(*words), cwd=CLONE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(
                f"doit {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"[-4000:]
            )

    def change(self, number: int) -> None:
        """Change one file of the first service."""
        (self.checkout / self.names[0] / "part0" / "file0.txt").write_text(f"{number}\n")

    def on_the_engine(self) -> None:
        """See that the engine has every image and that `doit build` has recorded it."""
        if self.loaded:
            docker("load", "--quiet", stdin=_archive(self, self._keys()))
        self.run("build")

    def in_the_registry(self) -> None:
        """See that the registry has every image under its key's and its commit's tags."""
        if not self.loaded:
            self.run("push")
            return
        sha = _git(self.checkout, "rev-parse", "HEAD")
        with requests.Session() as session:
            for name, key in self._keys().items():
                _put_image(session, self._api(name), key, [key_tag(key), sha, "latest"])

    def _keys(self) -> dict[str, str]:
        from doit.doit_cmd import reset_vars

        from tasks.core.contents import ReadEveryTime
        from tasks.steps.inputs import Sources
        from tasks.steps.project import load

        reset_vars()  # as if doit had started: no `name=value` on its command line
        project = load(self.folder / "services.toml", self.folder / ".onevm")
        definitions = {definition.service: definition for definition in project.built().values()}
        sources = Sources(project.stacks[self.name], definitions, ReadEveryTime())
        return {name: sources.keyed(name).key for name in self.names}

    def _api(self, service: str) -> str:
        return f"http://{self.registry}/v2/{self.name}/{self.name}-{service}"

    def forget(self) -> None:
        """Take the images away, from the engine and the registry."""
        reference = f"reference={self.registry}/{self.name}/*"
        names = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", reference).split()
        for start in range(0, len(names), 200):
            docker("image", "rm", "--force", *names[start : start + 200], check=False)
        with requests.Session() as session:
            for name in self.names:
                _delete_all(session, self._api(name))


@contextmanager
def many(services: int, files: int) -> Iterator[Many]:
    """Give a stack, and take away all of it in the end."""
    name = f"scale{uuid.uuid4().hex[:8]}"
    registry = os.environ.get("ONEVM_LAB_REGISTRY", "127.0.0.1:5055")
    folder = Path(tempfile.mkdtemp(prefix="onevm-scale-"))
    stack = Many(folder=folder, name=name, registry=registry, services=services, files=files)
    try:
        _write(stack)
        yield stack
    finally:
        stack.forget()
        shutil.rmtree(folder, ignore_errors=True)


def docker(*args: str, stdin: bytes | None = None, check: bool = True) -> str:
    """Run `docker ARGS`; what it says."""
    done = subprocess.run(["docker", *args], input=stdin, capture_output=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"docker {' '.join(args[:3])} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return done.stdout.decode()


def _write(stack: Many) -> None:
    for name in stack.names:
        folder = stack.checkout / name
        folder.mkdir(parents=True)
        # The stack's name is in every context: no other stack's image will do.
        (folder / "Dockerfile").write_text(f"FROM scratch\nLABEL stack={stack.name}.{name}\nCOPY . /\n")
        for number in range(stack.files - 1):
            below = folder / f"part{number // _PER_FOLDER}"
            below.mkdir(exist_ok=True)
            (below / f"file{number}.txt").write_text(f"{stack.name} {name} {number}\n" * 5)
    compose = {"services": {name: {"build": f"./{name}", "command": ["/none"]} for name in stack.names}}
    (stack.checkout / "compose.yaml").write_text(json.dumps(compose, indent=1))
    (stack.folder / "services.toml").write_text(
        f'[registry]\nurl = "{stack.registry}/{stack.name}"\n'
        f'[hosts.here]\naddress = "local"\nroot = "{stack.folder / "root"}"\n'
        f'[stacks.{stack.name}]\npath = "checkout"\nhost = "here"\n'
    )
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", f"Open {stack.name}")):
        _git(stack.checkout, *words)


def _git(checkout: Path, *words: str) -> str:
    command = ["git", "-C", str(checkout), *words]
    return subprocess.run(command, env=os.environ | _WHO, check=True, capture_output=True, text=True).stdout.strip()


def _layer() -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("file"))
    return layer.getvalue()


def _config(key: str, layer: bytes) -> bytes:
    created = datetime.now(UTC).isoformat()
    diff = "sha256:" + hashlib.sha256(layer).hexdigest()
    return json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": created,
            "config": {"Labels": {CONTENT_KEY_LABEL: key}},
            "rootfs": {"type": "layers", "diff_ids": [diff]},
            "history": [{"created": created}],
        }
    ).encode()


def _archive(stack: Many, keys: Mapping[str, str]) -> bytes:
    """Return what `docker save` would have written of one image per service."""
    layer = _layer()
    entries: dict[str, bytes] = {"layer.tar": layer}
    manifest = []
    for name, key in keys.items():
        entries[f"{key}.json"] = _config(key, layer)
        tag = f"{stack.registry}/{stack.name}/{stack.name}-{name}:{key_tag(key)}"
        manifest.append({"Config": f"{key}.json", "RepoTags": [tag], "Layers": ["layer.tar"]})
    entries["manifest.json"] = json.dumps(manifest).encode()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for path, content in entries.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def _put_image(session: requests.Session, api: str, key: str, tags: list[str]) -> None:
    layer = _layer()
    blobs = {"config": (_config(key, layer), f"{_OCI}.config.v1+json"), "layer": (layer, f"{_OCI}.layer.v1.tar")}
    descriptors: dict[str, dict[str, Any]] = {}
    for what, (content, kind) in blobs.items():
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        descriptors[what] = {"mediaType": kind, "digest": digest, "size": len(content)}
        started = session.post(f"{api}/blobs/uploads/", timeout=30)
        started.raise_for_status()
        where = started.headers["Location"]
        joint = "&" if "?" in where else "?"
        session.put(f"{where}{joint}digest={digest}", data=content, timeout=30).raise_for_status()
    kind = f"{_OCI}.manifest.v1+json"
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": descriptors["config"],
        "layers": [descriptors["layer"]],
    }
    for tag in tags:
        sent = session.put(
            f"{api}/manifests/{tag}", data=json.dumps(manifest), headers={"Content-Type": kind}, timeout=30
        )
        sent.raise_for_status()


def _delete_all(session: requests.Session, api: str) -> None:
    accept = {
        "Accept": f"{_OCI}.manifest.v1+json, {_OCI}.index.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    }
    listed = session.get(f"{api}/tags/list", timeout=30)
    names = (listed.json().get("tags") or []) if listed.ok else []
    found = [session.head(f"{api}/manifests/{name}", headers=accept, timeout=30) for name in names]
    for digest in {answer.headers["Docker-Content-Digest"] for answer in found if answer.ok}:
        session.delete(f"{api}/manifests/{digest}", timeout=30).raise_for_status()
