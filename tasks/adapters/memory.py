"""Remembers between runs what followed from something.

So the files of unchanged services need not be looked at one by one for their content keys, and Compose need not be
asked for a plan that was empty. Each answer is remembered under a stamp, made of everything that it follows from.
Whatever is wrong with the file (gone, damaged, read-only) costs time, never a wrong answer.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from tasks.adapters.closing import Closing


class Memory(Closing):
    """What was learnt, kept in one file. It is read when the first is asked for, written when closed.

    Args:
        path: the file; it and its folder are made when needed, and it may be deleted at any time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[str]] | None = None
        self._learnt: dict[str, list[str]] = {}

    def recall(self, name: str, stamp: str) -> str | None:
        """Return what was learnt of a name, None if nothing is known under this stamp.

        Args:
            name: what it is about, for example `<stack>.<service>`.
            stamp: a text that is another whenever the answer may be.
        """
        if self._known is None:
            self._known = self._read()
        known, text = self._known.get(name, ("", ""))
        return text if known == stamp else None

    def learn(self, name: str, stamp: str, text: str) -> None:
        """Remember something from the next run on."""
        self._learnt[name] = [stamp, text]

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
