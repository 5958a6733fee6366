"""How long something was under way, and how long nothing but it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.spans import Span, alone, covered

spans = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda pair: Span(*map(float, sorted(pair)))), max_size=6
)


def within(second: int, found: list[Span]) -> bool:
    return any(one.began <= second and second + 1 <= one.ended for one in found)


@given(spans)
def test_every_second_counts_once(found: list[Span]) -> None:
    assert covered(found) == sum(within(second, found) for second in range(50))


@given(spans, spans)
def test_seconds_of_others_do_not_count(found: list[Span], others: list[Span]) -> None:
    assert alone(found, others) == sum(within(s, found) and not within(s, others) for s in range(50))


@pytest.mark.parametrize(
    ("pushed", "worked", "seconds"),
    [
        ([(4, 6)], [(0, 4)], 2),
        ([(1, 3)], [(0, 4)], 0),
        ([(1, 3), (5, 9)], [(0, 2), (4, 7)], 3),
        ([], [(0, 4)], 0),
    ],
)
def test_pushing_alone_is_what_a_build_had_to_wait_for(
    pushed: list[tuple[float, float]], worked: list[tuple[float, float]], seconds: float
) -> None:
    assert alone([Span(*one) for one in pushed], [Span(*one) for one in worked]) == seconds
