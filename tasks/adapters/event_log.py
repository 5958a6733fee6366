"""The log of what this clone's runs did: JSON lines, appended whole, bounded. It may be deleted at any time.

docs/report.md has the schema. Several runs may write at once; one that is killed may leave half a line.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MOST_BYTES = 2_000_000


def append(path: Path, events: list[Mapping[str, Any]], most_bytes: int = MOST_BYTES) -> None:
    """Append events; beyond `most_bytes` the older half goes.

    Raises:
        OSError: the file cannot be written.
    """
    with _opened(path) as descriptor:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        lines = "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events)
        data = (b"\n" if torn else b"") + lines.encode()
        os.write(descriptor, data)
        if end + len(data) > most_bytes:
            _shorten(path, most_bytes // 2)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open the file for one writer; another one may have put a shorter one in its place meanwhile."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                yield descriptor
                return
        except FileNotFoundError:
            continue
        finally:
            os.close(descriptor)


def _shorten(path: Path, size: int) -> None:
    kept = path.read_bytes()[-size:].partition(b"\n")[2]
    beside = path.with_name(f".{path.name}.new")
    beside.write_bytes(kept)
    beside.replace(path)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the events, oldest first; a line that is no event, such as half of one, is left out."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except OSError:
        return []
    found = []
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("schema") == 1:
            found.append(event)
    return found
