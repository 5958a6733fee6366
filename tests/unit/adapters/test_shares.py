"""Questions asked side by side, each thread its share of them."""

import threading

import pytest

from tasks.adapters.shares import ask


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 100])
@pytest.mark.parametrize("threads", [1, 3, 8])
def test_answers_come_in_order(count: int, threads: int) -> None:
    assert ask(str, range(count), threads=threads) == [str(thing) for thing in range(count)]


def test_as_many_ask_at_once_as_may() -> None:
    together = threading.Barrier(4, timeout=30)
    assert ask(lambda _: together.wait() >= 0, range(4), threads=4) == [True] * 4


def test_after_a_failure_nothing_further_is_asked() -> None:
    asked = []

    def refuse(thing: int) -> None:
        asked.append(thing)
        raise ValueError(thing)

    with pytest.raises(ValueError, match="0"):
        ask(refuse, range(100), threads=2)
    assert len(asked) <= 2
