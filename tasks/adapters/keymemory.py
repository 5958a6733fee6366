"""Remembers content keys between runs, so that the files of unchanged services need not be looked at one by one.

A key is remembered under everything that it follows from: what `lstat` says of each input, what is asked for, and
the keys of the images it starts from. Whatever is wrong with the file (gone, damaged, read-only) costs time, never a
wrong key.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


class KeyMemory:
    """The content keys of services, kept in one file. It is read when the first is asked for, written when closed.

    Args:
        path: the file; it and its folder are made when needed, and it may be deleted at any time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[str]] | None = None
        self._learnt: dict[str, list[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def recall(self, name: str, stamp: str) -> str | None:
        """Return the key of a service, None if it is not known under this stamp.

        Args:
            name: `<stack>.<service>`.
            stamp: a text that is another whenever the key may be.
        """
        if self._known is None:
            self._known = self._read()
        known, key = self._known.get(name, ("", ""))
        return key if known == stamp else None

    def learn(self, name: str, stamp: str, key: str) -> None:
        """Remember a key from the next run on."""
        self._learnt[name] = [stamp, key]

    def close(self) -> None:
        """Write what was learnt."""
        if not self._learnt:
            return
        body = json.dumps(self._read() | self._learnt)
        self._learnt = {}
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(prefix=self._path.name, dir=self._path.parent)
            try:
                with open(number, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
                    file.write(f"{_sum(body)}\n{body}")
                os.replace(name, self._path)  # noqa: PTH105 - beside the descriptor
            except OSError:
                os.unlink(name)  # noqa: PTH108 - likewise
                raise

    def _read(self) -> dict[str, list[str]]:
        try:
            check, _, body = self._path.read_text(encoding="ascii").partition("\n")
        except (OSError, ValueError):
            return {}
        known: dict[str, list[str]] = json.loads(body) if check == _sum(body) else {}
        return known


def _sum(body: str) -> str:
    return hashlib.blake2b(body.encode("ascii"), digest_size=16).hexdigest()
