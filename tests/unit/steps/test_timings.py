"""Seconds by phase and service."""

import pytest

from tasks.steps.timings import Timings, merged, since_start


def test_a_phase_that_comes_twice_adds_up_and_services_are_apart() -> None:
    found = Timings()
    for _ in range(2):
        found.add("start", 1.5)
        found.add("start", 0.5, "web")
    assert found.seconds == {"start": 3.0}
    assert found.services == {"web": {"start": 1.0}}


def test_a_phase_that_fails_counts() -> None:
    found = Timings()
    with pytest.raises(ZeroDivisionError), found.phase("pull", "web"):
        _ = 1 / 0
    assert list(found.services["web"]) == ["pull"]


def test_what_side_by_side_replacements_took_is_the_slowest_ones_parts() -> None:
    found = Timings(services={"a": {"start": 1.0, "healthy": 5.0, "drain": 2.0, "bake": 90.0}, "b": {"start": 3.0}})
    found.replacing(9.0, ["a", "b"], ("healthy", "drain", "stop"))
    assert found.seconds == {"healthy": 5.0, "drain": 2.0, "start": 2.0}


def test_no_phase_is_longer_than_the_whole() -> None:
    found = Timings(services={"a": {"healthy": 5.0, "drain": 2.0}})
    found.replacing(4.0, ["a"], ("healthy", "drain"))
    assert found.seconds == {"healthy": 4.0, "start": 0.0}


def test_merging_changes_neither() -> None:
    one, two = Timings(seconds={"load": 1.0}), Timings(seconds={"load": 1.0}, services={"a": {"key": 1.0}})
    assert merged(one, two) == Timings(seconds={"load": 2.0}, services={"a": {"key": 1.0}})
    assert one.services == {}
    assert two.seconds == {"load": 1.0}


def test_a_process_is_older_than_what_it_does() -> None:
    first = since_start()
    assert 0 < first <= since_start()
