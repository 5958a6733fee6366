"""Where a running container listens: what the host's kernel says of its network, without starting anything in it."""

from tasks.adapters.transport import Transport
from tasks.core.lint.listening import Listener, listeners

READ_SECONDS = 20


def listening(transport: Transport, process: int) -> frozenset[Listener] | None:
    """Return where a container listens; None if the host cannot tell (its engine lives on another kernel, say).

    Args:
        transport: the way to the host.
        process: the container's first process, as the host counts.
    """
    if process <= 0:
        return None
    files = [f"/proc/{process}/net/tcp", f"/proc/{process}/net/tcp6"]
    done = transport.run(["cat", files[0]], timeout=READ_SECONDS, check=False)
    if done.returncode:
        return None
    # Without IPv6 the second file is not there.
    more = transport.run(["cat", files[1]], timeout=READ_SECONDS, check=False)
    return listeners(done.stdout + more.stdout)
