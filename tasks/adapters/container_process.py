"""The first process of a running container, as its host's kernel shows it. Nothing is started in the container."""

import re

from msgspec import Struct

from tasks.adapters.transport import Transport
from tasks.core.lint.listening import Listener, listeners

READ_SECONDS = 20
# Without IPv6 there is no tcp6.
_LOOK = 'cat "/proc/$1/status" "/proc/$1/net/tcp" && { cat "/proc/$1/net/tcp6" 2>/dev/null || true; }'
_USER = re.compile(r"^Uid:\s+(\d+)", re.MULTILINE)


class Process(Struct, frozen=True, kw_only=True):
    """A process: its user's number on the host, and where its network namespace listens."""

    user: int
    listening: frozenset[Listener]


def look(transport: Transport, process: int) -> Process | None:
    """Return what the kernel says; None if the host cannot tell (its engine lives on another kernel, say).

    Args:
        transport: the way to the host.
        process: the container's first process, as the host counts.
    """
    if process <= 0:
        return None
    done = transport.run(["sh", "-c", _LOOK, "sh", str(process)], timeout=READ_SECONDS, check=False)
    user = _USER.search(done.stdout)
    if done.returncode or not user:
        return None
    return Process(user=int(user[1]), listening=listeners(done.stdout))
