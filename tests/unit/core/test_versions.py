"""Versions as the tools of several distributions print them."""

import pytest

from tasks.core.versions import OLDEST_BUILDX, OLDEST_COMPOSE, OLDEST_ENGINE, Version

PRINTED = [
    ("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3", (0, 13, 1)),
    ("github.com/docker/buildx v0.29.1 a1b2c3d", (0, 29, 1)),
    ("2.26.1-ds1", (2, 26, 1)),
    ("v2.40.3", (2, 40, 3)),
    ("5.0.0", (5, 0, 0)),
    ("26.1.5+dfsg1", (26, 1, 5)),
    ("28.5.2", (28, 5, 2)),
    ("27.0.0-rc.1", (27, 0, 0)),
    ("1.2", (1, 2, 0)),
    ("0", (0, 0, 0)),
    ("", (0, 0, 0)),
    ("dev", (0, 0, 0)),
]


@pytest.mark.parametrize(("text", "numbers"), PRINTED)
def test_the_first_version_of_a_text_counts(text: str, numbers: tuple[int, int, int]) -> None:
    assert Version.parse(text) == numbers


def test_versions_compare_by_number() -> None:
    assert Version.parse("0.9.3") < Version.parse("0.13") < Version.parse("0.13.1")
    assert str(Version(2, 26)) == "2.26.0"


@pytest.mark.parametrize(
    ("oldest", "good", "bad"),
    [
        (OLDEST_ENGINE, "26.0.0", "25.0.5"),
        (OLDEST_BUILDX, "0.13.0", "0.12.1"),
        (OLDEST_COMPOSE, "2.26.0", "2.25.0"),
    ],
)
def test_the_oldest_supported_versions_are_those_that_are_promised(oldest: Version, good: str, bad: str) -> None:
    assert Version.parse(bad) < oldest <= Version.parse(good)
