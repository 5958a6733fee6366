"""Sizes as people read them."""

import pytest

from tasks.core.sizes import spoken


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (4500, "4.5 kB"),
        (2_024_827, "2.02 MB"),
        (498_689_331, "499 MB"),
        (None, "?"),
    ],
)
def test_sizes_are_written_as_docker_writes_them(size: int | None, text: str) -> None:
    assert spoken(size) == text
