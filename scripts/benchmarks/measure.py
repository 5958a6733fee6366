"""Seconds of a command: by the clock, and of the processors.

On a busy machine the processors' time says more than the clock's: it counts the command and every process that it
waited for, and not those of others.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

CLONE = Path(__file__).resolve().parents[2]
# As a user's shell has it: what was compiled once is kept.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
BASELINE = (sys.executable, "-c", "import doit.doit_cmd")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seconds:
    """The median seconds of some rounds: by the clock, and of the processors (user and system)."""

    wall: float
    cpu: float


def doit(*words: str) -> tuple[str, ...]:
    """Return the command `doit WORDS`, run by this interpreter."""
    return (sys.executable, "-m", "doit", *words)


def seconds(
    command: Sequence[str], rounds: int, *, before: Callable[[int], None] | None = None, code: int = 0
) -> Seconds:
    """Run a command some times in the clone, once more before that to warm up.

    Args:
        command: what to run.
        rounds: how often.
        before: called before each round with its number, outside the measured time.
        code: the exit code it must end with.

    Raises:
        RuntimeError: it failed; the message has what it said.
    """
    measured = []
    for number in range(rounds + 1):
        if before:
            before(number)
        measured.append(_once(command, code))
    del measured[0]
    return Seconds(wall=median(s.wall for s in measured), cpu=median(s.cpu for s in measured))


def _once(command: Sequence[str], code: int) -> Seconds:
    read, write = os.pipe()
    with open(read, "rb") as said:  # noqa: PTH123 - a descriptor
        started = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=CLONE, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=write, stderr=write
        )
        os.close(write)
        words = said.read()
    _, status, used = os.wait4(child.pid, 0)
    took = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != code:
        said_last = words.decode(errors="replace")[-4000:]
        raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{said_last}")
    return Seconds(wall=took, cpu=used.ru_utime + used.ru_stime)
