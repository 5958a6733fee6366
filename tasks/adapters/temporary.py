"""Private folders of one run, which go away with it. What a killed run left is removed by the next."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "onevm-run-"
_LOCK = "owner.lock"
_ABANDONED_SECONDS = 3600


@contextlib.contextmanager
def folder(kind: str, place: str | None = None) -> Iterator[Path]:
    """Give a folder of mode 0700, locked as long as this process lives.

    Args:
        kind: a word for its name.
        place: where; None for the usual one.
    """
    # It gets its name when it is locked; a killed process leaves nothing but an empty folder before that.
    bare = Path(tempfile.mkdtemp(prefix=f".{PREFIX}{kind}-", dir=place))
    found = bare.with_name(bare.name.removeprefix("."))
    lock = os.open(bare / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        bare.rename(found)
        yield found
    finally:
        shutil.rmtree(found if found.exists() else bare, ignore_errors=True)
        os.close(lock)


def sweep(place: str | None = None) -> None:
    """Remove the private folders of runs that are gone. Their lock went with them, whatever killed them.

    Args:
        place: where to look; None for the usual one.
    """
    where = Path(place or tempfile.gettempdir())
    for path in (*where.glob(f"{PREFIX}*"), *where.glob(f".{PREFIX}*")):
        with contextlib.suppress(OSError):
            found = path.lstat()
            if path.is_symlink() or found.st_uid != os.getuid():
                continue
            if _is_abandoned(path, found.st_mtime):
                shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path, changed: float) -> bool:
    if path.name.startswith("."):
        # Nothing is in it yet; its owner may be about to lock it.
        return time.time() - changed > _ABANDONED_SECONDS
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
