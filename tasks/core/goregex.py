r"""The part of Go's regular expressions that a `.dockerignore` pattern can reach, as Python's.

BuildKit turns a pattern into a regular expression and leaves much of it as written: `\d` is a digit,
`[[:alpha:]]` a POSIX class, `a{2}` a repetition, `|` an alternative, and `\L` an error.
Source: regexp/syntax/parse.go of Go 1.22.
"""

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache

from tasks.core.gopath import BadPatternError

Ranges = list[tuple[int, int]]

_PERL: dict[str, Ranges] = {
    "d": [(0x30, 0x39)],
    "s": [(0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20)],
    "w": [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)],
}
_POSIX: dict[str, Ranges] = {
    "alnum": [(0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)],
    "alpha": [(0x41, 0x5A), (0x61, 0x7A)],
    "ascii": [(0x00, 0x7F)],
    "blank": [(0x09, 0x09), (0x20, 0x20)],
    "cntrl": [(0x00, 0x1F), (0x7F, 0x7F)],
    "digit": _PERL["d"],
    "graph": [(0x21, 0x7E)],
    "lower": [(0x61, 0x7A)],
    "print": [(0x20, 0x7E)],
    "punct": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)],
    "space": [(0x09, 0x0D), (0x20, 0x20)],
    "upper": [(0x41, 0x5A)],
    "word": _PERL["w"],
    "xdigit": [(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)],
}
_CONTROL = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_ASSERTIONS = {"A": r"\A", "z": r"\Z", "b": r"\b", "B": r"\B"}
_ANCHORS = {"^": r"\A", "$": r"\Z", ".": r"[^\n]"}
_FOLDERS = "(.*/)"
_COUNT = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}")
_MOST_REPEATS = 1000
_OCTAL = tuple("01234567")
_OCTAL_DIGITS = 3
_HEXADECIMAL = re.compile(r"([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]+)\}")


def compile_go(expression: str) -> Callable[[str], object]:
    """Return a function that says whether a text matches; raise `BadPatternError` where Go refuses.

    Args:
        expression: `^…$` as ignore.py writes it: only `(.*/)?` has parentheses, `+` and `$` are escaped.
    """
    compiled = re.compile(_Translator(expression).run(), re.ASCII)
    return compiled.search if "|" in expression else compiled.match


class _Translator:
    def __init__(self, expression: str) -> None:
        self.text = expression
        self.at = 0
        self.atoms: list[str] = []
        self.repeated = False

    def run(self) -> str:
        while self.at < len(self.text):
            if not self._repetition():
                self.repeated = False
                self._atom()
        return "".join(self.atoms)

    def _atom(self) -> None:
        char = self._peek()
        if char == "[":
            self.atoms.append(self._bracket())
        elif char == "\\":
            self.atoms += self._escape()
        elif char == "(":
            self.atoms.append(r"(?:[^\n]*/)")
            self.at += len(_FOLDERS)
        else:
            self.at += 1
            self.atoms.append("|" if char == "|" else _ANCHORS.get(char) or re.escape(char))

    def _repetition(self) -> bool:
        """Read `*`, `?` or `{n,m}`, if one stands here, and apply it to the last atom."""
        count = _COUNT.match(self.text, self.at)
        written = count.group() if count else self._peek()
        if not count and written not in ("*", "?"):
            return False
        if self.repeated or self.atoms[-1] == "|":
            message = f"there is nothing that {written} could repeat"
            raise BadPatternError(message)
        if count:
            least, most = int(count[1]), int(count[3] or count[1])
            if max(least, most) > _MOST_REPEATS or least > most:
                message = f"{written} is no number of repetitions"
                raise BadPatternError(message)
        self.at += len(written)
        self.atoms[-1] = f"(?:{self.atoms[-1]}){written}"
        self.repeated = True
        return True

    def _peek(self, offset: int = 0) -> str:
        return self.text[self.at + offset : self.at + offset + 1]

    def _take(self) -> str:
        char = self._peek()
        self.at += 1
        return char

    def _escape(self) -> list[str]:
        letter = self._peek(1)
        if letter in _ASSERTIONS:
            self.at += 2
            return [_ASSERTIONS[letter]]
        if letter == "Q":
            literal, _, rest = self.text[self.at + 2 :].partition("\\E")
            self.at = len(self.text) - len(rest)
            return [re.escape(char) for char in literal]
        ranges = self._class_escape()
        return [re.escape(chr(self._one_character())) if ranges is None else _python_class(ranges)]

    def _bracket(self) -> str:
        self.at += 1
        negated = self._peek() == "^"
        if negated:
            self.at += 1
        ranges: Ranges = []
        first = True
        while first or self._peek() != "]":
            first = False
            named = self._posix_class()
            if named is None:
                named = self._class_escape()
            ranges += self._range() if named is None else named
        self.at += 1
        return _python_class(_complement(ranges) if negated else ranges)

    def _range(self) -> Ranges:
        low = high = self._member()
        if self._peek() == "-" and self._peek(1) not in ("", "]"):
            self.at += 1
            high = self._member()
            if high < low:
                message = f"the range {chr(low)!r}-{chr(high)!r} is upside down"
                raise BadPatternError(message)
        return [(low, high)]

    def _member(self) -> int:
        if self._peek() == "\\":
            return self._one_character()
        char = self._take()
        if not char:
            message = "a bracket is not closed"
            raise BadPatternError(message)
        return ord(char)

    def _posix_class(self) -> Ranges | None:
        if not self.text.startswith("[:", self.at):
            return None
        end = self.text.find(":]", self.at + 2)
        if end < 0:
            return None
        name = self.text[self.at + 2 : end]
        if name.removeprefix("^") not in _POSIX:
            message = f"there is no class [:{name}:]"
            raise BadPatternError(message)
        self.at = end + 2
        ranges = _POSIX[name.removeprefix("^")]
        return _complement(ranges) if name.startswith("^") else ranges

    def _class_escape(self) -> Ranges | None:
        r"""`\d`, `\S`, `\pL`, … at the current place, or None if there is something else."""
        if self._peek() != "\\":
            return None
        letter = self._peek(1)
        if letter in ("p", "P"):
            return self._unicode_class(negated=letter == "P")
        if not letter or letter.lower() not in _PERL:
            return None
        self.at += 2
        ranges = _PERL[letter.lower()]
        return _complement(ranges) if letter.isupper() else ranges

    def _unicode_class(self, *, negated: bool) -> Ranges:
        start = self.at
        self.at += 2
        name = self._take()
        if name == "{":
            end = self.text.find("}", self.at)
            name = self.text[self.at : end] if end >= 0 else ""
            self.at = end + 1
        ranges = _category(name.removeprefix("^"))
        if not ranges:
            message = f"{self.text[start : start + 3]}… is no general category of Unicode"
            raise BadPatternError(message)
        return _complement(ranges) if negated != name.startswith("^") else ranges

    def _one_character(self) -> int:
        start = self.at
        self.at += 1
        char = self._take()
        if char.isascii() and char and not char.isalnum():
            return ord(char)
        if char in _CONTROL:
            return _CONTROL[char]
        code = None
        if char == "x":
            code = self._hexadecimal()
        elif char == "0" or (char in _OCTAL and self._peek() in _OCTAL):
            while self.at - start <= _OCTAL_DIGITS and self._peek() in _OCTAL:
                char += self._take()
            code = int(char, 8)
        if code is None:
            message = f"{self.text[start : start + 2]} is no escape sequence"
            raise BadPatternError(message)
        return code

    def _hexadecimal(self) -> int | None:
        found = _HEXADECIMAL.match(self.text, self.at)
        if not found:
            return None
        self.at = found.end()
        code = int(found[1] or found[2], 16)
        return code if code <= sys.maxunicode else None


@cache
def _category(name: str) -> Ranges:
    if name == "Any":
        return [(0, sys.maxunicode)]
    if not name:
        return []
    ranges: Ranges = []
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category.startswith(name) and category != "Cn":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1] = (ranges[-1][0], code)
            else:
                ranges.append((code, code))
    return ranges


def _complement(ranges: Ranges) -> Ranges:
    result: Ranges = []
    start = 0
    for low, high in sorted(ranges):
        if low > start:
            result.append((start, low - 1))
        start = max(start, high + 1)
    if start <= sys.maxunicode:
        result.append((start, sys.maxunicode))
    return result


def _python_class(ranges: Ranges) -> str:
    if not ranges:
        return r"(?!)"
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]"
