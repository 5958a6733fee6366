"""Releases and events, put together."""

from typing import Any

import pytest

from tasks.core.deploys import joined
from tasks.core.measured import Measured
from tasks.core.outage import Outage
from tasks.core.release import Release
from tasks.core.values import plain, replace

COST = Measured(took=9.0, changed={"web": "recreate", "old": "remove"}, built=("web",))
RELEASE = Release(
    id="20260302T080000.000Z-1a2b3c4",
    stack="notes",
    sha="1a2b3c4" + "0" * 33,
    dirty=False,
    created="2026-03-02T08:00:00Z",
    performer="mara@desk",
    previous="before",
    services={},
    compose={},
    timings={"pull": 1.0, "load": 0.5, "hooks": 2.0, "key": 0.0},
    measured=COST,
)


def event(**more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "time": "2026-03-02T08:00:09.123Z",
        "run": "r",
        "took": 10.0,
        "event": "deploy",
        "stack": "notes",
        "host": "prod",
        "outcome": "good",
        "release": RELEASE.id,
        "seconds": {"load": 0.5, "pull": 1.0, "prune": 0.1},
        **more,
    }


def test_a_release_alone_is_a_deploy_with_its_phases_in_their_order() -> None:
    (found,) = joined([RELEASE], [], "notes")
    assert list(found.seconds.items()) == [("load", 0.5), ("pull", 1.0), ("hook", 2.0)]
    assert found.recorded
    assert not found.first
    assert found.took == 9.0
    assert found.replaced == ("web",)


def test_its_event_adds_what_came_after_the_record_and_is_no_deploy_of_its_own() -> None:
    (found,) = joined([RELEASE], [event(why={"web": "web/a changed"})], "notes")
    assert list(found.seconds) == ["load", "pull", "prune"]
    assert found.why == {"web": "web/a changed"}
    assert (found.when, found.took) == (RELEASE.created, 9.0)


def test_what_the_host_has_dropped_is_still_in_the_log() -> None:
    noticed = {"verify": plain(Outage(requests=9, failed=1, longest_gap=0.4))}
    told = event(release="gone", performer="jo@laptop", previous=None, measured=plain(COST), outage=noticed)
    (found,) = joined([], [told], "notes")
    assert not found.recorded
    assert found.first
    assert (found.performer, found.measured, found.failed_requests, found.gap) == ("jo@laptop", COST, 1, 0.4)


def test_a_run_that_changed_nothing_has_no_release() -> None:
    (found,) = joined([], [event(release=None, outcome="unchanged")], "notes")
    assert (found.release, found.outcome, found.took, found.replaced) == ("", "unchanged", 10.0, ())
    assert found.gap is None


def test_deploys_come_oldest_first() -> None:
    later = replace(RELEASE, id="20260303T080000.000Z-1a2b3c4", created="2026-03-03T08:00:00Z")
    idle = event(time="2026-03-02T12:00:00.000Z", release=None, outcome="unchanged")
    assert [one.when[:13] for one in joined([later, RELEASE], [idle], "notes")] == [
        "2026-03-02T08",
        "2026-03-02T12",
        "2026-03-03T08",
    ]


@pytest.mark.parametrize(
    "other",
    [
        event(stack="shop", release="x"),
        event(event="build", release="x"),
        {"schema": 1},
        event(release="x", time="yesterday"),
        event(release="x", time="2026-03-02"),
        event(release="x", seconds={"load": "long"}),
        event(release="x", outage={"verify": {"requests": 1}}),
        event(release="x", measured={"resources": {"memory": 1}}),
        event(release="x", seconds=[1]),
    ],
)
def test_what_is_of_others_or_cannot_be_read_is_passed_over(other: dict[str, Any]) -> None:
    assert len(joined([RELEASE], [other], "notes")) == 1


def test_a_phase_that_nobody_knows_is_left_out() -> None:
    (found,) = joined([replace(RELEASE, timings={"dance": 3.0, "pull": 1.0})], [], "notes")
    assert found.seconds == {"pull": 1.0}
