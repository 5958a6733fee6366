"""The release that a deploy would make: its files as bytes, and the image of every active service."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from tasks.adapters.release_folder import Executable
from tasks.core.compose import ComposeProject
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.core.release import Release, ReleasedService
from tasks.core.rollout import UPSTREAMS


class Candidate(Struct, frozen=True, kw_only=True):
    """What is to be released.

    Attributes:
        sha: the commit.
        dirty: whether uncommitted changes are in it.
        services: the pins of all active services; a service that is still to be built is missing.
        compose: the Compose files in order, relative to the checkout.
        contents: Compose files and travelling files, relative path -> bytes.
        files: the travelling files, relative path -> sha256.
        recorded: whether it is a release that was recorded.
    """

    sha: str
    dirty: bool
    services: Mapping[str, ReleasedService]
    compose: tuple[str, ...]
    contents: Mapping[str, bytes]
    files: Mapping[str, str]
    recorded: bool = False

    def hashes(self) -> dict[str, str]:
        """Return sha256 by Compose file."""
        return {name: hashlib.sha256(self.contents[name]).hexdigest() for name in self.compose}

    def pins(self) -> dict[str, str]:
        """Return image by service."""
        return {name: service.image for name, service in self.services.items()}

    def matches(self, release: Release) -> bool:
        """Whether a release is this very thing."""
        mine = (self.sha, self.dirty, dict(self.services), self.hashes(), dict(self.files))
        return mine == (release.sha, release.dirty, release.services, release.compose, release.files)


def read_files(stack: Stack) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return a checkout's Compose and travelling files as bytes, and the sha256 of the travelling ones.

    Raises:
        OnevmError: a file cannot be read.
    """
    contents: dict[str, bytes] = {}
    travelling: dict[str, str] = {}
    for name in stack.compose:
        contents[name] = _read(stack, stack.path / name)
    for entry in stack.files:
        top = stack.path / entry
        paths = sorted(p for p in top.rglob("*") if p.is_file()) if top.is_dir() else [top]
        for path in paths:
            name = path.relative_to(stack.path).as_posix()
            if name.startswith(f"{UPSTREAMS}/"):
                # The host's are Onevm's own; what stands in the checkout is for Compose without Onevm.
                continue
            contents[name] = _read(stack, path)
            travelling[name] = hashlib.sha256(contents[name]).hexdigest()
    return contents, travelling


def _read(stack: Stack, path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return Executable(content) if path.stat().st_mode & 0o100 else content
    except OSError as error:
        raise OnevmError(
            f"stack {stack.name}: {path} cannot be read: {error.strerror}",
            next_step=f"mend it, or stacks.{stack.name}.files in services.toml",
        ) from None


def missing_files(stack: Stack, project: ComposeProject) -> list[tuple[str, str]]:
    """Return (service, path) of files of the checkout that are mounted and neither travel nor are on the host.

    A relative mount is looked for below the project folder on the host, so a file of the checkout that does not
    travel would be an empty folder there.
    """
    travelling = [stack.path / entry for entry in (*stack.files, UPSTREAMS)]
    found = []
    for service in project.active().values():
        for volume in service.definition.get("volumes") or ():
            source = Path(volume.get("source") or "/")
            if volume.get("type") != "bind" or not source.is_relative_to(stack.path) or not source.exists():
                continue
            if not any(source == t or source.is_relative_to(t) for t in travelling):
                found.append((service.name, source.relative_to(stack.path).as_posix()))
    return found
