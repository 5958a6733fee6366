"""What files an image has: read once, as they come, and asked by rules."""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple

from msgspec import Struct, field

_MOST_LINKS = 40
_READ = re.compile(
    r"(?:^|/)(?:package-lock\.json|npm-shrinkwrap\.json|\.package-lock\.json|pnpm-lock\.yaml|yarn\.lock|poetry\.lock|uv\.lock"
    r"|pdm\.lock|Pipfile\.lock|requirements[\w./-]*\.txt|[\w-]*requirements\.txt|RECORD)$"
)
_PACKAGE = re.compile(r"(?:^|/)package\.json$")
MOST_BYTES = 32 * 1024 * 1024


class File(NamedTuple):
    """A file, directory or link: its size in bytes, where a link points, whether it may be run."""

    size: int
    link: str
    executable: bool
    directory: bool


class Inventory(Struct, kw_only=True):
    """The files of an image by path, without a leading slash; `texts` are the contents of those that rules read."""

    files: dict[str, File] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def is_lock(path: str) -> bool:
        """Whether a file says which packages are for development: a lock file does."""
        return _READ.search(path) is not None and not path.endswith(("/RECORD", "/requirements.txt"))

    @staticmethod
    def wants(path: str) -> bool:
        """Whether the content of a file is needed: lists of packages are."""
        if _PACKAGE.search(path):
            return "node_modules/" not in path
        return _READ.search(path) is not None and (not path.endswith("RECORD") or ".dist-info/" in path)

    def resolved(self, path: str) -> str | None:
        """Return the path of a file after all links, None if it is not there."""
        parts = [part for part in path.split("/") if part and part != "."]
        inside: list[str] = []
        links = 0
        while parts:
            part = parts.pop(0)
            if part == "..":
                inside[-1:] = []
                continue
            here = "/".join([*inside, part])
            found = self.files.get(here)
            if found is None or links > _MOST_LINKS:
                return None
            if found.link:
                links += 1
                target = [p for p in found.link.split("/") if p and p != "."]
                if found.link.startswith("/"):
                    inside = []
                parts = target + parts
            else:
                inside.append(part)
        return "/".join(inside)

    def program(self, name: str, path: str, folder: str = "/") -> str | None:
        """Return where a program is, after all links; None if the image does not have it.

        Args:
            name: as it is written: a name, an absolute path, or one relative to `folder`.
            path: the image's PATH.
            folder: its working directory.
        """
        places = [str(PurePosixPath(folder, name))] if "/" in name else [f"{place}/{name}" for place in path.split(":")]
        for place in places:
            found = self.resolved(place)
            if found and self.files[found].executable and not self.files[found].directory:
                return found
        return None

    def below(self, folder: str) -> int:
        """Return the bytes of all files below a folder; 0 if it is not there."""
        return sum(size for _, size in self._below(folder))

    def count(self, folder: str) -> int:
        """Return how many files with something in them are below a folder."""
        return sum(size > 0 for _, size in self._below(folder))

    def _below(self, folder: str) -> Iterator[tuple[str, int]]:
        start = folder.strip("/") + "/"
        return ((path, file.size) for path, file in self.files.items() if path.startswith(start) and not file.directory)


class Layer(NamedTuple):
    """One layer of an image: its size in bytes, and the instruction that made it."""

    size: int
    by: str


class Image(Struct, frozen=True, kw_only=True):
    """An image of a service, as the engine and its own files describe it.

    Attributes:
        reference: its name on the engine.
        size: bytes.
        layers: the last one first, those that add nothing left out.
        user: who its process is; empty for root.
        env: its environment.
        folder: its working directory.
        inventory: its files.
        has_health_check: whether it brings one.
    """

    reference: str
    size: int
    layers: tuple[Layer, ...] = ()
    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    inventory: Inventory = field(default_factory=Inventory)
    has_health_check: bool = False

    def program(self, name: str, path: str = "") -> str | None:
        """Return where a program is, after all links; None if the image does not have it."""
        search = path or self.env.get("PATH") or "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return self.inventory.program(name, search, self.folder)
