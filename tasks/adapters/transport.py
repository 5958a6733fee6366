"""How commands reach a host: this machine directly, or (later) a VM over one SSH connection."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tasks.adapters.process import Completed, run
from tasks.core.secret import Secret

# Into files: a program that has nobody to speak to any more is ended by its next word (signal(7), SIGPIPE).
_SURVIVING = """t=$(mktemp -d) || exit 1
"$@" >"$t/out" 2>"$t/err"; code=$?
cat "$t/out"; cat "$t/err" >&2; rm -rf "$t"; exit "$code"
"""


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


class Local:
    """This machine."""

    def __init__(self, name: str = "local") -> None:
        self.name = name
        self.held: list[int] = []

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
