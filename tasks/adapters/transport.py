"""How commands reach a host: this machine directly, or (later) a VM over one SSH connection."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tasks.adapters.process import Completed, run
from tasks.core.secret import Secret

# Into files: a program that has nobody to speak to any more is ended by its next word (signal(7), SIGPIPE). They have
# no name any more when it starts, so whatever is killed, nothing stays behind. If the disk is full, what a command has
# to say of that is lost; head(1) says it.
NAMELESS = """t=$(mktemp -d) || exit 1
exec 3>"$t/out" 4<"$t/out" 5>"$t/err" 6<"$t/err"; rm -rf "$t"
"""
SAID = """cat <&4; cat <&6 >&2
[ "$code" = 0 ] || head -c 4096 /dev/zero >&3
exit "$code"
"""
_SURVIVING = f"""{NAMELESS}
"$@" >&3 2>&5 3>&- 4<&- 5>&- 6<&-; code=$?
{SAID}"""


class Transport(Protocol):
    """Runs commands on a host."""

    name: str

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
        """Run a command on the host to its end; see `process.run`.

        With `survive` the command is finished even if we vanish, and the lock is held until then.
        """
        ...

    def expect(self, commands: int) -> None:
        """Prepare for commands that will follow soon, where that takes time."""
        ...

    def expect_lock(self) -> None:
        """Prepare for a lock that will be taken soon, likewise."""
        ...


class Local:
    """This machine."""

    def __init__(self, name: str = "local") -> None:
        self.name = name
        self.held: list[int] = []

    def expect(self, commands: int) -> None:
        """Nothing is to be prepared."""
        del commands

    def expect_lock(self) -> None:
        """Nothing is to be prepared."""

    def run(
        self,
        args: Sequence[str],
        *,
        timeout: float,
        input: bytes | Secret | None = None,  # noqa: A002
        env: Mapping[str, str | Secret] | None = None,
        check: bool = True,
        survive: bool = False,
    ) -> Completed:
        """Run a command here."""
        keep = tuple(self.held) if survive else None
        args = ["sh", "-c", _SURVIVING, "sh", *args] if survive else args
        return run(args, timeout=timeout, input=input, env=env, check=check, survive=keep)
