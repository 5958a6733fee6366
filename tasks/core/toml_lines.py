"""On which line of a TOML text each key stands.

tomli gives values without positions. A statement (a header, or a key with its value) ends where the text
since its first line parses, so tomli itself finds the statements, and each of them tells its keys.
"""

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import tomli
from msgspec import Struct

KeyPath = tuple[str | int, ...]
"""A key from the root of the document: names of tables and keys, and indices into arrays."""

_CLOSERS = tuple("".join(marks) for depth in (1, 2, 3) for marks in product("]}", repeat=depth))
_VALUE_ENDS = ("]", "}", '"""', "'''")


class Statement(Struct, frozen=True, kw_only=True):
    """One header or one key with its value.

    Attributes:
        key: the key from the root; for `[[name]]` it ends with the new element's index.
        header: whether it is `[name]` or `[[name]]`.
        lines: the line of every key path that this statement sets, itself included.
    """

    key: KeyPath
    header: bool
    lines: dict[KeyPath, int]


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map every key path of `text` to its line, counted from 1, where it first appears.

    Keys after a syntax error are missing; elements of an array that spans lines have their own lines.
    """
    lines: dict[KeyPath, int] = {}
    for statement in statements(text):
        for key, line in statement.lines.items():
            lines.setdefault(key, line)
    return lines


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of `text` in order, up to the first one that is not TOML."""
    rows = text.replace("\r\n", "\n").split("\n")
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    start = 0
    while start < len(rows):
        end = _end(rows, start)
        if end is None:
            return
        data = _parse("\n".join(rows[start:end]))
        if data:
            row = rows[start].lstrip()
            header = row.startswith("[")
            if header:
                table = _header(data, row.startswith("[["), counts)
            yield _statement(rows, start, end, data, table, header=header)
        start = end


def _parse(text: str) -> dict[str, Any] | None:
    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError:
        return None


def _end(rows: list[str], start: int) -> int | None:
    """Return the index after the last row of the statement that begins at `start`."""
    for end in range(start + 1, len(rows) + 1):
        may_end = end == start + 1 or any(mark in rows[end - 1] for mark in _VALUE_ENDS)
        if may_end and _parse("\n".join(rows[start:end])) is not None:
            return end
    return None


def _header(data: dict[str, Any], is_array: bool, counts: dict[KeyPath, int]) -> KeyPath:
    """Return the key path of a header, with the index of the current element of each array of tables."""
    key: KeyPath = ()
    names = [name for name in _chain(data) if isinstance(name, str)]
    for position, name in enumerate(names):
        key = (*key, name)
        if is_array and position == len(names) - 1:
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = (*key, counts[key])
    return key


def _chain(value: Any) -> KeyPath:
    """Follow the only entries of nested tables: the dotted key that they were written as."""
    key: KeyPath = ()
    while isinstance(value, dict) and len(value) == 1:
        name, value = next(iter(value.items()))
        key = (*key, name)
    return key


def _own_key(row: str) -> KeyPath:
    """Return the dotted key left of the equals sign (the first one that is not inside a quoted key)."""
    for sign in re.finditer("=", row):
        data = _parse(row[: sign.start()] + "= 0")
        if data is not None:
            return _chain(data)
    return ()


def _statement(
    rows: list[str], start: int, end: int, data: dict[str, Any], table: KeyPath, *, header: bool
) -> Statement:
    first = start + 1
    key = table if header else (*table, *_own_key(rows[start]))
    lines = {key[: length + 1]: first for length in range(len(key))}
    if not header:
        for inner, line in _inner_keys(rows, start, end, data):
            lines.setdefault((*table, *inner), line)
    return Statement(key=key, header=header, lines=lines)


def _inner_keys(rows: list[str], start: int, end: int, data: dict[str, Any]) -> Iterator[tuple[KeyPath, int]]:
    """Close the value early after each row, and see which keys are there by then."""
    closer, seen = "]", 0
    for stop in range(start + 1, end):
        head = "\n".join(rows[start:stop])
        for candidate in (closer, *_CLOSERS):
            early = _parse(f"{head}\n{candidate}")
            if early is not None:
                closer = candidate
                keys = list(_key_paths(early))
                if len(keys) > seen:
                    yield from ((key, stop) for key in keys)
                seen = len(keys)
                break
    yield from ((key, end) for key in _key_paths(data))


def _key_paths(value: Any, prefix: KeyPath = ()) -> Iterator[KeyPath]:
    if prefix:
        yield prefix
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _key_paths(item, (*prefix, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _key_paths(item, (*prefix, index))
