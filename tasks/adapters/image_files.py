"""An image as rules see it: its configuration, its layers, its files. Nothing of it is ever started."""

import contextlib
import os
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from tasks.adapters.engine import Engine
from tasks.adapters.engine_access import PULL_SECONDS, READ_SECONDS, REMOVE_SECONDS, explained
from tasks.adapters.process import CommandFailed, piped, run
from tasks.core.errors import OnevmError
from tasks.core.lint.inventory import MOST_BYTES, File, Image, Inventory, Layer

LOOK_LABEL = "dev.onevm.look"


def look(engine: Engine, reference: str) -> Image | None:
    """Return an image that the engine has; None if it does not have it.

    Raises:
        OnevmError: the engine does not answer, or what it gives is no image.
    """
    said = engine.image(reference)
    if said is None:
        return None
    configured: Mapping[str, Any] = said.get("Config") or {}
    return Image(
        reference=reference,
        size=int(said.get("Size") or 0),
        layers=tuple(Layer(size, _instruction(by)) for size, by in engine.layers(reference) if size),
        user=configured.get("User") or "",
        env=dict(pair.partition("=")[::2] for pair in configured.get("Env") or ()),
        folder=configured.get("WorkingDir") or "/",
        inventory=inventory(engine, reference),
        has_health_check=(configured.get("Healthcheck") or {}).get("Test") not in (None, [], ["NONE"]),
    )


def inventory(engine: Engine, reference: str) -> Inventory:
    """Return the files of an image, with the contents of those that rules read.

    Raises:
        OnevmError: the engine gives no readable stream.
    """
    found = Inventory()
    try:
        with _stream(engine, reference) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                _take(found, tar, member)
                tar.members = []  # type: ignore[attr-defined] # it remembers all, for nothing
    except tarfile.TarError as error:
        raise OnevmError(f"the files of {reference} cannot be read", detail=str(error)) from None
    return found


@contextlib.contextmanager
def _stream(engine: Engine, reference: str) -> Iterator[IO[bytes]]:
    """Give the files of an image as a tar stream. A container is made for it, and never started."""
    docker = ["docker", *(["-H", engine.socket] if engine.socket else [])]
    try:
        _sweep(docker)
        # Without a command of its own an image needs one to make a container; it is never run.
        args = ["--pull", "never", "--network", "none", "--entrypoint", "/"]
        args += ["--label", f"{LOOK_LABEL}={os.uname().nodename}/{os.getpid()}"]
        made = run([*docker, "create", *args, reference], timeout=PULL_SECONDS).stdout.strip()
        try:
            with piped([*docker, "export", made], timeout=PULL_SECONDS) as stream:
                yield stream
        finally:
            run([*docker, "rm", "--force", "--volumes", made], timeout=REMOVE_SECONDS, check=False)
    except CommandFailed as failed:
        raise explained(failed) from None


def _sweep(docker: Sequence[str]) -> None:
    """Remove the containers of looks that were killed on this machine."""
    form = f'{{{{.ID}}}} {{{{.Label "{LOOK_LABEL}"}}}}'
    args = ["ps", "--all", "--filter", f"label={LOOK_LABEL}", "--filter", "status=created", "--format", form]
    listed = run([*docker, *args], timeout=READ_SECONDS).stdout
    rows = [line.replace("/", " ").split() for line in listed.splitlines()]
    here = [(row[0], row[2]) for row in rows if row[1:2] == [os.uname().nodename]]
    gone = [identity for identity, process in here if not Path("/proc", process).exists()]
    if gone and Path("/proc/self").exists():
        run([*docker, "rm", "--force", "--volumes", *gone], timeout=REMOVE_SECONDS, check=False)


def _take(found: Inventory, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
    path = member.name.removeprefix("./").strip("/")
    if not path:
        return
    link = member.linkname if member.issym() else f"/{member.linkname}" if member.islnk() else ""
    found.files[path] = File(member.size, link, bool(member.mode & 0o111), member.isdir())
    if member.isreg() and member.size <= MOST_BYTES and found.wants(path) and (file := tar.extractfile(member)):
        found.texts[path] = file.read().decode(errors="replace")


def _instruction(by: str) -> str:
    """Return what made a layer as a Dockerfile says it."""
    text = (
        by.removesuffix(" # buildkit").removeprefix("/bin/sh -c #(nop) ").replace("RUN /bin/sh -c ", "RUN ", 1).strip()
    )
    if text.startswith("RUN |"):
        # `|2 A=x B=y /bin/sh -c …`: build args, which may be secrets.
        found = re.search(r"/\S*sh(?: -\S+)* -\w*c (.*)", text, re.DOTALL)
        text = f"RUN {found[1] if found else '…'}"
    return re.sub(r"://[^/\s@]*@", "://***@", " ".join(text.split()))[:120]
