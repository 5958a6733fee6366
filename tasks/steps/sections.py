"""The sections of the report's page as plain values: what stands where, and how long each mark is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tasks.core import charts
from tasks.core.deploys import Deploy
from tasks.core.durations import spoken
from tasks.core.measured import PHASES
from tasks.core.sizes import spoken as bytes_spoken
from tasks.core.targets import Row
from tasks.steps.reporting import StackReport

# What the phases are for; the page has a colour for each.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "prepare": ("load", "key", "lookup", "refresh"),
    "build": ("bake", "push"),
    "ship": ("reach", "lock", "look", "stage", "pull"),
    "switch": ("hook", "start", "healthy", "drain", "stop"),
    "close": ("verify", "record", "back", "prune"),
}
_GROUP_OF = {phase: group for group, phases in GROUPS.items() for phase in phases}
SHORTEST_SECONDS = 0.05
MOST_SHOWN = 12
MOST_IN_CHARTS = 40
MOST_SERVICES = 24
_MINUS = "\N{MINUS SIGN}"
_WIDTH = _HEIGHT = 100.0
_MARKS = {("deploy", "good"): "good", ("rollback", "good"): "back"}


def _parsed(when: str) -> datetime:
    return datetime.fromisoformat(when)


def moment(when: str) -> str:
    """Return a time in ISO 8601 as `23 Nov 2026, 05:58`."""
    try:
        return f"{day(when)}, {_parsed(when):%H:%M}"
    except ValueError:
        return when


def day(when: str) -> str:
    """Return the day of a time in ISO 8601 as `23 Nov 2026`."""
    try:
        return f"{_parsed(when).day} {_parsed(when):%b %Y}"
    except ValueError:
        return when


def cell(seconds: float) -> str:
    """Return seconds for a column of figures."""
    return spoken(seconds) if seconds >= SHORTEST_SECONDS else "< 0.1 s"


def period(stacks: Sequence[StackReport]) -> dict[str, Any]:
    """Return from when to when there were deploys, and how many."""
    shown = [one for stack in stacks for one in _shown(stack)]
    times = sorted(one.when for one in shown)
    return {
        "count": len(shown),
        "failed": sum(one.outcome == "failed" for one in shown),
        "first": day(times[0]) if times else "",
        "last": day(times[-1]) if times else "",
        "idle": sum(one.outcome == "unchanged" for stack in stacks for one in stack.deploys),
    }


def card(row: Row) -> dict[str, Any]:
    """Return a target with the line of its values; the target itself is a line across."""
    values = row.values[-MOST_IN_CHARTS:]
    top = max([*values, row.limit or 0.0, 1e-9]) * 1.1
    return {
        "row": row,
        "line": charts.line(values, _WIDTH, _HEIGHT, top) if len(values) > 1 else "",
        "limit": _HEIGHT - charts.height(row.limit, top, _HEIGHT) if row.limit else None,
    }


def stack(one: StackReport) -> dict[str, Any]:
    """Return the sections of a stack."""
    shown = _shown(one)
    rows = [_row(deploy, shown, one.current) for deploy in reversed(shown)]
    measured = [deploy for deploy in shown if deploy.measured][-MOST_IN_CHARTS:]
    return {
        "report": one,
        "count": len(shown),
        "strip": _strip(shown, one.current),
        "rows": rows[:MOST_SHOWN],
        "older": rows[MOST_SHOWN:],
        "last": _last(shown[-1]) if shown else None,
        "sizes": _sizes(measured),
        "gaps": _gaps([deploy for deploy in measured if deploy.requests]),
        "memory": _memory([deploy for deploy in measured if deploy.measured and deploy.measured.resources]),
        "graph": one.graph,
    }


def _shown(one: StackReport) -> list[Deploy]:
    """Return the deploys that did something, oldest first."""
    return [deploy for deploy in one.deploys if deploy.outcome in {"good", "failed"}]


def _mark(deploy: Deploy) -> str:
    return _MARKS.get((deploy.kind, deploy.outcome), "failed")


def _label(deploy: Deploy) -> str:
    return f"{moment(deploy.when)}: {deploy.kind} of {deploy.sha[:7]}, {deploy.outcome}, {spoken(deploy.took)}"


def _strip(shown: Sequence[Deploy], current: str) -> dict[str, Any] | None:
    """Return the releases as marks on a line of time, in per cent."""
    if not shown:
        return None
    times = [_parsed(deploy.when).timestamp() for deploy in shown]
    first, span = times[0], max(times[-1] - times[0], 1.0)
    return {
        "first": shown[0].when,
        "last": shown[-1].when,
        "marks": [
            {
                "x": round(100 * (time - first) / span, 2) if len(shown) > 1 else 50.0,
                "mark": _mark(deploy),
                "label": _label(deploy),
                "current": bool(current) and deploy.release == current,
            }
            for time, deploy in zip(times, shown, strict=True)
        ],
    }


def _segments(deploy: Deploy, whole: float) -> list[dict[str, Any]]:
    widths = charts.shares(tuple(deploy.seconds.values()), whole)
    return [
        {"phase": phase, "group": _GROUP_OF[phase], "seconds": seconds, "width": width}
        for (phase, seconds), width in zip(deploy.seconds.items(), widths, strict=True)
    ]


def _row(deploy: Deploy, shown: Sequence[Deploy], current: str) -> dict[str, Any]:
    whole = max((sum(one.seconds.values()) for one in shown[-MOST_SHOWN:]), default=0.0)
    return {
        "deploy": deploy,
        "mark": _mark(deploy),
        "current": bool(current) and deploy.release == current,
        "segments": _segments(deploy, max(whole, sum(deploy.seconds.values()))),
        "label": ", ".join(f"{phase} {spoken(seconds)}" for phase, seconds in deploy.seconds.items()),
    }


def _last(deploy: Deploy) -> dict[str, Any]:
    """Return the bar of each phase of a deploy, and its services' seconds in columns."""
    most = max(deploy.seconds.values(), default=0.0)
    services = dict(list((deploy.measured.services if deploy.measured else {}).items())[:MOST_SERVICES])
    phases = [phase for phase in PHASES if any(phase in of for of in services.values())]
    return {
        "deploy": deploy,
        "phases": _segments(deploy, most),
        "columns": phases,
        "services": [
            {
                "name": name,
                "changed": deploy.measured.changed.get(name, "") if deploy.measured else "",
                "why": deploy.why.get(name, ""),
                "seconds": [of.get(phase) for phase in phases],
            }
            for name, of in services.items()
        ],
        "why": any(deploy.why.get(name) for name in services),
        "left_out": len(deploy.measured.services) - len(services) if deploy.measured else 0,
    }


def _sizes(measured: Sequence[Deploy]) -> list[dict[str, Any]]:
    """Return the size of each service's image from deploy to deploy, the biggest service first."""
    series = [deploy.measured.sizes for deploy in measured if deploy.measured]
    biggest: dict[str, int] = {}
    for sizes in series:
        biggest |= sizes
    found = []
    for name in sorted(biggest, key=lambda name: (-biggest[name], name))[:MOST_SERVICES]:
        values = [sizes.get(name) for sizes in series]
        known = [value for value in values if value is not None]
        found.append(
            {
                "name": name,
                "path": charts.steps(values, _WIDTH, _HEIGHT, max(known) * 1.15),
                "last": known[-1],
                "change": known[-1] - known[0],
                "words": _signed(known[-1] - known[0]),
            }
        )
    return found


def _signed(size: int) -> str:
    return f"{'+' if size > 0 else _MINUS}{bytes_spoken(abs(size))}" if size else "unchanged"


def _gaps(asked: Sequence[Deploy]) -> dict[str, Any] | None:
    if not asked:
        return None
    axis = charts.axis(max(deploy.gap or 0.0 for deploy in asked))
    return {
        "ticks": [{"y": charts.height(tick, axis.top, 100), "text": f"{tick:g} s"} for tick in axis.ticks],
        "bars": [
            {
                "low": 0.0,
                "height": charts.height(deploy.gap or 0.0, axis.top, 100),
                "bad": deploy.failed_requests > 0,
                "label": f"{_label(deploy)}; longest gap {deploy.gap or 0.0:.1f} s,"
                f" {deploy.failed_requests} of {deploy.requests} requests failed",
            }
            for deploy in asked
        ],
        "line": None,
        "failed": sum(deploy.failed_requests for deploy in asked),
        "requests": sum(deploy.requests for deploy in asked),
        "most": max(deploy.gap or 0.0 for deploy in asked),
    }


def _memory(known: Sequence[Deploy]) -> dict[str, Any] | None:
    pairs = [(deploy, deploy.measured.resources) for deploy in known if deploy.measured and deploy.measured.resources]
    if not pairs:
        return None
    whole = max(found.memory for _, found in pairs)
    axis = charts.axis(whole / 1e9)
    top = axis.top * 1e9
    return {
        "ticks": [{"y": charts.height(tick, axis.top, 100), "text": f"{tick:g} GB"} for tick in axis.ticks],
        "bars": [
            {
                "low": charts.height(found.memory_before, top, 100),
                "height": charts.height(found.memory_rise, top, 100),
                "bad": False,
                "label": f"{_label(deploy)}; memory from {bytes_spoken(found.memory_before)}"
                f" to {bytes_spoken(found.memory_peak)}, {bytes_spoken(found.disk_free_lowest)} of disk free",
            }
            for deploy, found in pairs
        ],
        "whole": whole,
        "line": charts.height(whole, top, 100),
        "most": max(found.memory_peak for _, found in pairs),
        "rise": max(found.memory_rise for _, found in pairs),
        "disk": pairs[-1][1].disk_free_lowest,
    }
