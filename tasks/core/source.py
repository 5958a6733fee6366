"""A configuration file as the user named it, and the lines of its keys."""

import re
from functools import cached_property

from tasks.core.errors import Problem
from tasks.core.toml_lines import KeyPath, key_lines

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Source:
    """Where a configuration came from. Lines are looked for only when somebody asks.

    Args:
        file: the file's name as the user gave it.
        text: its text.
    """

    def __init__(self, file: str = "services.toml", text: str = "") -> None:
        self.file = file
        self.text = text

    # What a configuration says is the same, wherever it stands.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Source)

    def __hash__(self) -> int:
        return hash(Source)

    def __repr__(self) -> str:
        return "Source()"

    @cached_property
    def lines(self) -> dict[KeyPath, int]:
        """The line of every key."""
        return key_lines(self.text)

    def line(self, key: KeyPath) -> int:
        """Return the line of `key`, or of the nearest table around it that is in the file; else 1."""
        while key:
            if key in self.lines:
                return self.lines[key]
            key = key[:-1]
        return 1

    def problem(self, key: KeyPath, message: str) -> Problem:
        """Return a mistake at `key`."""
        return Problem(file=self.file, line=self.line(key), key=dotted(key), message=message)


def dotted(key: KeyPath) -> str:
    """Write a key path as TOML does: `stacks.notes.compose[1]`, with quotes where a name needs them."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else '"' + part.replace('"', '\\"') + '"'
            text += f".{name}" if text else name
    return text
