"""What was measured of the four ways, and how it is shown."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.table import Table

from scripts.benchmarks.sessions import Asked
from tasks.core.values import plain

MIB = 1 << 20
WAYS = {"a": "old script", "b": "plain Compose", "c": "the limit", "d": "Onevm"}
NAMED = "one changed, and named"
CASES = (
    "nothing changed",
    "one service changed",
    NAMED,
    "all changed",
    "no source changed",
    "rollback",
    "fresh clone",
)
COLUMNS = ["case", *(f"{way} {name}" for way, name in WAYS.items()), "d / a", "d / b", "d / c"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """What the link to the VM is while something is measured.

    Attributes:
        delay: milliseconds that each packet takes longer in each direction; 0 as it is.
        rate: megabits a second in each direction; 0 as it is.
    """

    delay: float = 0
    rate: float = 0

    def __bool__(self) -> bool:
        return bool(self.delay or self.rate)

    def __str__(self) -> str:
        parts = [f"{self.delay:g} ms", f"{self.rate:g} Mbit/s"]
        return " and ".join(part for part, value in zip(parts, (self.delay, self.rate), strict=True) if value)


@dataclass(kw_only=True)
class Found:
    """What was measured.

    Attributes:
        seconds: by case and way, of each round.
        memory: by way, bytes that the VM's processes took at most, above what they had, while one service changed,
            in each round.
        asked: by case, what Onevm asked of the VM in each round; only over a slow link.
    """

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    memory: dict[str, list[int]] = field(default_factory=dict)
    asked: dict[str, list[Asked]] = field(default_factory=dict)

    def note(self, case: str, way: str, seconds: float) -> None:
        """Write down one round."""
        self.seconds.setdefault(case, {}).setdefault(way, []).append(seconds)

    def as_json(self) -> dict[str, Any]:
        """Return all of it, as it is written down."""
        return plain(self)


def heading(services: int, link: Link) -> str:
    """Return what a table is about."""
    slow = f", the link to the VM slow: {link} each way" if link else ""
    return f"{services} services in four repositories{slow}"


def figures(found: Found, case: str) -> list[str]:
    """Return the cells of one row: seconds by way, and what Onevm's are of the others'."""
    medians = {way: median(times) for way, times in found.seconds.get(case, {}).items()}
    cells = [f"{medians[way]:.1f}" if way in medians else "" for way in WAYS]
    return cells + [f"{medians['d'] / medians[way]:.2f}" if way in medians and "d" in medians else "" for way in "abc"]


def table(found: Found, services: int, link: Link) -> Table:
    """Return the table of one size."""
    shown = Table(title=f"{heading(services, link)}, seconds", title_justify="left", box=None)
    for number, column in enumerate(COLUMNS):
        shown.add_column(column, justify="right" if number else "left")
    for case in CASES:
        shown.add_row(case, *figures(found, case))
    memory = [f"{median(found.memory[way]) / MIB:.0f} MiB" if way in found.memory else "" for way in WAYS]
    shown.add_row("memory of the VM, one changed", *memory)
    return shown


def counts(found: Found, case: str) -> str:
    """Return what Onevm asked of the VM in one case: the last round's connections, commands, forwarded sockets."""
    asked = found.asked[case][-1]
    return f"{case}: SSH connections {asked.connections}, sessions {asked.sessions}, to sockets {asked.sockets}"


def markdown(results: dict[int, Found], link: Link) -> str:
    """Return the tables as Markdown."""
    lines = []
    for services, found in results.items():
        lines += [f"### {heading(services, link)}", "", f"| {' | '.join(COLUMNS)} |"]
        lines.append(f"|---|{'---:|' * (len(COLUMNS) - 1)}")
        lines += [f"| {case} | {' | '.join(figures(found, case))} |" for case in CASES]
        lines.append("")
        if found.asked:
            lines += ["What one run of Onevm asked of the VM (a session is a command; sockets are forwarded):", ""]
            lines += [f"- {counts(found, case)}" for case in CASES if case in found.asked]
            lines.append("")
    return "\n".join(lines)
