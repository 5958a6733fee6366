"""Text and tables on a terminal of few columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.steps.columns import fold, table

DIGEST = "sha256:" + "4" * 64
RELEASE = "20261123T085152.544Z-d977559"


def drawn(columns: list[str], rows: list[list[str]], width: int) -> list[str]:
    return ["".join(piece.text for piece in line).rstrip() for line in table(columns, rows, width)]


def test_a_table_that_fits_is_as_wide_as_it_needs_to_be() -> None:
    assert drawn(["service", "why"], [["web", "web.py changed"], ["a", ""]], 80) == [
        "service  why",
        "web      web.py changed",
        "a",
    ]


def test_a_table_that_does_not_fit_is_folded_between_words() -> None:
    assert drawn(["release", "why"], [[RELEASE, "web.py and 3 more files changed"]], 48) == [
        "release                       why",
        f"{RELEASE}  web.py and 3 more",
        "                              files changed",
    ]


def test_a_column_without_room_stands_below_its_row() -> None:
    assert drawn(["image", "", "digest"], [["shop-web", "fresh", DIGEST]], 80) == [
        "image",
        "shop-web  fresh",
        f"    {DIGEST}",
    ]
    assert drawn(["release", "by", "why"], [[RELEASE, "root@vm", "it is unhealthy"], [RELEASE, "ann", ""]], 30) == [
        "release",
        RELEASE,
        "    by root@vm",
        "    why it is unhealthy",
        RELEASE,
        "    by ann",
    ]


def test_what_is_wider_than_the_terminal_stays_in_one_piece() -> None:
    assert drawn(["", "digest"], [["a", DIGEST]], 20) == ["", "a", f"    {DIGEST}"]
    assert fold(f"is {DIGEST}", 20) == f"is\n  {DIGEST}"


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("short", "short"),
        ("  run `doit deploy:shop` again", "  run\n    `doit deploy:shop`\n    again"),
        ("it took us 3 min", "it took us\n  3 min"),
        ("one\n\ntwo", "one\n\ntwo"),
    ],
)
def test_text_is_folded_between_words_and_a_command_is_one_word(text: str, folded: str) -> None:
    assert fold(text, 15) == folded


WORDS = st.lists(st.text("abc:/@-", min_size=1, max_size=30), max_size=6).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=4), st.integers(20, 90))
def test_no_word_is_ever_cut(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = drawn(["one", "two", "three"], [list(row) for row in rows], width)
    words = {word for line in lines for word in line.split()}
    assert {word for row in rows for cell in row for word in cell.split()} <= words
    longest = max((len(word) for word in words), default=0)
    assert all(len(line) <= max(width, longest + 6) for line in lines)
