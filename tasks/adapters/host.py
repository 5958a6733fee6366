"""A host to deploy to: the way to it, its engine, its lock.

Connecting begins before the rest of Onevm is loaded, so what talks to engines, and locks, is loaded when it is needed.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from tasks.adapters import later, ssh
from tasks.adapters.process import CommandFailed
from tasks.adapters.transport import Local, Transport
from tasks.core.errors import OnevmError, ToolError
from tasks.core.model import Host

if TYPE_CHECKING:
    from tasks.adapters.engine import Engine
    from tasks.adapters.gauge import Gauge
    from tasks.adapters.release_folder import Current, ReleaseFolder

PROBE_SECONDS = 20
# What a look at a stack asks its engine at once: containers, networks, volumes, and an image or two.
FIRST_QUESTIONS = 4

# Prints the engine's address and whether its socket may be used.
_PROBE = """set -u
where=${DOCKER_HOST:-}
if [ -z "$where" ]; then
  command -v docker >/dev/null || { echo none; exit 0; }
  if [ -f "${DOCKER_CONFIG:-$HOME/.docker}/config.json" ]; then
    where=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null)
  fi
fi
where=${where:-unix:///var/run/docker.sock}; echo "$where"
path=${where#unix://}
if [ ! -e "$path" ]; then echo absent; elif [ -w "$path" ]; then echo usable; else echo refused; fi
id -un
"""


class Held(Struct, frozen=True, kw_only=True):
    """What is known when the lock of a stack was taken.

    Attributes:
        gauge: what the host has left, while it is held.
        current: the stack's current release.
    """

    gauge: "Gauge"
    current: "Current"


class Reached(Protocol):
    """A host that can be used."""

    @property
    def transport(self) -> Transport:
        """The way to it."""
        ...

    @property
    def engine(self) -> "Engine":
        """Its engine.

        Raises:
            OnevmError: it may not be used, or there is none.
        """
        ...

    def another(self) -> "Reached":
        """Return the same host, reached the same way, for work under a lock of its own."""
        ...

    def lock(
        self,
        folder: "ReleaseFolder",
        holder: Mapping[str, str],
        *,
        wait_seconds: float,
        waiting: Callable[[str], None],
    ) -> AbstractContextManager[Held]:
        """Hold the lock of a stack's folder, and watch what the host has left meanwhile."""
        ...

    def address_of(self, host: str, port: int) -> str:
        """Return the path of a local socket that reaches an address as seen from the host; empty if none is needed."""
        ...


class LocalHost:
    """This machine."""

    def __init__(self, name: str) -> None:
        from tasks.adapters.engine import Engine

        self.transport = Local(name)
        self.engine = Engine()

    def another(self) -> "LocalHost":
        """Return the same host, for work under a lock of its own."""
        return LocalHost(self.transport.name)

    @contextmanager
    def lock(
        self,
        folder: "ReleaseFolder",
        holder: Mapping[str, str],
        *,
        wait_seconds: float,
        waiting: Callable[[str], None],
    ) -> Iterator[Held]:
        """Hold the lock of a stack's folder, and watch what this machine has left meanwhile."""
        from tasks.adapters import gauge, lock

        path = Path(str(folder.path)) / "lock"
        with (
            lock.held(path, holder, wait_seconds=wait_seconds, waiting=waiting, transport=self.transport),
            gauge.watching(path.parent) as found,
        ):
            yield Held(gauge=found, current=folder.current())

    def address_of(self, host: str, port: int) -> str:
        """Nothing is needed: what the host sees, we see."""
        del host, port
        return ""


class RemoteHost:
    """A VM over SSH; its engine's socket is forwarded through the one connection.

    Args:
        connection: the way to it.
        socket: the forwarded socket: it is being made while the connection is used for something else.
    """

    def __init__(self, connection: ssh.Ssh, socket: Future[str]) -> None:
        self.transport = connection
        self._socket = socket

    @property
    def engine(self) -> "Engine":
        """Its engine."""
        from tasks.adapters.engine import Engine

        # Not a cached_property: until Python 3.12 that has one lock for all hosts, and a slow one stops the others.
        socket = self._socket.result()
        return Engine(socket=f"unix://{socket}", explain=self.transport.explain, guard=self.transport.check_lock)

    def another(self) -> "RemoteHost":
        """Return the same host through the same connection, for work under a lock of its own."""
        return RemoteHost(self.transport.another(), self._socket)

    @contextmanager
    def lock(
        self,
        folder: "ReleaseFolder",
        holder: Mapping[str, str],
        *,
        wait_seconds: float,
        waiting: Callable[[str], None],
    ) -> Iterator[Held]:
        """Hold the lock of a stack's folder, and watch what the VM has left meanwhile."""
        from tasks.adapters import remote_lock
        from tasks.adapters.release_folder import CURRENT

        with remote_lock.held(
            self.transport, folder.path, holder, CURRENT, wait_seconds=wait_seconds, waiting=waiting
        ) as (found, said):
            yield Held(gauge=found, current=folder.told(said))

    def address_of(self, host: str, port: int) -> str:
        """Return a local socket that reaches an address as seen from the VM."""
        return self.transport.forward(host, port)


@contextmanager
def reached(host: Host) -> Iterator[Reached]:
    """Reach a host.

    Args:
        host: the host of services.toml.

    Raises:
        OnevmError: it cannot be reached.
    """
    if host.is_local:
        yield LocalHost(host.name)
        return
    with ssh.connected(host.name, host.address) as connection:
        yield RemoteHost(connection, later.begun(lambda: _engine_socket(connection, host)))


def _engine_socket(connection: ssh.Ssh, host: Host) -> str:
    from tasks.adapters import engine_socket

    # While the VM says where its engine is, for it is nearly always there.
    if usual := connection.usual_socket:
        later.begun(lambda: engine_socket.connect_ahead(f"unix://{usual}", FIRST_QUESTIONS, PROBE_SECONDS))
    try:
        words = connection.run(["sh", "-c", _PROBE], timeout=PROBE_SECONDS).stdout.split("\n")
    except CommandFailed as failed:
        raise OnevmError(
            f"host {host.name}: its shell does not work", detail=failed.stderr, next_step=f"ssh {host.address}"
        ) from None
    where, state, user = (*words, "", "", "")[:3]
    if where == "none":
        raise ToolError(f"host {host.name}: docker is not installed there", next_step="install Docker there")
    if state == "absent":
        raise ToolError(f"host {host.name}: no Docker engine at {where}", next_step="start Docker there")
    if state == "refused":
        raise ToolError(
            f"host {host.name}: user {user} may not use the Docker socket {where}",
            next_step=f"on the host: `usermod -aG docker {user}`, then connect anew",
        )
    socket = connection.forward(where.removeprefix("unix://"))
    if socket != usual:
        engine_socket.connect_ahead(f"unix://{socket}", FIRST_QUESTIONS, PROBE_SECONDS)
    return socket
