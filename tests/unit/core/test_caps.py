"""Caps follow from what is taken."""

from tasks.core.caps import MEGABYTE, Proposal, Usage, proposals


def usage(name: str, now: int, peak: int = 0, cap: int = 0) -> Usage:
    return Usage(name=name, now=now * MEGABYTE, peak=peak * MEGABYTE, cap=cap)


def cap(now: int, peak: int = 0) -> int:
    (found,) = proposals([usage("a", now, peak)])
    return found.cap


def test_half_as_much_again_in_steps() -> None:
    assert [cap(1), cap(21), cap(22), cap(100), cap(1000)] == [32, 32, 64, 160, 1504]


def test_a_peak_counts_unless_it_is_mostly_files() -> None:
    assert [cap(100, 200), cap(100, 5000)] == [320, 416]


def test_the_largest_copy_of_a_service_counts_and_what_is_capped_does_not() -> None:
    found = proposals([usage("s.web", 10), usage("s.web", 90, 100), usage("s.db", 500), usage("s.mq", 9, cap=1)])
    assert found == (
        Proposal(name="s.db", containers=1, now=500, peak=0, cap=768),
        Proposal(name="s.web", containers=2, now=90, peak=100, cap=160),
    )
    assert proposals([usage("s.mq", 9, cap=1)]) == ()
