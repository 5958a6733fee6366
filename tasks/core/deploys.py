"""The deploys and rollbacks of a stack, put together from the host's releases and this clone's log of events.

A release says what was recorded; an event also what came after the record, and what a host has pruned or never
recorded.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from tasks.core import measured
from tasks.core.measured import PHASES, Measured
from tasks.core.outage import Outage
from tasks.core.release import Release

KINDS = ("deploy", "rollback")
# What older Onevms called a phase.
_FORMERLY = {"hooks": "hook"}


class Deploy(Struct, frozen=True, kw_only=True):
    """One deploy or rollback.

    Attributes:
        stack: its stack.
        kind: `deploy` or `rollback`.
        outcome: `good`, `failed`, `unchanged` or `interrupted`.
        when: the time of the release, or of the event, ISO 8601 in UTC.
        release: the release's id, empty if there is none.
        sha: the commit.
        dirty: whether uncommitted changes went in.
        performer: who did it, empty if nobody says.
        first: whether there was no release before it.
        reason: why it failed.
        seconds: seconds by phase, in their order.
        outage: what was noticed at each address that was asked meanwhile.
        measured: what else it took and cost; None if an older Onevm recorded it.
        why: by service that was built, why.
        recorded: whether the host has its release.
    """

    stack: str
    kind: str
    outcome: str
    when: str
    release: str = ""
    sha: str = ""
    dirty: bool = False
    performer: str = ""
    first: bool = False
    reason: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    outage: dict[str, Outage] = field(default_factory=dict)
    measured: Measured | None = None
    why: dict[str, str] = field(default_factory=dict)
    recorded: bool = False

    @property
    def took(self) -> float:
        """Seconds from the start of the command to the record; without a record, as far as they are known."""
        return self.measured.took if self.measured else sum(self.seconds.values())

    @property
    def replaced(self) -> tuple[str, ...]:
        """The services whose containers were made, started or replaced."""
        return tuple(name for name, how in (self.measured.changed if self.measured else {}).items() if how != "remove")

    @property
    def requests(self) -> int:
        """How many requests were made while containers were replaced."""
        return sum(noticed.requests for noticed in self.outage.values())

    @property
    def failed_requests(self) -> int:
        """How many of them failed."""
        return sum(noticed.failed for noticed in self.outage.values())

    @property
    def gap(self) -> float | None:
        """The longest time between two answers, in seconds; None if nobody asked."""
        return max((noticed.longest_gap for noticed in self.outage.values()), default=None)


def joined(releases: Iterable[Release], events: Iterable[Mapping[str, Any]], stack: str) -> tuple[Deploy, ...]:
    """Return the deploys and rollbacks of a stack, oldest first.

    Args:
        releases: the releases of its host.
        events: the log of events, oldest first; other stacks' and other kinds' are passed over.
        stack: its name.
    """
    told = [found for event in events if (found := _of_event(event, stack))]
    by_release = {one.release: one for one in told if one.release}
    recorded = {release.id: _of_release(release, by_release.get(release.id)) for release in releases}
    everything = [*recorded.values(), *(one for one in told if one.release not in recorded)]
    return tuple(sorted((one for one in everything if _is_time(one.when)), key=_order))


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _order(one: Deploy) -> tuple[str, str]:
    return one.when[:19], one.release


def _of_release(release: Release, told: Deploy | None) -> Deploy:
    return Deploy(
        stack=release.stack,
        kind=release.kind,
        outcome=release.outcome,
        when=release.created,
        release=release.id,
        sha=release.sha,
        dirty=release.dirty,
        performer=release.performer,
        first=release.previous is None,
        reason=release.reason,
        seconds=_in_order(told.seconds if told else release.timings),
        outage=release.outage,
        measured=release.measured,
        why=told.why if told else {},
        recorded=True,
    )


def _of_event(event: Mapping[str, Any], stack: str) -> Deploy | None:
    """Return what an event says of a stack; None if it says nothing, or nothing that can be read."""
    if event.get("stack") != stack or event.get("event") not in KINDS:
        return None
    try:
        known = event.get("measured")
        return Deploy(
            stack=stack,
            kind=str(event["event"]),
            outcome=str(event["outcome"]),
            when=str(event["time"]),
            release=str(event.get("release") or ""),
            sha=str(event.get("sha") or ""),
            dirty=bool(event.get("dirty")),
            performer=str(event.get("performer") or ""),
            first="previous" in event and event["previous"] is None,
            reason=str(event.get("reason") or ""),
            seconds=_in_order({str(name): float(value) for name, value in (event.get("seconds") or {}).items()}),
            outage={name: Outage(**noticed) for name, noticed in (event.get("outage") or {}).items()},
            measured=measured.from_mapping(known) if known else Measured(took=float(event.get("took") or 0)),
            why={str(name): str(text) for name, text in (event.get("why") or {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _in_order(seconds: Mapping[str, float]) -> dict[str, float]:
    named = {_FORMERLY.get(name, name): value for name, value in seconds.items()}
    return {name: named[name] for name in PHASES if named.get(name, 0.0) > 0}
