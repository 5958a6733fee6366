"""The lock of a stack on a VM: held by a process there whose life hangs on ours.

It holds a kernel lock (flock) and reads a heartbeat through the SSH connection. When we end, or are cut off, the
heartbeat stops and the lock is free within `LEASE_SECONDS`. A step that we left running holds `lock.steps`, which the
next owner waits for. So it can never go stale, and nobody ever unlocks by hand.
"""

import base64
import contextlib
import json
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath

from tasks.adapters import gauge
from tasks.adapters.gauge import Gauge, Told
from tasks.adapters.lock import sentence
from tasks.adapters.process import Running, ended
from tasks.adapters.ssh import Ssh
from tasks.adapters.ssh_line import CONNECT_SECONDS
from tasks.core.errors import OnevmError

BEAT_SECONDS = 1.0
LEASE_SECONDS = 20

_HOLD = f"""set -u; umask 022
{gauge.SHELL}
mkdir -p "$1" || exit 1; cd "$1" || exit 1
exec 9>>lock || exit 1
beat() {{ [ -n "$(timeout {LEASE_SECONDS} head -c 1)" ]; }}
told=
until flock -n 9; do
  [ -n "$told" ] || {{ printf 'HELD %s\\n' "$(head -n 1 lock)"; told=1; }}
  beat || exit 0
done
exec 8>>lock.steps
until flock -n 8; do
  [ "$told" = 2 ] || {{ echo STEPS; told=2; }}
  beat || exit 0
done
exec 8>&-
printf '%s\\n' "$2" > lock
printf 'TAKEN %s\\n' "$(sh -c "$3" sh "$1" 9>&- | base64 | tr -d '\\n')"; gauge
while beat; do gauge; done
: > lock
"""


@contextmanager
def held(
    ssh: Ssh,
    folder: PurePosixPath,
    holder: Mapping[str, str],
    first: str,
    *,
    wait_seconds: float,
    waiting: Callable[[str], None],
) -> Iterator[tuple[Gauge, str]]:
    """Hold the lock of a stack's folder on a VM; what holds it tells meanwhile what the VM has left.

    Yields that, and what a script said under the lock: so the first question costs no time of its own.

    Args:
        ssh: the connection.
        folder: the stack's folder.
        holder: who we are: `performer`, `since`, `doing`.
        first: the script, of POSIX sh; it gets the folder and says something.
        wait_seconds: how long to wait for another holder; 0 fails at once.
        waiting: called once with a sentence on who holds it.

    Raises:
        OnevmError: somebody else held it all the time, or the folder cannot be used.
    """
    token = uuid.uuid4().hex
    command = ["sh", "-c", _HOLD, "sh", str(folder), json.dumps({**holder, "token": token}), first]
    session_until = time.monotonic() + CONNECT_SECONDS
    while True:
        with ssh.line.for_a_lock(command) as child, _beating(child):
            said = _take(child, folder.name, wait_seconds, waiting)
            if said is not None and ssh.line.leaves_room(child):
                ssh.held, ssh.keeper = (str(folder / "lock"), token), child
                try:
                    yield Told(child), said
                finally:
                    ssh.held = ssh.keeper = None
                return
        if not ssh.line.wait_for_fewer_locks() and time.monotonic() > session_until:
            raise ssh.line.no_session(CONNECT_SECONDS)


@contextmanager
def _beating(child: Running) -> Iterator[None]:
    stop = threading.Event()
    beating = threading.Thread(target=_beat, args=(child, stop), daemon=True)
    beating.start()
    try:
        yield
    finally:
        stop.set()
        beating.join()


def _beat(child: Running, stop: threading.Event) -> None:
    with contextlib.suppress(OSError, ValueError):
        while not stop.wait(BEAT_SECONDS) and child.stdin:
            child.stdin.write(b".")
            child.stdin.flush()


def _take(child: Running, stack: str, wait_seconds: float, waiting: Callable[[str], None]) -> str | None:
    """Wait for the lock; returns what the script said, or None if there was no session to wait in."""
    deadline = time.monotonic() + wait_seconds
    who = "another run is at it"
    # Only ended: its pipes are read here, and closed by who started it.
    giving_up = threading.Timer(max(wait_seconds, 0.5), child.cut, (signal.SIGTERM,))
    giving_up.daemon = True
    try:
        for raw in child.stdout or ():
            word, _, text = raw.decode(errors="replace").strip().partition(" ")
            if not raw.endswith(b"\n"):
                break  # the connection broke in the middle of it
            if word == "TAKEN" and not text:
                raise OnevmError(
                    f"what stack {stack} has on record on the host cannot be read",
                    next_step="see that `base64` works there, and the owner and mode of the host's `root` folder",
                )
            if word == "TAKEN":
                return base64.b64decode(text).decode(errors="replace")
            who = sentence(text) if word == "HELD" else "a step that another run left is still under way"
            if time.monotonic() >= deadline:
                break
            if not giving_up.is_alive():
                giving_up.start()
            waiting(f"waiting: {who}")
    finally:
        giving_up.cancel()
    words = child.stderr.read().decode(errors="replace").strip() if child.stderr and ended(child, 1.0) else ""
    if child.refusal:
        return None
    if words:
        raise OnevmError(
            f"the lock of stack {stack} on the host cannot be taken",
            detail=words,
            next_step="see the owner and mode of the host's `root` folder",
        )
    raise OnevmError(
        f"stack {stack} is locked: {who}",
        next_step="wait for it (lock_wait=SECONDS), it is released by itself when the other ends",
    )
