"""At most one deploy, rollback or prune per stack on a host.

A kernel lock (flock) on `<root>/<stack>/lock`: it is held as long as its owner, or a step that the owner
started and that must be finished, is alive. So it can never go stale, and nobody ever unlocks by hand.
The file's text says who holds it; it is information only.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.adapters.process import go_on
from tasks.adapters.transport import Local
from tasks.core.errors import OnevmError

RETRY_SECONDS = 0.2


@contextmanager
def held(
    path: Path,
    holder: Mapping[str, str],
    *,
    wait_seconds: float,
    waiting: Callable[[str], None],
    transport: Local | None = None,
    what: str = "",
) -> Iterator[None]:
    """Hold the lock.

    Args:
        path: the lock file.
        holder: who we are: `performer`, `since`, `doing`.
        wait_seconds: how long to wait for another holder; 0 fails at once.
        waiting: called once with a sentence on who holds it.
        what: what is locked, for messages; else the stack whose folder it is.
        transport: gets the lock's descriptor, so that steps that outlive us keep it.

    Raises:
        OnevmError: somebody else held it all the time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    # A step's shell that inherits it uses the numbers below ten for itself.
    descriptor = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(opened)
    try:
        deadline = time.monotonic() + wait_seconds
        told = False
        while not _take(descriptor):
            go_on()
            who = _holder(descriptor)
            if time.monotonic() >= deadline:
                raise OnevmError(
                    f"{what or f'stack {path.parent.name}'} is locked: {who}",
                    next_step="wait for it (lock_wait=SECONDS), it is released by itself when the other ends",
                )
            if not told:
                waiting(f"waiting: {who}")
                told = True
            time.sleep(RETRY_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(dict(holder)).encode(), 0)
        if transport:
            transport.held.append(descriptor)
        interrupted = False
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            # A step may go on without us and keep the lock: whoever waits shall know whose it is.
            interrupted = True
            raise
        finally:
            if transport:
                transport.held.remove(descriptor)
            if not interrupted:
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    return sentence(os.pread(descriptor, 4096, 0).decode(errors="replace"))


def sentence(text: str) -> str:
    """Return who holds a lock, from the lock file's text."""
    try:
        holder = json.loads(text)
        return f"{holder['performer']} has been at it since {holder['since']} ({holder['doing']})"
    except (ValueError, KeyError, TypeError):
        return "another run is at it"
