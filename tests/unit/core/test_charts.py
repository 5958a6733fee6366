"""Where marks go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core import charts


@given(st.floats(min_value=1e-3, max_value=1e12))
def test_an_axis_holds_the_highest_value_and_has_few_round_ticks(most: float) -> None:
    axis = charts.axis(most)
    assert axis.top >= most * (1 - 1e-9)
    assert axis.top <= most * 2.6
    assert 2 <= len(axis.ticks) <= 6
    assert axis.ticks[0] == 0
    assert axis.ticks[-1] == axis.top


@pytest.mark.parametrize(
    ("most", "ticks"), [(0, (0, 1)), (0.9, (0, 0.25, 0.5, 0.75, 1)), (8.3, (0, 2.5, 5, 7.5, 10)), (30, (0, 10, 20, 30))]
)
def test_ticks_are_what_a_person_would_write(most: float, ticks: tuple[float, ...]) -> None:
    assert charts.axis(most).ticks == pytest.approx(ticks)


def test_values_outside_stay_inside() -> None:
    assert [charts.height(value, 10, 100) for value in (-1, 5, 20)] == [0, 50, 100]
    assert charts.height(1, 0, 100) == 0


def test_a_value_holds_until_the_next_and_gaps_are_bridged() -> None:
    assert charts.steps([4, None, 2, 2], 100, 100, 4) == "M0.0 0.0H25.0L50.0 50.0H75.0L75.0 50.0H100.0"
    assert charts.steps([], 100, 100, 4) == ""


def test_a_line_reaches_from_edge_to_edge() -> None:
    assert charts.line([0, 4, 2], 100, 100, 4) == "0.0,100.0 50.0,0.0 100.0,50.0"


def test_shares_are_of_the_whole() -> None:
    assert charts.shares([1, 3], 8) == (12.5, 37.5)
    assert charts.shares([1], 0) == (0.0,)
