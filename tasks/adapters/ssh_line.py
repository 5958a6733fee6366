"""One SSH connection to a VM: the system's OpenSSH, and so one handshake per run.

`~/.ssh/config`, agents, jump hosts and known_hosts work because it is the user's own `ssh`. The first `ssh` is the
master; every command and every forwarded socket goes through it.
"""

import contextlib
import os
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.adapters import temporary
from tasks.adapters.process import Child, Completed, completed, ended, finish, run, start
from tasks.adapters.spare import Spares, tell
from tasks.adapters.turns import Turns
from tasks.core.errors import OnevmError
from tasks.core.secret import Secret

CONNECT_SECONDS = 15
CONTROL_SECONDS = 10
LONGEST_TEMPORARY = 60
NOTICE_SECONDS = 1.0  # a socket of a connection that breaks is closed a moment before its process ends
# A default sshd allows a connection 10 sessions: some for commands, the others for the locks of stacks.
MOST_COMMANDS = 6
MOST_LOCKS = 4
# Where nearly every VM has its engine: reachable as soon as the connection stands, whatever it turns out to be.
USUAL_SOCKET = "/var/run/docker.sock"
# What every connection is for at once: where the engine is, and what the verb asks.
FIRST_COMMANDS = 2
GATHER_SECONDS = 0.1
# Dead peers are noticed within about 15 s on both of our ends.
_OPTIONS = (
    "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3", "-o", "ForwardX11=no", "-o", "ForwardAgent=no",
)  # fmt: skip
LOST = 255


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
        # Our ssh says so when the master gave it none: then nothing was begun on the VM. No command there knows it.
        self._no_session = f"no session in {folder.name}"
        self._commands = Turns(MOST_COMMANDS)
        end = f"end of a command in {folder.name}"
        self._spares, self._lock_spares = Spares(self._session, end), Spares(self._session, end)
        self.expect(FIRST_COMMANDS)
        self._guard = threading.Lock()
        self._forwards = 0
        self._locks = 0
        self._taken: set[Child] = set()
        self._kept: set[Child] = set()
        # So many sessions of locks are known to leave room for commands.
        self._proven = 1
        self._fewer_locks = threading.Condition()

    def _command(self, *args: str) -> list[str]:
        # Without its master ssh would quietly make a connection of its own, and another for every command.
        only = ["-o", f"ProxyCommand=sh -c 'echo {self._no_session} >&2; exit 1'"]
        return ["ssh", *_config_flags(), "-S", str(self._folder / "c"), *only, *_OPTIONS, *args]

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
                done = self._asked(words, timeout, data)
                if not self.refused_session(done.returncode, done.stderr):
                    return done
                if not turn.again(timeout):
                    raise self.no_session(timeout, done.stderr)

    def _session(self, words: Sequence[str]) -> Child:
        return start(self._command(self.destination, "--", shlex.join(words)), stdin=True)

    def _asked(self, words: Sequence[str], timeout: float, data: bytes | Secret | None = None) -> Completed:
        session = self._spares.take()
        own = data.reveal().encode() if isinstance(data, Secret) else data or b""
        return completed(session, words, timeout=timeout, data=self._spares.said(words) + own, check=False)

    def refused_session(self, code: int | None, words: str) -> bool:
        """Whether a command ended because sshd granted it no session: nothing was begun on the VM.

        Raises:
            OnevmError: it is the connection that is lost.
        """
        if code != LOST or self._no_session not in words:
            return False
        if self.is_lost(NOTICE_SECONDS) or not (self._folder / "c").exists():
            raise self.lost(words)
        return True

    @contextmanager
    def for_a_lock(self, words: Sequence[str]) -> Iterator[Child]:
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

    def leaves_room(self, child: Child) -> bool:
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
                done = self._asked(["true"], CONNECT_SECONDS)
                if self.refused_session(done.returncode, done.stderr):
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

    def forward(self, remote: str) -> str:
        """Make a socket of the VM reachable here.

        Args:
            remote: a path on the VM, or `host:port` as seen from it.

        Returns:
            The path of the local Unix socket.
        """
        if remote == USUAL_SOCKET and self.usual_socket:
            return self.usual_socket
        with self._guard:
            self._forwards += 1
            local = self._folder / f"f{self._forwards}"
        run(self._command("-O", "forward", "-L", f"{local}:{remote}", self.destination), timeout=CONTROL_SECONDS)
        return str(local)


def _let_go(child: Child) -> None:
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
        command = ["ssh", *_config_flags(), "-M", "-N", "-S", str(folder / "c"), *_OPTIONS]
        command += ["-o", "ControlPersist=no", "-o", "ExitOnForwardFailure=no"]
        command += ["-L", f"{folder / 'f0'}:{USUAL_SOCKET}", destination]
        master = start(command)
        try:
            _await(master, folder / "c", name, destination)
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
        if ended(master, 0.01):
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
