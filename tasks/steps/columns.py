"""Fitting text to the width of a terminal without breaking a word: an id that is to be copied stays in one piece."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

GAP = 2
INDENT = 4
# Pasted as one, or read as one: a command, a number and its unit.
_ONE = re.compile(r"`[^`\n]*`|\b\d[\d.]* (?:s|min|h|days|B|kB|MB|GB)\b")
_TIED = "\N{NO-BREAK SPACE}"


class Piece(NamedTuple):
    """A piece of a line of a table, and the cell that it is from; no cell for a title."""

    text: str
    cell: str | None


def fold(text: str, width: int, hanging: int = 2) -> str:
    """Return text with its long lines folded between words; what stands in backticks is one word.

    Args:
        text: the text.
        width: in columns.
        hanging: by how much the rest of a line is further in than its beginning.
    """
    return "\n".join(_fold(line, width, hanging) for line in text.split("\n"))


def _fold(line: str, width: int, hanging: int) -> str:
    if len(line) <= width:
        return line
    tied = _ONE.sub(lambda found: found[0].replace(" ", _TIED), line)
    rest = " " * (len(line) - len(line.lstrip()) + hanging)
    lines = textwrap.wrap(tied, width, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace(_TIED, " ")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[list[Piece]]:
    """Yield the lines of a table; columns that there is no room for stand below their row.

    Args:
        columns: their titles.
        rows: their cells.
        width: in columns of the terminal.
    """
    wide = _widths(columns, rows, width)
    yield [Piece(title.ljust(w) + " " * GAP, None) for title, w in zip(columns, wide, strict=False)]
    for row in rows:
        beside = [fold(cell, w, 0).split("\n") for cell, w in zip(row, wide, strict=False)]
        for line in zip_longest(*beside, fillvalue=""):
            yield [Piece(t.ljust(w) + " " * GAP, cell) for t, w, cell in zip(line, wide, row, strict=False)]
        for title, cell in list(zip(columns, row, strict=True))[len(wide) :]:
            label = f"{' ' * INDENT}{title}{' ' if title else ''}"
            if len(label) + max((len(word) for word in _words(cell)), default=0) > width:
                label = " " * INDENT
            lines = fold(cell, width - len(label), 0).split("\n") if cell else []
            for i, text in enumerate(lines):
                yield [Piece(label if i == 0 else " " * len(label), None), Piece(text, cell)]


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return how wide the columns are that fit beside each other: as they need it, or folded between words."""
    cells = [[title, *(row[i] for row in rows)] for i, title in enumerate(columns)]
    least = [max((len(word) for cell in column for word in _words(cell)), default=0) for column in cells]
    count = len(columns)
    while count > 1 and sum(least[:count]) + GAP * (count - 1) > width:
        count -= 1
    found = [max(len(line) for cell in column for line in cell.split("\n")) for column in cells[:count]]
    over = sum(found) + GAP * (count - 1) - width
    while over > 0 and any(wide > short for wide, short in zip(found, least, strict=False)):
        widest = max((i for i in range(count) if found[i] > least[i]), key=lambda i: found[i])
        found[widest] -= 1
        over -= 1
    return found


def _words(cell: str) -> list[str]:
    return _ONE.sub(lambda found: found[0].replace(" ", _TIED), cell).replace(_TIED, "_").split()
