"""What stands in files: their hashes, and the errors of reading them."""

import hashlib
import os
from collections.abc import Sequence
from typing import Protocol

from tasks.core.context import Entry, unreadable

_CHUNK = 1 << 20


class ContentHashes(Protocol):
    """Something that knows, or finds out, the hashes of files."""

    def sha256(self, entries: Sequence[Entry]) -> list[str]:
        """Return the hex sha256 of each entry's content, in order.

        Args:
            entries: of the kind `file` only.

        Raises:
            OnevmError: if a file is gone or cannot be read; it names the file.
        """
        ...


class ReadEveryTime:
    """Hashes by reading, and remembers nothing."""

    def sha256(self, entries: Sequence[Entry]) -> list[str]:
        """See `ContentHashes`."""
        return [sha256_of(entry.location)[0] for entry in entries]


def sha256_of(location: str) -> tuple[str, os.stat_result | None]:
    """Read a file and return the hex sha256 of its content, and its status if it did not change meanwhile.

    Raises:
        OnevmError: if it is gone or cannot be read; it names the file.
    """
    digest = hashlib.sha256()
    try:
        with open(location, "rb", buffering=0) as file:  # noqa: PTH123 (a hundred thousand of them)
            before = os.fstat(file.fileno())
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise unreadable(location, error) from error
    same = (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_size,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
    return digest.hexdigest(), after if same else None
