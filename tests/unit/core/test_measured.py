"""What a deploy cost, from samples and from JSON."""

from tasks.core.measured import Measured, Resources, Sample, from_mapping, resources
from tasks.core.release import Release, from_json
from tasks.core.values import plain, replace

COST = Measured(
    took=3.5,
    services={"web": {"bake": 1.0}},
    built=("web",),
    changed={"web": "recreate"},
    pulled_bytes=0,
    sizes={"web": 12},
    resources=Resources(memory=100, memory_before=40, memory_peak=55, disk_free_before=9, disk_free_lowest=7),
)


def test_the_peak_is_the_sample_with_the_least_left_and_the_first_is_the_beginning() -> None:
    found = resources([Sample(100, 60, 9), Sample(100, 45, 8), Sample(100, 70, 7)])
    assert found
    assert found == COST.resources
    assert found.memory_rise == 15


def test_a_host_that_says_nothing_has_no_resources() -> None:
    assert resources([]) is None


def test_it_is_read_as_it_was_written() -> None:
    assert from_mapping(plain(COST)) == COST
    assert from_mapping(plain(Measured())) == Measured()


def test_a_release_keeps_it() -> None:
    release = Release(
        id="i", stack="s", sha="a", dirty=False, created="c", performer="p", previous=None, services={}, compose={}
    )
    for one in (release, replace(release, measured=COST)):
        assert from_json(one.to_json(), "release.json") == one


def test_what_a_release_took_includes_building_unless_an_older_onevm_recorded_it() -> None:
    release = Release(
        id="i", stack="s", sha="a", dirty=False, created="c", performer="p", previous=None, services={}, compose={},
        timings={"pull": 1.0, "start": 1.5},
    )  # fmt: skip
    assert release.took == 2.5
    assert replace(release, measured=COST).took == 3.5


def test_what_a_newer_onevm_added_is_left_out() -> None:
    raw = plain(COST)
    raw["watts"] = 3
    raw["resources"]["swap"] = 4
    assert from_mapping(raw) == COST


def test_unknown_is_not_zero() -> None:
    assert from_mapping({"pulled_bytes": 0}).pulled_bytes == 0
    assert from_mapping({}).pulled_bytes is None
