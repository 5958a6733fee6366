"""How commands reach a host: this machine directly, or (later) a VM over one SSH connection."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tasks.adapters.process import Completed, run
from tasks.core.secret import Secret


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
        return run(args, timeout=timeout, input=input, env=env, check=check, survive=keep)
