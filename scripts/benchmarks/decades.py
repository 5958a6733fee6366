"""Costs by size, and how they grow: by which factor for ten times as much, and by how much for one more."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

# What grows more than this, by factor for the last ten times as much and in all, is marked.
MARKED_FACTOR = 1.5
MARKED_SECONDS = 0.15
MARKED_COUNT = 10
_LEAST_SECONDS = 0.02
UNIT = {"s": "s", "count": ""}


@dataclass(kw_only=True, slots=True)
class Row:
    """One cost.

    Attributes:
        name: what costs.
        unit: `s` or `count`.
        values: by size.
        cpu: seconds of the processors by size, where they are known.
    """

    name: str
    unit: str = "s"
    values: dict[int, float] = field(default_factory=dict)
    cpu: dict[int, float] = field(default_factory=dict)

    @property
    def steadiest(self) -> dict[int, float]:
        """The values on which other work on the machine has the least influence."""
        return self.cpu or self.values

    def factor(self, smaller: int, larger: int) -> float | None:
        """Return the factor for ten times as much, between two sizes; None where there is next to nothing."""
        found = self.steadiest
        if smaller not in found or larger not in found:
            return None
        least = _LEAST_SECONDS if self.unit == "s" else 1
        before, after = (max(found[size], least) for size in (smaller, larger))
        return float((after / before) ** (1 / math.log10(larger / smaller)))

    def each(self) -> float | None:
        """Return what one more costs, between the smallest and the largest size."""
        found = self.steadiest
        first, last = min(found), max(found)
        return (found[last] - found[first]) / (last - first) if last > first else None

    @property
    def grows(self) -> bool:
        """Whether it grows so much with size that somebody should know why."""
        found = self.steadiest
        if len(found) < 2:  # noqa: PLR2004 - two sizes
            return False
        *_, smaller, larger = sorted(found)
        more = found[larger] - min(found.values())
        least = MARKED_SECONDS if self.unit == "s" else MARKED_COUNT
        return (self.factor(smaller, larger) or 1) >= MARKED_FACTOR and more >= least


@dataclass(kw_only=True, slots=True)
class Section:
    """Costs that grow with one thing.

    Attributes:
        title: with what.
        what: the thing, in the plural.
        rows: the costs, by name.
        notes: what is to be known to read them.
    """

    title: str
    what: str
    rows: dict[str, Row] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, name: str, size: int, value: float, *, unit: str = "s", cpu: float | None = None) -> None:
        """Write down one cost at one size."""
        row = self.rows.setdefault(name, Row(name=name, unit=unit))
        row.values[size] = value
        if cpu is not None:
            row.cpu[size] = cpu

    @property
    def sizes(self) -> list[int]:
        """All sizes, smallest first."""
        return sorted({size for row in self.rows.values() for size in row.values})

    def columns(self) -> list[str]:
        """Return the columns' names."""
        pairs = zip(self.sizes, self.sizes[1:], strict=False)
        return ["cost", *(f"{n:,}" for n in self.sizes), *(f"{a:,}→{b:,}" for a, b in pairs), "each more", ""]

    def lines(self) -> Iterable[list[str]]:
        """Yield the cells of each row."""
        pairs = list(zip(self.sizes, self.sizes[1:], strict=False))
        for row in self.rows.values():
            if any(row.values.values()):
                factors = [_times(row.factor(a, b)) for a, b in pairs]
                grows = "grows" if row.grows else ""
                yield [row.name, *(_value(row, size) for size in self.sizes), *factors, _each(row), grows]

    def table(self) -> Table:
        """Return it as a table."""
        table = Table(title=self.title, title_justify="left", box=None, pad_edge=False)
        for number, column in enumerate(self.columns()):
            table.add_column(column, justify="right" if number else "left", no_wrap=True)
        for cells in self.lines():
            table.add_row(*cells)
        return table

    def markdown(self) -> str:
        """Return it as Markdown."""
        columns = self.columns()
        lines = [f"### {self.title}", "", f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
        lines += [f"| {' | '.join(cells)} |" for cells in self.lines()]
        return "\n".join([*lines, "", *(f"{note}\n" for note in self.notes)])

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        rows: Sequence[Row] = list(self.rows.values())
        return {
            "what": self.what,
            "notes": self.notes,
            "rows": [
                {
                    "cost": row.name,
                    "unit": row.unit,
                    "values": {str(size): value for size, value in row.values.items()},
                    "cpu": {str(size): value for size, value in row.cpu.items()},
                    "each": row.each(),
                    "grows": row.grows,
                }
                for row in rows
            ],
        }


def _value(row: Row, size: int) -> str:
    if size not in row.values:
        return ""
    if row.unit == "count":
        return f"{row.values[size]:,.0f}"
    return f"{row.values[size]:.2f}" + (f" ({row.cpu[size]:.2f})" if size in row.cpu else "")


def _times(factor: float | None) -> str:
    return "" if factor is None else f"x{factor:.1f}"


def _each(row: Row) -> str:
    each = row.each()
    if each is None:
        return ""
    return f"{each:.2f}" if row.unit == "count" else f"{each * 1000:.3f} ms"
