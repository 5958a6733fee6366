"""Durations, read as Go writes them and written as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.durations import moment, seconds, spoken

READ: list[tuple[str | float | None, float]] = [
    (None, 0),
    ("", 0),
    ("0s", 0),
    ("30s", 30),
    ("1m30s", 90),
    ("1h2m3s", 3723),
    ("1.5s", 1.5),
    ("500ms", 0.5),
    ("250us", 0.00025),
    ("250µs", 0.00025),
    ("10ns", 1e-8),
    ("1m0.5s", 60.5),
    ("24h0m0s", 86400),
    ("2d", 172800),
    (30_000_000_000, 30),
    (1.5e9, 1.5),
    (0, 0),
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_a_duration_is_read_in_seconds(text: str | float | None, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


SPOKEN = [
    (0, "0.0 s"),
    (0.04, "0.0 s"),
    (0.36, "0.4 s"),
    (9.94, "9.9 s"),
    (12.4, "12 s"),
    (59.4, "59 s"),
    (59.6, "1 min 0 s"),
    (185, "3 min 5 s"),
    (3599, "59 min 59 s"),
    (3600, "1 h 0 min"),
    (7800, "2 h 10 min"),
    (172799, "47 h 59 min"),
    (172800, "2 days"),
    (86400 * 4.5, "4 days"),
]


@pytest.mark.parametrize(("duration", "text"), SPOKEN)
def test_a_duration_is_spoken_as_people_do(duration: float, text: str) -> None:
    assert spoken(duration) == text


@given(st.integers(0, 200), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_every_duration_go_writes_is_read(hours: int, minutes: int, whole: int, milli: int) -> None:
    text = f"{hours}h{minutes}m{whole}.{milli:03}s"
    assert seconds(text) == pytest.approx(hours * 3600 + minutes * 60 + whole + milli / 1000)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-01-02T03:04:05Z", 1767323045.0),
        ("2026-01-02T03:04:05.123456789+02:00", 1767315845.123456),
        ("0001-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", None),
        ("2026-01-02T03:04:05", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_moment_is_read_unless_it_is_none(text: str, when: float | None) -> None:
    assert moment(text) == when
