"""Looks at every process of this machine and of its VMs all the time, for as long as a `with` block lasts.

The processes of a VM are in a pid namespace below this machine's, so this machine's /proc has them all. Where the
kernel tells of every exec (proc connector, in the machine's first pid namespace only), a process that lives for a
millisecond is seen too; elsewhere those that live for some tens.
"""

import os
import re
import socket
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath

PAGE = os.sysconf("SC_PAGE_SIZE")
PAUSE_SECONDS = 0.02
INTERPRETER = re.compile(r"(env|sh|bash|dash|ash|busybox|node|perl|ruby|python[\d.]*)$")
# linux/netlink.h, linux/connector.h, linux/cn_proc.h
_NETLINK_CONNECTOR, _DONE, _CN_PROC, _LISTEN, _EXEC = 11, 3, 1, 1, 2
_SUBSCRIPTION = struct.Struct("=IHHII IIIIHH I")
_EVENT = struct.Struct("=IIQII")
_BEFORE_THE_EVENT = 36


@dataclass(frozen=True)
class Process:
    """A process as it was at one moment.

    Attributes:
        pid: as this machine counts.
        parent: its parent's pid.
        name: the kernel's name for it, at most 15 characters.
        memory: bytes of RAM that are its own: not those of files, which the kernel drops when it needs the room.
        line: its command line, words apart by one space.
    """

    pid: int
    parent: int
    name: str
    memory: int
    line: str

    @property
    def programs(self) -> set[str]:
        """What it may be called: an interpreter, and what it runs."""
        names = [PurePosixPath(word).name for word in self.line.split()[:3]]
        return {self.name, *(names if INTERPRETER.match(names[0] if names else "") else names[:1])}


def look(pid: int) -> Process | None:
    """Look at one process; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        pages = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return None
    head, _, rest = stat.rpartition(b") ")
    own = int(pages[1]) - int(pages[2])
    text = line.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    return Process(pid, int(rest.split()[1]), head.partition(b" (")[2].decode(errors="replace"), own * PAGE, text)


def all_processes() -> dict[int, Process]:
    """Look at all processes."""
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - ten times faster
    return {process.pid: process for process in found if process}


def below(ancestor: int, processes: Mapping[int, Process]) -> list[Process]:
    """Return a process and its descendants."""

    @cache
    def is_below(pid: int) -> bool:
        process = processes.get(pid)
        return pid == ancestor or (process is not None and process.parent > 0 and is_below(process.parent))

    return [process for pid, process in processes.items() if is_below(pid)]


def memory_of(processes: Iterable[Process]) -> int:
    """Return how much RAM processes have together, in bytes."""
    return sum(process.memory for process in processes)


@dataclass
class Sampled:
    """What was seen so far.

    Attributes:
        vm: pid of the VM's first process, as this machine counts.
        here: name and command line of every process outside of the VM, with one look at it.
        there: the same of the VM.
        peak: the processes of the VM when they had the most memory together.
    """

    vm: int
    here: dict[tuple[str, str], Process] = field(default_factory=dict)
    there: dict[tuple[str, str], Process] = field(default_factory=dict)
    peak: list[Process] = field(default_factory=list)

    def note_all(self) -> None:
        """Look around once."""
        processes = all_processes()
        inside = below(self.vm, processes)
        self.peak = max(self.peak, inside, key=memory_of)
        for process in inside:
            del processes[process.pid]
            self.there.setdefault((process.name, process.line), process)
        for process in processes.values():
            self.here.setdefault((process.name, process.line), process)

    def note(self, pid: int) -> None:
        """Look at a process that has just begun."""
        if process := look(pid):
            up: Process | None = process
            while up and up.pid != self.vm:
                up = look(up.parent) if up.parent else None
            (self.there if up else self.here).setdefault((process.name, process.line), process)

    def lines(self) -> list[str]:
        """Return every command line, wherever it was."""
        return [line for _, line in (*self.here, *self.there)]


@contextmanager
def sampling(vm: int) -> Iterator[Sampled]:
    """Look at all processes until the block ends.

    Args:
        vm: pid of the VM's first process, as this machine counts.
    """
    sampled = Sampled(vm)
    over = threading.Event()

    def poll() -> None:
        while True:
            sampled.note_all()
            if over.wait(PAUSE_SECONDS):
                return

    threads = [threading.Thread(target=poll), threading.Thread(target=_follow, args=(sampled, over))]
    for thread in threads:
        thread.start()
    try:
        yield sampled
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _follow(sampled: Sampled, over: threading.Event) -> None:
    """Look at every process as it begins, where the kernel tells."""
    with suppress(OSError):
        # Ahead of others of this machine, or the process may be gone before it is looked at.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    with suppress(OSError), closing(socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR)) as events:
        events.bind((0, _CN_PROC))
        events.settimeout(0.05)
        events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        events.send(_SUBSCRIPTION.pack(_SUBSCRIPTION.size, _DONE, 0, 0, 0, _CN_PROC, 1, 0, 0, 4, 0, _LISTEN))
        while not over.is_set():
            with suppress(TimeoutError):  # so that the end is noticed
                what, _, _, _, pid = _EVENT.unpack_from(events.recv(4096), _BEFORE_THE_EVENT)
                if what == _EXEC:
                    sampled.note(pid)
