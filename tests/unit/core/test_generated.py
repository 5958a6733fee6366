"""Whose is a file that Onevm wrote once?"""

import pytest

from tasks.core.generated import condition, marked

WANTED = marked("name: x\n")
OLDER = marked("name: w\n")


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (None, "missing"),
        (WANTED, "up to date"),
        (WANTED.replace("\n", "\r\n"), "up to date"),
        (OLDER, "outdated"),
        (OLDER.replace("\n", "\r\n"), "outdated"),
        (WANTED + "# mine\n", "edited"),
        (OLDER.replace("w", "v"), "edited"),
        (OLDER.partition("\n")[2].partition("\n")[2], "foreign"),
        ("name: x\n", "foreign"),
        ("", "foreign"),
    ],
)
def test_a_file_is_taken_for_what_it_is(there: str | None, expected: str) -> None:
    assert condition(there, WANTED) == expected


def test_the_mark_says_who_wrote_it() -> None:
    assert "doit ci" in WANTED.splitlines()[0]
    assert WANTED.endswith("\nname: x\n")
