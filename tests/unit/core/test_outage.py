"""What is made of the requests that were made while containers were replaced."""

import pytest

from tasks.core.outage import Outage, Request, outage

CASES = {
    "none": ([], (0, 0, 0.0)),
    "all answered": ([(0, 0.1, True), (0.2, 0.3, True), (0.4, 0.6, True)], (3, 0, 0.3)),
    "one waits": ([(0, 0.1, True), (0.2, 2.3, True), (2.4, 2.5, True)], (3, 0, 2.2)),
    "refused for a second": ([(0, 0.1, True), (0.2, 0.3, False), (0.9, 1.0, False), (1.1, 1.2, True)], (4, 2, 1.1)),
    "down at the end": ([(0, 0.1, True), (0.2, 0.3, False), (4.9, 5.0, False)], (3, 2, 4.9)),
    "down at the beginning": ([(0, 1.0, False), (1.5, 2.0, True)], (2, 1, 2.0)),
    "never answered": ([(1.0, 2.0, False), (3.0, 4.0, False)], (2, 2, 3.0)),
}


@pytest.mark.parametrize(("requests", "expected"), CASES.values(), ids=CASES)
def test_outage(requests: list[tuple[float, float, bool]], expected: tuple[int, int, float]) -> None:
    count, failed, gap = expected
    expected_outage = Outage(requests=count, failed=failed, longest_gap=gap)
    assert outage([Request(*request) for request in requests]) == expected_outage


def test_in_words() -> None:
    assert Outage(requests=40, failed=2, longest_gap=1.26).words == "2 of 40 failed, longest gap 1.3 s"
