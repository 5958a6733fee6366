"""Versions of tools, and the oldest that Onevm works with."""

import re
from typing import NamedTuple

_NUMBERS = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


class Version(NamedTuple):
    """A version's three numbers; what follows them does not count."""

    major: int
    minor: int = 0
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> "Version":
        """Return the first version in a text; 0.0.0 if there is none."""
        match = _NUMBERS.search(text)
        return cls(int(match[1]), int(match[2]), int(match[3] or 0)) if match else cls(0)

    def __str__(self) -> str:
        return ".".join(map(str, self))


OLDEST_ENGINE = Version(26)
OLDEST_BUILDX = Version(0, 13)
OLDEST_COMPOSE = Version(2, 26)
