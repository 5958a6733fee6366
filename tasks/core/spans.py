"""Stretches of time: how long something was under way, and how long nothing but it was."""

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """From when to when, in seconds of one clock."""

    began: float
    ended: float


def covered(spans: Iterable[Span]) -> float:
    """Return how many seconds lie in at least one of the spans."""
    total, reached = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(ended - max(began, reached), 0.0)
        reached = max(reached, ended)
    return total


def alone(spans: Iterable[Span], others: Iterable[Span]) -> float:
    """Return how many seconds lie in the spans and in none of the others."""
    rest = tuple(others)
    return covered((*spans, *rest)) - covered(rest)
