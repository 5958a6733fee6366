"""A stack of many services, each with many files, whose images are there: on the engine, and in the registry.

Some of the services may run: then all are built on the lab's smallest base image.
"""

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
from pathlib import Path
from typing import Any

import requests

from scripts.benchmarks.image import BUSYBOX, BUSYBOX_TAG, LAYER, OF_NOTHING, of_busybox
from scripts.benchmarks.measure import CLONE, doit
from tasks.adapters import shares
from tasks.core.images import key_tag
from tasks.core.manifest import MANIFEST_TYPES

# More services than this are not built but loaded: a bake of a thousand targets takes the better part of an hour.
MOST_BUILT = 100
_PER_FOLDER = 10
_THREADS = 8
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
        running: how many of them run once they are deployed; the others have no container.
        load: whether the images are loaded instead of built, however few they are.
    """

    folder: Path
    name: str
    registry: str
    services: int
    files: int
    running: int = 0
    load: bool = False

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
        return self.load or self.services > MOST_BUILT

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

    def commit(self, number: int) -> None:
        """Change one file of the first service, and commit that."""
        self.change(number)
        _git(self.checkout, "commit", "-q", "-a", "-m", f"Change {number}")

    def keep(self, releases: int) -> None:
        """Write services.toml, with so many releases that the host keeps."""
        (self.folder / "services.toml").write_text(
            f'[registry]\nurl = "{self.registry}/{self.name}"\n'
            f'[hosts.here]\naddress = "local"\nroot = "{self.folder / "root"}"\nkeep_releases = {releases}\n'
            f'[stacks.{self.name}]\npath = "checkout"\nhost = "here"\n'
        )

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
        base = of_busybox(self.registry) if self.running else OF_NOTHING

        def put(some: list[tuple[str, str]]) -> None:
            with requests.Session() as session:
                for name, key in some:
                    base.put(session, self._api(name), key, [key_tag(key), sha, "latest"])

        keys = list(self._keys().items())
        shares.ask(put, [keys[number::_THREADS] for number in range(_THREADS)], threads=_THREADS)

    def _keys(self) -> dict[str, str]:
        from doit.doit_cmd import reset_vars

        from tasks.core import config
        from tasks.core.contents import ReadEveryTime
        from tasks.steps.inputs import Sources
        from tasks.steps.project import load

        reset_vars()  # as if doit had started: no `name=value` on its command line
        project = load(config.load(self.folder / "services.toml", os.environ), self.folder / ".onevm")
        definitions = {definition.service: definition for definition in project.built().values()}
        sources = Sources(project.stacks[self.name], definitions, ReadEveryTime())
        return {name: sources.keyed(name).key for name in self.names}

    def _api(self, service: str) -> str:
        return f"http://{self.registry}/v2/{self.name}/{self.name}-{service}"

    def forget(self) -> None:
        """Take away containers, networks and images, from the engine and the registry."""
        own = f"label=com.docker.compose.project={self.name}"
        if containers := docker("ps", "--all", "--quiet", "--filter", own).split():
            docker("rm", "--force", *containers)
        if networks := docker("network", "ls", "--quiet", "--filter", own).split():
            docker("network", "rm", *networks)
        listed = docker("image", "ls", "--no-trunc", "--format", "{{.ID}} {{.Repository}}").splitlines()
        mine = f"{self.registry}/{self.name}/"
        ids = sorted({line.split()[0] for line in listed if line.split()[1].startswith(mine)})
        for start in range(0, len(ids), 200):
            docker("image", "rm", "--force", *ids[start : start + 200], check=False)

        def delete(some: list[str]) -> None:
            with requests.Session() as session:
                for name in some:
                    _delete_all(session, self._api(name))

        shares.ask(delete, [self.names[number::_THREADS] for number in range(_THREADS)], threads=_THREADS)


@contextmanager
def many(services: int, files: int, *, running: int = 0, load: bool = False) -> Iterator[Many]:
    """Give a stack, and take away all of it in the end; see `Many` for the arguments."""
    name = f"scale{uuid.uuid4().hex[:8]}"
    registry = os.environ.get("ONEVM_LAB_REGISTRY", "127.0.0.1:5055")
    folder = Path(tempfile.mkdtemp(prefix="onevm-scale-"))
    stack = Many(
        folder=folder, name=name, registry=registry, services=services, files=files, running=running, load=load
    )
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
    base = f"{stack.registry}/{BUSYBOX}:{BUSYBOX_TAG}" if stack.running else "scratch"
    for name in stack.names:
        folder = stack.checkout / name
        folder.mkdir(parents=True)
        # The stack's name is in every context: no other stack's image will do.
        (folder / "Dockerfile").write_text(f"FROM {base}\nLABEL stack={stack.name}.{name}\nCOPY . /srv/\n")
        for number in range(stack.files - 1):
            below = folder / f"part{number // _PER_FOLDER}"
            below.mkdir(exist_ok=True)
            (below / f"file{number}.txt").write_text(f"{stack.name} {name} {number}\n" * 5)
    compose = {"services": {name: _service(name, number < stack.running) for number, name in enumerate(stack.names)}}
    (stack.checkout / "compose.yaml").write_text(json.dumps(compose, indent=1))
    stack.keep(5)
    for words in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-q", "-m", f"Open {stack.name}")):
        _git(stack.checkout, *words)


def _service(name: str, runs: bool) -> dict[str, Any]:
    if not runs:
        return {"build": f"./{name}", "command": ["/none"], "scale": 0}
    return {
        "build": f"./{name}",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep 1000000 & wait"],
        "healthcheck": {"test": ["CMD", "true"], "interval": "60s", "start_period": "20s", "start_interval": "200ms"},
        "mem_limit": "32m",
    }


def _git(checkout: Path, *words: str) -> str:
    # Nothing shall go on in the background that writes where all is about to be deleted.
    command = ["git", "-C", str(checkout), "-c", "gc.auto=0", "-c", "maintenance.auto=false", *words]
    return subprocess.run(command, env=os.environ | _WHO, check=True, capture_output=True, text=True).stdout.strip()


def _archive(stack: Many, keys: Mapping[str, str]) -> bytes:
    """Return what `docker save` would have written of one image per service."""
    entries: dict[str, bytes] = {"layer.tar": LAYER}
    manifest = []
    for name, key in keys.items():
        entries[f"{key}.json"] = OF_NOTHING.config_of(key)
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


def _delete_all(session: requests.Session, api: str) -> None:
    accept = {"Accept": ", ".join(MANIFEST_TYPES)}
    listed = session.get(f"{api}/tags/list", timeout=30)
    names = (listed.json().get("tags") or []) if listed.ok else []
    found = [session.head(f"{api}/manifests/{name}", headers=accept, timeout=30) for name in names]
    for digest in {answer.headers["Docker-Content-Digest"] for answer in found if answer.ok}:
        session.delete(f"{api}/manifests/{digest}", timeout=30).raise_for_status()
