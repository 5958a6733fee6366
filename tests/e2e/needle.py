"""A secret that is looked for in every form in which it may have been kept."""

import base64
import ctypes
import gzip
import os
import uuid
import zlib
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Needle:
    """A string that is nowhere else.

    Attributes:
        text: the string.
        forms: its bytes as they are, as UTF-16, and as they look in the base64 of anything that contains them.
    """

    text: str = field(default_factory=lambda: f"s3cret-{uuid.uuid4().hex}")
    forms: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        plain = self.text.encode()
        # Three bytes are four letters, and a letter at the edge is also a neighbour's.
        shifted = (base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4] for shift in range(3))
        object.__setattr__(self, "forms", (plain, self.text.encode("utf-16-le"), *shifted))

    def is_in(self, content: bytes) -> bool:
        return any(form in content for form in self.forms)

    def in_lines(self, lines: Iterable[str]) -> list[str]:
        return [line for line in lines if self.is_in(line.encode())]

    def bcrypt(self) -> str:
        """Return the hash that a registry's htpasswd file wants; only libcrypt can make one everywhere."""
        crypt = ctypes.CDLL("libcrypt.so.1").crypt
        crypt.restype = ctypes.c_char_p
        hashed: bytes = crypt(self.text.encode(), b"$2b$05$" + uuid.uuid4().hex[:22].encode())
        return hashed.decode()


def files_with(needle: Needle, folder: Path, *, but: Collection[Path] = (), since: float = 0) -> list[Path]:
    """Return the files below a folder that have a needle in them, packed or not.

    Args:
        needle: the needle.
        folder: where to look.
        but: folders to leave out.
        since: leave out what was not changed after this time, of whole folders only those right in `folder`.
    """
    found = []
    for top, folders, names in os.walk(folder):
        here = [Path(top, name) for name in folders]
        folders[:] = [p.name for p in here if p not in but and (top != str(folder) or _changed(p, since))]
        for path in (Path(top, name) for name in names):
            if not path.is_symlink() and path.is_file() and _changed(path, since) and _has(needle, path):
                found.append(path)
    return sorted(found)


# What vanishes meanwhile, as much of a running machine does, has nothing in it.


def _changed(path: Path, since: float) -> bool:
    with suppress(OSError):
        return path.lstat().st_ctime >= since
    return False


def _has(needle: Needle, path: Path) -> bool:
    with suppress(OSError, EOFError, zlib.error):  # whatever only begins like something packed was looked at bare
        content = path.read_bytes()
        return needle.is_in(content) or (content.startswith(GZIP) and needle.is_in(gzip.decompress(content)))
    return False
