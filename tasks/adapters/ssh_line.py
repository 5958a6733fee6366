"""One SSH connection to a VM: the system's OpenSSH, and so one handshake per run.

`~/.ssh/config`, agents, jump hosts and known_hosts work because it is the user's own `ssh`. It is the master of its
connection; every command and every forwarded socket is asked of it (mux.py).
"""

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.adapters import mux, temporary
from tasks.adapters.process import Child, Completed, Running, completed, ended, finish, start
from tasks.adapters.spare import Spares, tell
from tasks.adapters.turns import Turns
from tasks.core.errors import OnevmError
from tasks.core.secret import Secret

CONNECT_SECONDS = 15
LONGEST_TEMPORARY = 60
CONTROL = "c"
NOTICE_SECONDS = 1.0  # a socket of a connection that breaks is closed a moment before its process ends
# A default sshd allows a connection 10 sessions: some for commands, the others for the locks of stacks.
MOST_COMMANDS = 6
MOST_LOCKS = 4
# Where nearly every VM has its engine: reachable as soon as the connection stands, whatever it turns out to be.
USUAL_SOCKET = "/var/run/docker.sock"
# What every connection is for at once: where the engine is, and what the verb asks.
FIRST_COMMANDS = 2
GATHER_SECONDS = 0.1
# No event tells that a connection stands: its control socket is there then.
POLL_SECONDS = 0.002
# Dead peers are noticed within about 15 s on both of our ends.
_OPTIONS = (
    "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3", "-o", "ForwardX11=no", "-o", "ForwardAgent=no",
)  # fmt: skip


class Line:
    """A connection, and the sessions that its VM grants it.

    Args:
        name: the host's name in services.toml.
        destination: `ssh://[user@]host[:port]`.
        master: the running master connection.
        folder: the private folder with its control socket.
    """

    def __init__(self, name: str, destination: str, master: Child, folder: Path) -> None:
        self.name = name
        self.destination = destination
        self._master = master
        self._folder = folder
        self._control = folder / CONTROL
        self._commands = Turns(MOST_COMMANDS)
        end = f"end of a command in {folder.name}"
        self._spares, self._lock_spares = Spares(self._session, end), Spares(self._session, end)
        self.expect(FIRST_COMMANDS)
        self._guard = threading.Lock()
        self._forwards = 0
        self._locks = 0
        self._taken: set[Running] = set()
        self._kept: set[Running] = set()
        # So many sessions of locks are known to leave room for commands.
        self._proven = 1
        self._fewer_locks = threading.Condition()

    def close(self) -> None:
        """Give the sessions back that wait for a command."""
        self._spares.close()
        self._lock_spares.close()

    def expect(self, commands: int) -> None:
        """Open sessions for commands that will follow soon, so that they wait for none."""
        self._spares.open(commands, self._commands.free)

    def expect_lock(self) -> None:
        """Open a session for a lock that will be taken soon."""
        self._lock_spares.open(1, lambda: MOST_LOCKS - self._locks)

    def is_lost(self, seconds: float = 0.0) -> bool:
        """Whether the connection has ended, or does so within some seconds."""
        return ended(self._master, seconds) if seconds else self._master.poll() is not None

    def lost(self, words: str) -> OnevmError:
        """Return the explained error for the connection when it broke."""
        return lost(self.name, self.destination, words)

    def no_session(self, seconds: float, words: str = "") -> OnevmError:
        """Return the explained error for an sshd that granted no session."""
        return OnevmError(
            f"host {self.name}: its sshd granted no session within {seconds:g} s",
            detail=words.strip(),
            next_step="allow more sessions of one connection in its sshd_config: MaxSessions 10 is usual",
        )

    def run(self, words: Sequence[str], timeout: float, data: bytes | Secret | None) -> Completed:
        """Run a command as soon as the VM's sshd, which may allow fewer sessions than others do, grants one.

        Args:
            words: the command.
            timeout: seconds from then on; likewise for how long sshd may grant none although nothing else runs.
            data: for its standard input.

        Raises:
            OnevmError: the connection is lost, or no session is granted.
            CommandFailed: the command did not end in time.
        """
        with self._commands.turn() as turn:
            while True:
                session, done = self._asked(words, timeout, data)
                if not session.refusal:
                    return done
                if not turn.again(timeout):
                    raise self.no_session(timeout, session.refusal)

    def _session(self, words: Sequence[str]) -> Running:
        try:
            return mux.session(self._control, words, os.environ)
        except OSError as error:
            raise self.lost(str(error)) from None

    def _asked(
        self, words: Sequence[str], timeout: float, data: bytes | Secret | None = None
    ) -> tuple[Running, Completed]:
        session = self._spares.take()
        own = data.reveal().encode() if isinstance(data, Secret) else data or b""
        said = self._spares.said(words) + own
        return session, completed(session, words, timeout=timeout, data=said, check=False)

    @contextmanager
    def for_a_lock(self, words: Sequence[str]) -> Iterator[Running]:
        """Start a command whose life is bound to its standard input, and end it with the block."""
        with self._fewer_locks:
            self._fewer_locks.wait_for(lambda: self._locks < MOST_LOCKS)
            self._locks += 1
        try:
            child = self._lock_spares.take()
            tell(child, self._lock_spares.said(words))
            try:
                yield child
            finally:
                self._taken.discard(child)
                _let_go(child)
                self._kept.discard(child)
        finally:
            with self._fewer_locks:
                self._locks -= 1
                self._fewer_locks.notify_all()
            self._commands.one_more()

    def leaves_room(self, child: Running) -> bool:
        """Whether there are sessions for commands besides those of the locks; else that of `child` is given back.

        The first lock has to do with what there is: the others give way to it. Of those that were taken at once, one
        asks for all: so it waits a moment for those that are being taken.
        """
        with self._fewer_locks:
            self._taken.add(child)
            self._fewer_locks.notify_all()
            if self._kept and self._locks > self._proven:
                self._fewer_locks.wait_for(lambda: len(self._taken) >= self._locks, GATHER_SECONDS)
        with self._guard:
            taken = len(self._taken)
            if self._kept and self._locks > self._proven:
                session, _ = self._asked(["true"], CONNECT_SECONDS)
                if session.refusal:
                    self._taken.discard(child)
                    _let_go(child)
                    return False
                self._proven = max(self._proven, taken)
            self._kept.add(child)
            return True

    def wait_for_fewer_locks(self) -> bool:
        """Wait until another stack of this run has given a lock back that it had; returns whether there was one.

        Not one that was taken and gave way: those who wait would wake each other, and nobody else got a session.
        """
        with self._fewer_locks:
            before = len(self._kept)
            if before:
                self._fewer_locks.wait_for(lambda: len(self._kept) < before)
            else:
                self._fewer_locks.wait(GATHER_SECONDS)
            return before > 0

    @property
    def usual_socket(self) -> str:
        """The path of the local Unix socket that leads to `USUAL_SOCKET`; empty if there is none.

        It is there even if the VM has no such socket: then nobody answers.
        """
        local = self._folder / "f0"
        # Not where the user's configuration clears forwardings.
        return str(local) if local.exists() else ""

    def forward(self, host: str, port: int | None = None) -> str:
        """Make a socket of the VM reachable here.

        Args:
            host: a name or address as seen from the VM; without a port the path of a Unix socket there.
            port: the port.

        Returns:
            The path of the local Unix socket.

        Raises:
            OnevmError: the connection is lost, or allows no forwarding.
        """
        if port is None and host == USUAL_SOCKET and self.usual_socket:
            return self.usual_socket
        with self._guard:
            self._forwards += 1
            local = self._folder / f"f{self._forwards}"
        try:
            mux.forward(self._control, local, host, port)
        except OSError as error:
            if self.is_lost(NOTICE_SECONDS):
                raise self.lost(str(error)) from None
            there = host if port is None else f"{host}:{port}"
            raise OnevmError(
                f"host {self.name}: {there} cannot be forwarded",
                detail=str(error),
                next_step=f"see what `ssh -L {local}:{there} {self.destination}` says",
            ) from None
        return str(local)


def _let_go(child: Running) -> None:
    if child.stdin:
        with contextlib.suppress(OSError):
            child.stdin.close()
    child.poll()
    finish(child)


def _config_flags() -> list[str]:
    # For a configuration that is not at its usual place, such as a lab's.
    path = os.environ.get("ONEVM_SSH_CONFIG")
    return ["-F", path] if path else []


@contextmanager
def line_to(name: str, destination: str) -> Iterator[Line]:
    """Connect to a VM.

    Raises:
        OnevmError: it cannot be reached, its key is unknown, or the login is refused; with the line to run.
    """
    # The path of a Unix socket holds about 100 bytes (unix(7)), of which ssh takes 42 below the folder for these.
    place = None if len(tempfile.gettempdir()) <= LONGEST_TEMPORARY else "/tmp"  # noqa: S108
    temporary.sweep(place)
    with temporary.folder("ssh", place) as folder:
        command = ["ssh", *_config_flags(), "-M", "-N", "-S", str(folder / CONTROL), *_OPTIONS]
        command += ["-o", "ControlPersist=no", "-o", "ExitOnForwardFailure=no"]
        command += ["-L", f"{folder / 'f0'}:{USUAL_SOCKET}", destination]
        master = start(command)
        try:
            _await(master, folder / CONTROL, name, destination)
            line = Line(name, destination, master, folder)
            try:
                yield line
            finally:
                line.close()
        finally:
            finish(master)


def _await(master: Child, control: Path, name: str, destination: str) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS + 5
    while not control.exists():
        if ended(master, POLL_SECONDS):
            words = master.stderr.read().decode(errors="replace") if master.stderr else ""
            raise refused(name, destination, words)
        if time.monotonic() > deadline:
            raise OnevmError(
                f"host {name}: no SSH connection to {destination} within {CONNECT_SECONDS} s",
                next_step=f"see what `ssh {destination} true` says",
            )


def refused(name: str, destination: str, words: str) -> OnevmError:
    """Return the explained error for a connection that did not come about."""
    low = words.lower()
    next_step = f"see what `ssh {destination} true` says"
    what = f"host {name}: no SSH connection to {destination}"
    if "host key verification failed" in low and "changed" in low:
        what = f"host {name}: the host key of {destination} has CHANGED"
        next_step = "make sure that it is the same machine before you take the new key with ssh-keygen -R"
    elif "host key verification failed" in low:
        what = f"host {name}: the host key of {destination} is not known"
        next_step = f"run `ssh {destination} true` once, compare the fingerprint, and say yes"
    elif "permission denied" in low:
        what = f"host {name}: {destination} refuses the login"
        next_step = "see that your key is in the agent (`ssh-add -l`) or in ~/.ssh/config, and in authorized_keys there"
    return OnevmError(what, detail=words.strip(), next_step=next_step)


def lost(name: str, destination: str, words: str) -> OnevmError:
    """Return the explained error for a connection that broke."""
    return OnevmError(
        f"host {name}: the connection to {destination} is lost",
        detail=words.strip(),
        next_step="run the same command again: a step that was under way on the host is finished there first",
    )
