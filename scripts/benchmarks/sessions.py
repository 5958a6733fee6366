"""What a run asks of its VM through the connection: sessions of ssh, and connections to forwarded sockets.

The log of the VM's sshd has their numbers. What they were for is written down by a program that sshd starts for each
session, and by a `docker` here that is found before the real one.
"""

import os
import pkgutil
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from tasks import adapters
from tests.e2e.listening import listening
from tests.e2e.vm import Vm

SHORT, WORD = 140, 48
_DOCKER = """#!/bin/sh
printf '%s\\0' docker "$@" >{notes}/$$
exec {real} "$@"
"""
# As sshd(8) logs a channel that is opened, at DEBUG1.
_SESSION, _SOCKETS = "ctype session ", ("ctype direct-streamlocal@openssh.com ", "ctype direct-tcpip ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What one run asked.

    Attributes:
        connections: SSH handshakes.
        sessions: commands through them.
        sockets: connections to sockets of the VM that are forwarded.
        commands: what each session was for, in the order of their start, and the `docker` commands that go to a socket.
            Their seconds are those since the first of them began.
    """

    connections: int
    sessions: int
    sockets: int
    commands: tuple[str, ...]


class Sessions:
    """Counts for one VM.

    Args:
        vm: the VM; its sshd is told to log more meanwhile.
        folder: an empty folder of our own.
    """

    def __init__(self, vm: Vm, folder: Path) -> None:
        self.vm = vm
        self._notes = folder / "notes"
        self._notes.mkdir()
        self._programs = folder / "bin"
        self._programs.mkdir()
        docker = self._programs / "docker"
        docker.write_text(
            _DOCKER.format(notes=shlex.quote(str(self._notes)), real=shlex.quote(shutil.which("docker") or "docker"))
        )
        docker.chmod(0o755)
        self._log = vm.here("/var/log/sshd.log")

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with which a run is counted."""
        return {"PATH": f"{self._programs}:{os.environ['PATH']}"}

    @contextmanager
    def counted(self) -> Iterator[Callable[[], Asked]]:
        """Count until the end of the block; yields what returns what was asked in it."""
        with listening(self.vm, "DEBUG1") as told:
            seen = self._log.stat().st_size

            def asked() -> Asked:
                with self._log.open("rb") as log:
                    log.seek(seen)
                    said = log.read().decode(errors="replace")
                return Asked(
                    connections=said.count("Accepted publickey for "),
                    sessions=said.count(_SESSION),
                    sockets=sum(said.count(kind) for kind in _SOCKETS),
                    commands=tuple(self._purposes(told)),
                )

            yield asked

    def _purposes(self, told: Path) -> Iterator[str]:
        notes = sorted((path.stat().st_mtime, path) for folder in (self._notes, told) for path in folder.iterdir())
        for at, note in notes:
            said = note.read_text(errors="replace").rstrip("\0")
            note.unlink()
            words = said.split("\0")
            if words[0] != "docker":
                yield f"{at - notes[0][0]:6.2f} s  session  {purpose(said)}"
            elif "-H" in words:
                line = shlex.join(w for w in words[1:] if w != "-H" and not w.startswith("unix://"))
                yield f"{at - notes[0][0]:6.2f} s  docker   {purpose(line)}"


@cache
def _scripts() -> dict[str, str]:
    """Return the scripts that Onevm runs on a host, by their names: text of some lines, in a variable of an adapter."""
    found = {}
    for module in pkgutil.iter_modules(adapters.__path__, f"{adapters.__name__}."):
        for name, value in vars(import_module(module.name)).items():
            if isinstance(value, str) and "\n" in value and not name.startswith("__"):
                found[f"{module.name.rpartition('.')[2]}.{name}"] = value
    return found


def purpose(command: str) -> str:
    """Return a command in one short line, scripts by their names."""
    said = []
    for word in shlex.split(command):
        names = [name for name, text in _scripts().items() if text in word]
        inner = {a for a in names for b in names if a != b and _scripts()[a] in _scripts()[b]}
        flat = " ".join(word.split())
        said.append("+".join(n for n in names if n not in inner) or (flat if len(flat) <= WORD else f"{flat[:WORD]}…"))
    if said[:2] == ["sh", "-c"]:
        # The word after a script is its name for itself.
        said = [said[2], *said[4:]]
    line = " ".join(said)
    return line if len(line) <= SHORT else f"{line[:SHORT]}…"
