"""A host over SSH: commands on a VM, in the name of one stack, through the run's one connection."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from tasks.adapters.mux import LOST
from tasks.adapters.process import CommandFailed, Completed, Running
from tasks.adapters.ssh_line import NOTICE_SECONDS, Line, line_to
from tasks.adapters.transport import NAMELESS, SAID
from tasks.core.errors import OnevmError
from tasks.core.secret import Secret

# The command is finished even if nobody is there any more to read what it says. While it runs it shares the lock
# $1.steps, so that nobody else begins; and it begins only if the lock $1 still holds our token $2.
_SURVIVING = f"""set -u; lock=$1; token=$2; shift 2; umask 077
{NAMELESS}
setsid flock -s "$lock.steps" sh -c '
  lock=$1; token=$2; shift 2
  if grep -qF "$token" "$lock"; then "$@" >&3 2>&5 3>&- 4<&- 5>&- 6<&-; code=$?
  else echo "the lock is not ours any more" >&5; code=75; fi
  exit "$code"' \
  sh "$lock" "$token" "$@" </dev/null >/dev/null 2>&1; code=$?
{SAID}"""


class Ssh:
    """Commands on a VM, some of them under a lock.

    Args:
        line: the connection; others may share it.
    """

    def __init__(self, line: Line) -> None:
        self.line = line
        self.name = line.name
        self.held: tuple[str, str] | None = None
        self.keeper: Running | None = None

    def expect(self, commands: int) -> None:
        """Prepare for commands that will follow soon."""
        self.line.expect(commands)

    def expect_lock(self) -> None:
        """Prepare for a lock that will be taken soon."""
        self.line.expect_lock()

    def another(self) -> "Ssh":
        """Return the same VM through the same connection, for commands under another lock."""
        return Ssh(self.line)

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
            done = self.line.run(words, timeout, input)
        except CommandFailed as failed:
            if self.line.is_lost():
                raise self.line.lost(failed.stderr) from None
            raise CommandFailed(args, returncode=failed.returncode, stderr=failed.stderr, limit=timeout) from None
        if check and done.returncode:
            # So ends, too, what was killed there.
            if self.line.is_lost(NOTICE_SECONDS if done.returncode == LOST else 0.0):
                raise self.line.lost(done.stderr)
            raise CommandFailed(args, returncode=done.returncode, stderr=done.stderr, limit=timeout)
        return done

    def check_lock(self) -> None:
        """Make sure that the lock, if it was taken, is still ours.

        Raises:
            OnevmError: it was given to others.
        """
        if self.keeper and self.keeper.poll() is not None and not self.line.is_lost():
            raise OnevmError(
                f"host {self.name}: the connection stood still so long that the lock was given to others",
                next_step="run the same command again: it goes on from what runs then",
            )

    def explain(self, error: OnevmError) -> OnevmError:
        """Return what an error on a forwarded socket means: that the connection is lost, or what it says."""
        if self.line.is_lost(NOTICE_SECONDS):
            return self.line.lost(error.detail)
        error.what = f"host {self.name}: {error.what}"
        return error

    @property
    def usual_socket(self) -> str:
        """See `Line.usual_socket`."""
        return self.line.usual_socket

    def forward(self, host: str, port: int | None = None) -> str:
        """Make a socket of the VM reachable here; see `Line.forward`."""
        return self.line.forward(host, port)


_WITH_VARIABLES = """while IFS= read -r line && [ -n "$line" ]; do eval "$line"; done; exec "$@"
"""


@contextmanager
def connected(name: str, destination: str) -> Iterator[Ssh]:
    """Connect to a VM.

    Raises:
        OnevmError: it cannot be reached, its key is unknown, or the login is refused; with the line to run.
    """
    with line_to(name, destination) as line:
        yield Ssh(line)
