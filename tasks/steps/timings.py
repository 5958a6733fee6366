"""How long each phase of a run took, as a whole and by service."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field


class Timings(Struct):
    """Seconds by phase; a phase that comes twice adds up.

    Threads may measure side by side, each for a service of its own.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    services: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str, service: str = "") -> Iterator[None]:
        """Measure what happens inside, for a service if one is named."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - began, service)

    def add(self, name: str, seconds: float, service: str = "") -> None:
        """Count seconds towards a phase, of a service if one is named."""
        of = self.services.setdefault(service, {}) if service else self.seconds
        of[name] = round(of.get(name, 0.0) + seconds, 3)

    def replacing(self, seconds: float, services: Iterable[str], parts: Sequence[str]) -> None:
        """Count seconds that services were replaced in, side by side, towards the parts that the slowest one had.

        Args:
            seconds: how long it took.
            services: who took part.
            parts: phases that are not `start` itself.
        """
        known = [{part: self.services.get(n, {}).get(part, 0.0) for part in ("start", *parts)} for n in services]
        slowest = max(known, key=lambda of: sum(of.values()), default={})
        rest = seconds
        for part in parts:
            share = min(slowest.get(part, 0.0), max(rest, 0.0))
            rest -= share
            if share:
                self.add(part, share)
        self.add("start", max(rest, 0.0))


def merged(*several: Timings) -> Timings:
    """Return the sums of several timings."""
    found = Timings()
    for one in several:
        _add(found, one.seconds)
        for service, seconds in one.services.items():
            _add(found, seconds, service)
    return found


def _add(to: Timings, seconds: Mapping[str, float], service: str = "") -> None:
    for name, value in seconds.items():
        to.add(name, value, service)


def since_start() -> float:
    """Return the seconds since this process began (proc_pid_stat(5)); where that is not told, since it came here."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return time.monotonic() - _HERE


_HERE = time.monotonic()
