"""What the faults happen to: a VM with a small disk, a stack on it, a registry that can be stopped, and a probe."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.remote import RegistryDoor, RemoteShop, opened, registry_door
from tests.e2e.vm import Vm, running_vm
from tests.integration.shop import LONGEST_RUN, until

DISK = "700m"
PORT = 8000
PROBED = "b"


@dataclass(kw_only=True)
class World:
    """What the faults happen to.

    Attributes:
        vm: the VM.
        shop: the stack; the service b is probed.
        door: the way to the registry, here and on the VM.
        answers: the probe's file.
        recreates: seconds without an answer in each undisturbed replacement of b.
        restart: seconds without an answer when the engine is restarted and nothing else happens.
        factor: a gap may be this many times as long as the longest undisturbed one: that many replacements are made
            one after the other where the first one's run is struck (it, the way back, the next), and an engine is
            restarted with a replacement under way.
        took: seconds of the latest undisturbed run, by verb: until it holds the lock, and in all.
    """

    vm: Vm
    shop: RemoteShop
    door: RegistryDoor
    answers: Path
    recreates: list[float] = field(default_factory=list)
    restart: float = 0.0
    factor: float = 2.0
    took: dict[str, tuple[float, float]] = field(default_factory=dict)

    def gap(self, begin: float, end: float) -> float:
        """Return the longest time without an answer, in seconds, of those that reach into a span of time."""
        moments = [float(line) for line in self.answers.read_text().splitlines()]
        moments = [moment for moment in moments if moment <= end]
        return max(
            (b - a for a, b in zip(moments, [*moments[1:], end], strict=True) if b >= begin), default=end - begin
        )

    def answering(self, since: float) -> bool:
        """Whether there was an answer after a moment."""
        lines = self.answers.read_text().splitlines()
        return bool(lines) and float(lines[-1]) > since

    def inside(self, name: str) -> list[int]:
        """Return this machine's pids of the VM's processes of a name."""
        space = Path(f"/proc/{self.vm.pid()}/ns/pid").readlink()
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if (
                    entry.name.isdigit()
                    and (entry / "comm").read_text().strip() == name
                    and (entry / "ns" / "pid").readlink() == space
                ):
                    found.append(int(entry.name))
        return sorted(found)

    def restart_engine(self) -> None:
        """End the VM's engine as a service manager would; returns when another one answers."""
        (old,) = self.inside("dockerd")
        os.kill(old, signal.SIGTERM)
        until(lambda: old not in self.inside("dockerd"), "the engine has ended")
        until(self.engine_answers, "the next engine answers")

    def engine_answers(self) -> bool:
        """Whether the VM's engine answers."""
        return bool(self.vm.docker("version", "--format", "{{.Server.Version}}", check=False).strip())

    def listeners(self) -> list[int]:
        """Return the pids of the VM's sshd that wait for connections: not those of connections."""
        return [pid for pid in self.inside("sshd") if b"listener" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def ssh_answers(self) -> bool:
        """Whether the VM's sshd takes connections."""
        with suppress(OSError), socket.create_connection((self.vm.address, 22), 1) as connection:
            return connection.recv(3) == b"SSH"
        return False

    @property
    def filler(self) -> Path:
        """The file that fills the VM's disk."""
        return self.vm.here("/srv/filler")

    def fill(self) -> None:
        """Leave no byte free on the VM's disk."""
        with self.filler.open("wb") as file:
            end = 0
            for size in (1 << 24, 1 << 18, 1 << 12):
                with suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), end, size)
                        end += size


@contextmanager
def small_disk(vm: Vm) -> Iterator[None]:
    """Give a VM a disk of its own and of a size that can be filled; it is booted again with it."""
    disk, before = vm.state / "disk", vm.state / "disk.before"
    _power_cut(vm)
    disk.rename(before)
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", str(disk)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{before}/.", str(disk)], check=True)
        shutil.rmtree(before)
        vm.boot()
        yield
    finally:
        _power_cut(vm)
        subprocess.run(["umount", str(disk)], check=True)


def _power_cut(vm: Vm) -> None:
    for part in ("init", "start"):
        with suppress(FileNotFoundError, ProcessLookupError):
            pid = int((vm.state / f"{part}.pid").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: not _runs(pid), f"{part} of {vm.name} has ended")  # type: ignore[misc]


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextmanager
def probing(vm: Vm, file: Path) -> Iterator[None]:
    """Ask b all the time, from the VM's own network."""
    file.touch()
    enter = ["nsenter", "--target", str(vm.pid()), "--net", "--"]
    script = Path(__file__).with_name("probe.py")
    words = [*enter, sys.executable, "-I", "-S", str(script), f"http://127.0.0.1:{PORT}/version", str(file)]
    child = subprocess.Popen(words)
    try:
        yield
    finally:
        child.kill()
        child.wait()


@contextmanager
def world() -> Iterator[World]:
    """Make all of it, with the stack deployed, and take it away again."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        vm = closing.enter_context(running_vm(f"faults{os.getpid()}"))
        closing.enter_context(small_disk(vm))
        door = closing.enter_context(registry_door(vm))
        shop = closing.enter_context(opened(vm, folder, "abe", door.host))
        with shop.compose() as compose:
            compose["services"]["b"]["ports"] = [f"127.0.0.1:{PORT}:8000"]
            for service in compose["services"].values():
                service["restart"] = "unless-stopped"
        shop.commit("Open for everybody")
        closing.enter_context(probing(vm, folder / "answers"))
        found = World(vm=vm, shop=shop, door=door, answers=folder / "answers")
        shop.doit("deploy").ok()
        until(lambda: found.answering(0), "b answers")
        yield found


def measure(w: World, recreates: int = 3) -> None:
    """Measure what a run takes, and for how long b does not answer, where nothing is broken.

    Args:
        w: the world.
        recreates: how many deploys, each with a rollback after it.
    """
    for number in range(recreates):
        for verb in ("deploy", "rollback"):
            if verb == "deploy":
                w.shop.change(PROBED, f"b measured {number} {time.monotonic()}")
            begin = time.monotonic()
            run = w.shop.start(verb)
            until(lambda: has_lock(w) or run.process.poll() is not None, "the lock is taken", LONGEST_RUN)  # noqa: B023
            locked = time.monotonic()
            run.wait().ok()
            end = time.monotonic()
            until(lambda: w.answering(end), "b answers")  # noqa: B023
            w.recreates.append(w.gap(begin, time.monotonic()))
            w.took[verb] = (locked - begin, end - begin)
    w.shop.doit("deploy").ok()


def measure_engine(w: World) -> None:
    """Measure for how long b does not answer where the engine is restarted and nothing else happens."""
    begin = time.monotonic()
    w.restart_engine()
    until(lambda: w.answering(begin + 0.5), "b answers after the engine's restart")
    until(lambda: {c.state for c in w.shop.containers()} == {"healthy"}, "all are healthy after the engine's restart")
    w.restart = w.gap(begin, time.monotonic())
    w.shop.doit("deploy").ok()


def has_lock(w: World) -> bool:
    """Whether somebody holds the stack's lock."""
    try:
        return bool((w.shop.home / "lock").read_text().strip())
    except FileNotFoundError:
        return False
