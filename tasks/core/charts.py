"""Where the marks of charts go: numbers in, coordinates out. What they look like is the page's."""

import math
from collections.abc import Sequence

from msgspec import Struct


class Axis(Struct, frozen=True, kw_only=True):
    """An axis from zero to a round number.

    Attributes:
        top: that number.
        ticks: the numbers to be written, from zero to the top.
    """

    top: float
    ticks: tuple[float, ...]


def axis(most: float, steps: tuple[float, ...] = (1, 2, 2.5, 5, 10)) -> Axis:
    """Return an axis that holds values up to `most`, with two to five round ticks above zero."""
    if most <= 0:
        return Axis(top=1.0, ticks=(0.0, 1.0))
    power = 10.0 ** math.floor(math.log10(most / 3))
    step = next(step * power for step in steps if step * power * 4 >= most)
    count = max(math.ceil(most / step - 1e-9), 1)
    return Axis(top=step * count, ticks=tuple(step * number for number in range(count + 1)))


def places(count: int, width: float) -> tuple[float, ...]:
    """Return the middles of `count` equal slots side by side."""
    return tuple(round(width * (number + 0.5) / count, 2) for number in range(count))


def height(value: float, top: float, whole: float) -> float:
    """Return how high a value stands on an axis up to `top`, in the units of `whole`."""
    return round(min(max(value / top, 0.0), 1.0) * whole, 2) if top else 0.0


def steps(values: Sequence[float | None], width: float, whole: float, top: float) -> str:
    """Return the path of a line that keeps a value until the next one; unknown ones are passed over (SVG 2, 9.3)."""
    path, slot = "", width / max(len(values), 1)
    for number, value in enumerate(values):
        if value is None:
            continue
        y = round(whole - height(value, top, whole), 2)
        start, end = round(number * slot, 2), round((number + 1) * slot, 2)
        path += f"M{start} {y}H{end}" if not path else f"L{start} {y}H{end}"
    return path


def line(values: Sequence[float], width: float, whole: float, top: float) -> str:
    """Return the points of a line through values, from the left edge to the right."""
    apart = width / max(len(values) - 1, 1)
    return " ".join(
        f"{round(number * apart, 2)},{round(whole - height(value, top, whole), 2)}"
        for number, value in enumerate(values)
    )


def shares(values: Sequence[float], whole: float) -> tuple[float, ...]:
    """Return values in per cent of a whole."""
    return tuple(round(100 * value / whole, 3) if whole else 0.0 for value in values)
