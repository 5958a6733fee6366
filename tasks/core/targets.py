"""What the deploys are measured against: the roadmap's targets, what was before, what is now, and where it goes."""

import statistics
from collections.abc import Callable, Sequence
from typing import Literal

from msgspec import Struct

from tasks.core.deploys import Deploy
from tasks.core.durations import spoken
from tasks.core.sizes import spoken as bytes_spoken

LAST = 5
STEADY = 0.1
MOST_SECONDS = 30.0
# Two copies of a service side by side take some memory, a compiler takes all that it can get.
MOST_RISE = 0.1

Verdict = Literal["met", "missed", "no data"]


class Row(Struct, frozen=True, kw_only=True):
    """One target.

    Attributes:
        name: what is measured.
        target: what is wanted.
        before: what it was when images were built on the VM, as estimated then.
        now: what the last deploys say; empty if there are none.
        figure: the shortest form of that.
        detail: what the figure leaves out.
        verdict: whether the target is met.
        trend: how the last ones differ from those before; empty if there are none before.
        basis: what it stands on: how many deploys.
        unit: `seconds`, `failed requests` or `share of memory`.
        limit: the target as a number of that unit.
        value: the value now, in that unit.
        values: the values of all that count, oldest first.
    """

    name: str
    target: str
    before: str
    now: str = ""
    figure: str = ""
    detail: str = ""
    verdict: Verdict = "no data"
    trend: str = ""
    basis: str = ""
    unit: str
    limit: float
    value: float | None = None
    values: tuple[float, ...] = ()


def table(deploys: Sequence[Deploy]) -> tuple[Row, ...]:
    """Return the targets with what deploys, oldest first and of any stacks, say of them."""
    good = sorted((one for one in deploys if one.outcome == "good"), key=lambda one: one.when)
    return (
        _timed(
            "warm deploy, 1 service",
            "2-3 min",
            [one for one in good if one.kind == "deploy" and not one.first and len(one.replaced) == 1],
        ),
        _gap([one for one in good if one.requests]),
        _memory([one for one in good if one.measured and one.measured.resources and one.replaced]),
        _timed("rollback", "minutes", [one for one in good if one.kind == "rollback"]),
    )


def _timed(name: str, before: str, deploys: Sequence[Deploy]) -> Row:
    values = tuple(one.took for one in deploys)
    row = {"name": name, "target": f"< {MOST_SECONDS:g} s", "before": before, "unit": "seconds", "limit": MOST_SECONDS}
    if not values:
        return Row(**row)  # type: ignore[arg-type]
    now = statistics.median(values[-LAST:])
    return Row(
        **row,  # type: ignore[arg-type]
        now=spoken(now),
        figure=spoken(now),
        value=now,
        verdict="met" if now < MOST_SECONDS else "missed",
        trend=_trend(values, statistics.median, "faster", "slower"),
        basis=_basis("median of", values),
        values=values,
    )


def _gap(deploys: Sequence[Deploy]) -> Row:
    row = {
        "name": "downtime per service",
        "target": "~0",
        "before": "stop and start",
        "unit": "failed requests",
        "limit": 0.0,
    }
    values = tuple(float(one.failed_requests) for one in deploys)
    if not values:
        return Row(**row)  # type: ignore[arg-type]
    last = deploys[-LAST:]
    failed, requests = sum(one.failed_requests for one in last), sum(one.requests for one in last)
    requests_ = f"of {requests} requests, longest gap {max((one.gap or 0.0) for one in last):.1f} s"
    gaps = tuple(one.gap or 0.0 for one in deploys)
    return Row(
        **row,  # type: ignore[arg-type]
        now=f"{failed} of {requests} failed, gap {max(gaps[-LAST:]):.1f} s",
        figure=f"{failed} failed",
        detail=requests_,
        value=float(failed),
        verdict="missed" if failed else "met",
        trend=_trend(gaps, max, "shorter gap", "longer gap"),
        basis=_basis("all requests of", values),
        values=values,
    )


def _memory(deploys: Sequence[Deploy]) -> Row:
    row = {
        "name": "peak memory",
        "target": "no build spike",
        "before": "build spike",
        "unit": "share of memory",
        "limit": MOST_RISE,
    }
    known = [one.measured.resources for one in deploys if one.measured and one.measured.resources]
    values = tuple(one.memory_rise / one.memory for one in known)
    if not values:
        return Row(**row)  # type: ignore[arg-type]
    most = max(known[-LAST:], key=lambda one: one.memory_rise / one.memory)
    share = most.memory_rise / most.memory
    return Row(
        **row,  # type: ignore[arg-type]
        now=f"+{bytes_spoken(most.memory_rise)} ({share:.1%} of all)",
        figure=f"+{bytes_spoken(most.memory_rise)}",
        detail=f"{share:.1%} of the host's {bytes_spoken(most.memory)}",
        value=share,
        verdict="met" if share <= MOST_RISE else "missed",
        trend=_trend(values, max, "less", "more"),
        basis=_basis("most of", values),
        values=values,
    )


def _basis(how: str, values: Sequence[float]) -> str:
    count = min(len(values), LAST)
    return f"{how} the last {count}" if count > 1 else "the last one"


def _trend(values: Sequence[float], of: Callable[[Sequence[float]], float], less: str, more: str) -> str:
    """Return how the last values differ from those before, in words."""
    earlier = values[-2 * LAST : -LAST]
    if not earlier:
        return ""
    was, now = of(earlier), of(values[-LAST:])
    if abs(now - was) <= STEADY * max(was, now):
        return "steady"
    if not was:
        return more
    return f"{abs(now - was) / was:.0%} {less if now < was else more}"
