"""What can happen to a deploy: each fault strikes once, and is over when `mend` returns."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.campaign.world import World
from tests.integration.shop import Running, until

BLINK_SECONDS = 20


def _nothing(w: World) -> None:
    del w


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One kind of fault.

    Attributes:
        strike: does it to a world and a run; may take its time.
        mend: ends it, after the run has ended.
        weight: how often it comes, compared with the others.
        others: how many more deployers there are.
        kills: whether the run cannot end by itself.
    """

    strike: Callable[[World, Running], None]
    mend: Callable[[World], None] = _nothing
    weight: int = 4
    others: int = 0
    kills: bool = False


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def here(w: World, mark: str = "") -> list[int]:
    """Return this machine's processes of the stack's runs, not the VM's; `mark` is in their command."""
    space = Path("/proc/self/ns/pid").readlink()
    found = []
    for pid, line in w.shop.processes().items():
        with suppress(OSError):
            if Path(f"/proc/{pid}/ns/pid").readlink() == space and mark in line and "probe.py" not in line:
                found.append(pid)
    return found


def _group(w: World, run: Running) -> None:
    del w
    with suppress(ProcessLookupError):
        os.killpg(run.process.pid, signal.SIGKILL)


def _power(w: World, run: Running) -> None:
    _kill([run.process.pid, *here(w)])


def _ssh(w: World, run: Running) -> None:
    del run
    _kill(here(w, " -M "))


def _cut(w: World, run: Running) -> None:
    del run
    w.vm.cut()


def _blink(w: World, run: Running) -> None:
    del run
    w.vm.cut()
    time.sleep(BLINK_SECONDS)
    w.vm.heal()


def _engine(w: World, run: Running) -> None:
    del run
    w.restart_engine()


def _registry(w: World, run: Running) -> None:
    del run
    w.door.shut()


def _sshd(w: World, run: Running) -> None:
    del run
    _kill(w.listeners())


def _disk(w: World, run: Running) -> None:
    del run
    w.fill()


def _two(w: World, run: Running) -> None:
    del w, run


FAULTS = {
    "sigkill": Fault(strike=_group, kills=True),
    "power": Fault(strike=_power, kills=True),
    "ssh": Fault(strike=_ssh),
    "cut": Fault(strike=_cut, mend=lambda w: w.vm.heal(), weight=2),
    "blink": Fault(strike=_blink, weight=1),
    "engine": Fault(strike=_engine, mend=lambda w: until(w.engine_answers, "the engine answers")),
    "registry": Fault(strike=_registry, mend=lambda w: w.door.open()),
    "sshd": Fault(strike=_sshd, mend=lambda w: until(w.ssh_answers, "sshd answers")),
    "disk": Fault(strike=_disk, mend=lambda w: w.filler.unlink(missing_ok=True)),
    "two": Fault(strike=_two, others=1, weight=2),
    "five": Fault(strike=_two, others=4, weight=1),
}
