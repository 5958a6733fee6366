"""A host's own files, swap and timers, seen and changed by short scripts through a transport, as root where need be.

The scripts are in `vm/`; `prune` and `alert` there are what a host gets, and work without Onevm.
"""

import hashlib
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from tasks.adapters.process import CommandFailed
from tasks.adapters.transport import Transport
from tasks.core.errors import OnevmError
from tasks.core.guardrails import Wanted
from tasks.core.machine import Machine, parse

SCRIPTS = Path(__file__).parent / "vm"
BACKUPS = "/var/backups/onevm"
SECONDS = 60
SWAP_SECONDS = 600

Privilege = Literal["root", "sudo", "none"]

_WHO = """id -un; id -u; if [ "$(id -u)" != 0 ] && sudo -n true 2>/dev/null; then echo sudo; else echo; fi
where=${DOCKER_HOST:-}
if [ -z "$where" ] && [ -f "${DOCKER_CONFIG:-$HOME/.docker}/config.json" ]; then
  where=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null)
fi
echo "$where"
"""
_TIMER = """set -e; systemctl daemon-reload; systemctl enable --now "$1.timer" 2>&1"""
_TELL = """echo "$1" >/proc/sys/vm/swappiness"""


def program(name: str) -> bytes:
    """Return a program that a host gets."""
    return (SCRIPTS / name).read_bytes()


class Standing(Struct, frozen=True, kw_only=True):
    """As whom we are on a host: our name there, what we may do, and where its engine is."""

    user: str
    privilege: Privilege
    engine_address: str


class Guardrails:
    """One host.

    Args:
        transport: the way to it.
        stamp: names the folder of this run's backups.
    """

    def __init__(self, transport: Transport, stamp: str) -> None:
        self._transport = transport
        self.backups = f"{BACKUPS}/{stamp}"
        said = transport.run(["sh", "-c", _WHO], timeout=SECONDS).stdout.split("\n")
        user, identity, sudo, where = (*said, "", "", "", "")[:4]
        self.standing = Standing(
            user=user,
            privilege="root" if identity == "0" else "sudo" if sudo else "none",
            engine_address=where,
        )

    def _script(self, name: str, *args: str, data: bytes | None = None, timeout: float = SECONDS) -> str:
        return self._sh((SCRIPTS / name).read_text(), *args, data=data, timeout=timeout)

    def _sh(self, text: str, *args: str, data: bytes | None = None, timeout: float = SECONDS) -> str:
        before = ["sudo", "-n"] if self.standing.privilege == "sudo" else []
        return self._transport.run([*before, "sh", "-c", text, "sh", *args], timeout=timeout, input=data).stdout

    def look(self, swap_file: str, files: Sequence[str]) -> Machine:
        """Return the host as it is; without root, files that only root may read have no content."""
        return parse(self._script("look.sh", swap_file, *files))

    def put(self, file: Wanted, machine: Machine, check: Sequence[str] = ()) -> None:
        """Write a file, or take it away, and keep a copy of what was there.

        Args:
            file: what it shall be.
            machine: the host as it was seen: what has changed since then is left alone.
            check: a program that is given the new file, and refuses it by its exit code.

        Raises:
            OnevmError: it was refused, changed meanwhile, or cannot be written.
        """
        known = machine.files.get(file.path)
        seen = "absent" if known is None else hashlib.sha256(known.content or b"").hexdigest()
        content = file.content or b""
        mode = "gone" if file.content is None else file.mode
        try:
            args = [file.path, mode, str(len(content)), seen, self.backups]
            self._script("put.sh", *args, *check, data=content)
        except CommandFailed as failed:
            raise OnevmError(
                f"{file.path} was not changed",
                detail=failed.stderr.strip(),
                next_step="see the words above; run the command again if it was changed meanwhile",
            ) from None

    def restore(self, path: str, machine: Machine) -> None:
        """Bring a file back to what it was when the host was looked at."""
        known = machine.files.get(path)
        content = known.content if known else None
        args = [path, "gone" if content is None else "keep", str(len(content or b"")), "any", f"{self.backups}/refused"]
        self._script("put.sh", *args, data=content or b"")

    def reload(self, pid: str) -> None:
        """Let the engine read its configuration again (dockerd(8): SIGHUP)."""
        self._sh('kill -s "$1" "$2"', signal.Signals.SIGHUP.name.removeprefix("SIG"), pid)

    def make_swap(self, path: str, megabytes: int, filesystem: str) -> None:
        """Make a swap file and turn it on, or turn on the one that is there.

        Raises:
            OnevmError: the host does not allow it; nothing is left of it then.
        """
        try:
            self._script("swap.sh", path, str(megabytes), filesystem, timeout=SWAP_SECONDS)
        except CommandFailed as failed:
            forbidden = "not permitted" in failed.stderr
            raise OnevmError(
                f"{path} cannot be turned on as swap",
                detail=failed.stderr.strip(),
                next_step='this machine may have no swap (a container?): write swap = "none"'
                if forbidden
                else 'name a swap_file on another disk, or write swap = "none"',
            ) from None

    def tell_swappiness(self, value: int) -> None:
        """Tell the running kernel."""
        self._sh(_TELL, str(value))

    def start_timer(self, name: str) -> None:
        """Turn a timer of systemd on, now and after each start of the host."""
        try:
            self._sh(_TIMER, name)
        except CommandFailed as failed:
            raise OnevmError(
                f"systemd does not start {name}.timer", detail=failed.stderr, next_step=f"systemctl status {name}.timer"
            ) from None

    def peaks(self, pids: Sequence[int]) -> dict[int, int]:
        """Return by process the most bytes of memory that its control group has taken; some may lack."""
        said = self._script("peaks.sh", data="".join(f"{pid}\n" for pid in pids).encode())
        return {int(pid): int(value) for pid, value in (line.split() for line in said.splitlines())}
