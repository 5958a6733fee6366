"""A host over SSH: the system's OpenSSH, one connection and so one handshake per run.

`~/.ssh/config`, agents, jump hosts and known_hosts work because it is the user's own `ssh`. The first `ssh` is the
master; every command and every forwarded socket goes through it.
"""

import os
import shlex
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.adapters import temporary
from tasks.adapters.process import Child, CommandFailed, Completed, ended, finish, run, start
from tasks.core.errors import OnevmError
from tasks.core.secret import Secret

CONNECT_SECONDS = 15
CONTROL_SECONDS = 10
LONGEST_TEMPORARY = 60
NOTICE_SECONDS = 1.0  # a socket of a connection that breaks is closed a moment before its process ends
MOST_SESSIONS = 8  # a default sshd allows 10 per connection
# Dead peers are noticed within about 15 s on both of our ends.
_OPTIONS = (
    "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}", "-o", "ServerAliveInterval=5",
    "-o", "ServerAliveCountMax=3", "-o", "ForwardX11=no", "-o", "ForwardAgent=no",
)  # fmt: skip
LOST = 255

# The command writes to files: it is finished even if nobody is there any more to read what it says. While it runs it
# shares the lock $1.steps, so that nobody else begins; and it begins only if the lock $1 still holds our token $2.
_SURVIVING = """set -u; lock=$1; token=$2; shift 2; umask 077
t=$(mktemp -d) || exit 1
setsid flock -s "$lock.steps" sh -c '
  lock=$1; token=$2; t=$3; shift 3
  if grep -qF "$token" "$lock"; then "$@" >"$t/out" 2>"$t/err"; code=$?
  else echo "the lock is not ours any more" >"$t/err"; : >"$t/out"; code=75; fi
  echo $code >"$t/rc.new"; mv "$t/rc.new" "$t/rc"' \
  sh "$lock" "$token" "$t" "$@" </dev/null >/dev/null 2>&1
cat "$t/out"; cat "$t/err" >&2; code=$(cat "$t/rc" 2>/dev/null || echo 1); rm -rf "$t"; exit "$code"
"""


class Ssh:
    """Commands on a VM through one SSH connection.

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
        self._sessions = threading.BoundedSemaphore(MOST_SESSIONS)
        self._forwards = 0
        self.held: tuple[str, str] | None = None
        self.keeper: Child | None = None

    def _command(self, *args: str) -> list[str]:
        # Without its master ssh would quietly make a connection of its own, and another for every command.
        only = ["-o", f"ProxyCommand=sh -c 'echo {self._no_session} >&2; exit 1'"]
        return ["ssh", *_config_flags(), "-S", str(self._folder / "c"), *only, *_OPTIONS, *args]

    def run(
        self,
        args: Sequence[str],
        *,
        timeout: float,
        input: bytes | Secret | None = None,  # noqa: A002 - the name subprocess uses
        env: Mapping[str, str | Secret] | None = None,
        check: bool = True,
        survive: bool = False,
    ) -> Completed:
        """Run a command on the VM; see `Transport`.

        Variables are set on the VM's side of the connection, through standard input, never on a command line.

        Raises:
            OnevmError: the connection is lost, or the lock that was held.
        """
        self.check_lock()
        words = list(args)
        if survive:
            if self.held is None:
                raise AssertionError("a step that outlives the connection needs the lock")
            words = ["sh", "-c", _SURVIVING, "sh", *self.held, *words]
        if env:
            exports = "".join(
                f"export {key}={shlex.quote(v.reveal() if isinstance(v, Secret) else v)}\n" for key, v in env.items()
            )
            words = ["sh", "-c", _WITH_VARIABLES, "sh", *words]
            input = f"{exports}\n".encode() + (input.reveal().encode() if isinstance(input, Secret) else input or b"")  # noqa: A001
        try:
            done = self._in_a_session(words, timeout, input)
        except CommandFailed as failed:
            if self._master.poll() is not None:
                raise lost(self.name, self.destination, failed.stderr) from None
            raise CommandFailed(args, returncode=failed.returncode, stderr=failed.stderr, limit=timeout) from None
        if check and done.returncode:
            if done.returncode == LOST or self._master.poll() is not None:
                raise lost(self.name, self.destination, done.stderr)
            raise CommandFailed(args, returncode=done.returncode, stderr=done.stderr, limit=timeout)
        return done

    def check_lock(self) -> None:
        """Make sure that the lock, if it was taken, is still ours.

        Raises:
            OnevmError: it was given to others.
        """
        if self.keeper and self.keeper.poll() is not None and self._master.poll() is None:
            raise OnevmError(
                f"host {self.name}: the connection stood still so long that the lock was given to others",
                next_step="run the same command again: it goes on from what runs then",
            )

    def _in_a_session(self, words: Sequence[str], timeout: float, data: bytes | Secret | None) -> Completed:
        """Run a command as soon as the VM's sshd, which may allow fewer sessions than others do, grants one."""
        command = self._command(self.destination, "--", shlex.join(words))
        deadline = time.monotonic() + timeout
        with self._sessions:
            while True:
                done = run(command, timeout=timeout, input=data, check=False)
                if done.returncode != LOST or self._no_session not in done.stderr:
                    return done
                if ended(self._master, NOTICE_SECONDS) or not (self._folder / "c").exists():
                    raise lost(self.name, self.destination, done.stderr)
                if time.monotonic() > deadline:
                    raise OnevmError(
                        f"host {self.name}: its sshd granted no session within {timeout:g} s",
                        detail=done.stderr.strip(),
                        next_step="allow more sessions of one connection in its sshd_config: MaxSessions 10 is usual",
                    )

    def start(self, args: Sequence[str]) -> Child:
        """Start a command on the VM whose life is bound to its standard input; the caller finishes it."""
        return start(self._command(self.destination, "--", shlex.join(args)), stdin=True)

    def explain(self, error: OnevmError) -> OnevmError:
        """Return what an error on a forwarded socket means: that the connection is lost, or what it says."""
        if ended(self._master, NOTICE_SECONDS):
            return lost(self.name, self.destination, error.detail)
        error.what = f"host {self.name}: {error.what}"
        return error

    def forward(self, remote: str) -> str:
        """Make a socket of the VM reachable here.

        Args:
            remote: a path on the VM, or `host:port` as seen from it.

        Returns:
            The path of the local Unix socket.
        """
        self._forwards += 1
        local = self._folder / f"f{self._forwards}"
        run(self._command("-O", "forward", "-L", f"{local}:{remote}", self.destination), timeout=CONTROL_SECONDS)
        return str(local)


_WITH_VARIABLES = """while IFS= read -r line && [ -n "$line" ]; do eval "$line"; done; exec "$@"
"""


def _config_flags() -> list[str]:
    # For a configuration that is not at its usual place, such as a lab's.
    path = os.environ.get("ONEVM_SSH_CONFIG")
    return ["-F", path] if path else []


@contextmanager
def connected(name: str, destination: str) -> Iterator[Ssh]:
    """Connect to a VM.

    Raises:
        OnevmError: it cannot be reached, its key is unknown, or the login is refused; with the line to run.
    """
    # The path of a Unix socket holds about 100 bytes (unix(7)), of which ssh takes 42 below the folder for these.
    place = None if len(tempfile.gettempdir()) <= LONGEST_TEMPORARY else "/tmp"  # noqa: S108
    temporary.sweep(place)
    with temporary.folder("ssh", place) as folder:
        command = ["ssh", *_config_flags(), "-M", "-N", "-S", str(folder / "c"), *_OPTIONS]
        command += ["-o", "ControlPersist=no", "-o", "ExitOnForwardFailure=no", destination]
        master = start(command)
        try:
            _await(master, folder / "c", name, destination)
            yield Ssh(name, destination, master, folder)
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
