"""What `.dockerignore` leaves out of a build context, decided exactly as BuildKit decides it.

Three stages, each with its own oddities that a build depends on: the reader (moby/patternmatcher `ignorefile`),
the matcher (moby/patternmatcher) and the walk that carries the parents' verdicts down (tonistiigi/fsutil
`filter.go`). The rules are not those of `.gitignore`. tests/integration/test_context_against_buildkit.py
compares them with what an engine really delivers.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.core.errors import ConfigurationError, Problem
from tasks.core.gopath import SPACE, BadPatternError, check_pattern, clean
from tasks.core.goregex import compile_go

Verdicts = Sequence[bool]
"""For each pattern, whether a directory matched it: what its children need to know of it."""

_LONGEST_LINE = 64 * 1024
_GLOB = frozenset("*[]?^\\")
_UNDECODABLE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line: its number, its text cleaned, and whether it takes back what an earlier line left out."""

    line: int
    text: str
    exception: bool
    matches: Callable[[str], object]


class IgnoreRules:
    """The patterns of one ignore file, in order; the last one that matches wins.

    Args:
        text: the bytes of the file.
        name: its path, for messages.

    Raises:
        ConfigurationError: if BuildKit refuses the file; it names the line.
    """

    def __init__(self, text: bytes = b"", *, name: str = ".dockerignore") -> None:
        self.name = name
        self.patterns = tuple(self._pattern(line, written) for line, written in self._lines(text))
        self.nothing: Verdicts = (False,) * len(self.patterns)
        exceptions = [_without_trailing_glob(p.text) for p in self.patterns if p.exception]
        self._prunes = not any(_GLOB.intersection(text) for text in exceptions)
        self._exceptions = tuple(text + "/" for text in exceptions)
        self._steps = tuple((p.exception, p.matches) for p in self.patterns)

    @property
    def has_exceptions(self) -> bool:
        """Whether any line starts with `!`; if not, whatever is excluded takes all below it along."""
        return bool(self._exceptions)

    def judge(self, path: str, parent: Verdicts) -> tuple[bool, Verdicts]:
        """Say whether `path` is left out, and what its children need to know.

        Args:
            path: relative to the context, with `/`.
            parent: the second value of its directory; `nothing` at the top.

        Raises:
            ConfigurationError: for a pattern that BuildKit finds wrong only when it comes to use it.
        """
        excluded = False
        verdicts: list[bool] = []
        for (exception, matches), inherited in zip(self._steps, parent, strict=True):
            hit = inherited or (exception == excluded and bool(matches(path)))
            verdicts.append(hit)
            if hit:
                excluded = not exception
        return excluded, verdicts

    def excludes(self, path: str) -> bool:
        """Say the same of one path, with rules without exceptions and a directory that is not left out."""
        return any(matches(path) for _, matches in self._steps)

    def prunes(self, directory: str) -> bool:
        """Whether nothing below this excluded directory can be taken back, so that it need not be read."""
        if not self._prunes:
            return False
        below = directory + "/"
        return not any(exception.startswith(below) for exception in self._exceptions)

    def _lines(self, text: bytes) -> list[tuple[int, str]]:
        lines = []
        for number, raw in enumerate(text.split(b"\n"), start=1):
            if len(raw) >= _LONGEST_LINE:
                raise self._refused(number, raw[:20].decode(errors="replace") + "…", "the line is too long")
            start = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if written := _read_line(start):
                lines.append((number, written))
        return lines

    def _pattern(self, line: int, written: str) -> Pattern:
        text = clean(written.strip(SPACE))
        exception = text.startswith("!")
        if text == "!":
            raise self._refused(line, text, "an exception needs a pattern after the '!'")
        text = text[1:] if exception else text
        try:
            check_pattern(text)
        except BadPatternError as error:
            raise self._refused(line, text, str(error)) from error
        try:
            matches = _matcher(text)
        except BadPatternError as error:
            matches = self._refuses_when_used(line, text, str(error))
        return Pattern(line, text, exception, matches)

    def _refuses_when_used(self, line: int, text: str, why: str) -> Callable[[str], object]:
        def refuse(_path: str) -> object:
            raise self._refused(line, text, why)

        return refuse

    def _refused(self, line: int, text: str, why: str) -> ConfigurationError:
        problem = Problem(file=self.name, line=line, key=text, message=f"this pattern cannot be used: {why}")
        return ConfigurationError((problem,))


def _read_line(raw: bytes) -> str:
    """Return the pattern that the reader hands on, empty for a comment or a blank line."""
    if raw.startswith(b"#"):
        return ""
    # The patterns travel as JSON, in which Go replaces every byte that is no UTF-8.
    written = _replace_undecodable(raw.decode(errors="surrogateescape")).strip(SPACE)
    mark = written[:1] if written.startswith("!") else ""
    pattern = written.removeprefix("!").strip(SPACE) if mark else written
    if pattern:
        pattern = clean(pattern)
        if len(pattern) > 1:
            pattern = pattern.removeprefix("/")
    return mark + pattern


def _replace_undecodable(text: str) -> str:
    return _UNDECODABLE.sub("\ufffd", text)


def _without_trailing_glob(text: str) -> str:
    return text.removesuffix("/**").removesuffix("/*")


def _matcher(pattern: str) -> Callable[[str], object]:
    """Compile a pattern: plain text, a prefix, a suffix, or else a regular expression."""
    kind, expression = _expression(pattern)
    if kind == "exact":
        return pattern.__eq__
    if kind == "prefix":
        prefix = pattern[:-2]
        return lambda path: path.startswith(prefix)
    if kind == "suffix":
        suffix = pattern[2:]
        whole = suffix[1:] if suffix.startswith("/") else None
        return lambda path: path.endswith(suffix) or path == whole
    match = compile_go(expression)
    return lambda path: match(path if path.isascii() else _replace_undecodable(path))


def _expression(pattern: str) -> tuple[str, str]:
    """Return the kind of match and, for a regular expression, its text in Go's syntax."""
    kind = "exact"
    out = ["^"]
    rest = pattern.removeprefix("\ufeff")
    at = 0
    while at < len(rest):
        char = rest[at]
        first = at == 0
        at += 1
        if char == "*" and rest.startswith("*", at):
            at += 2 if rest.startswith("/", at + 1) else 1
            if at < len(rest):
                out.append("(.*/)?")
                kind = "regex"
            elif kind == "exact":
                kind = "prefix"
            else:
                out.append(".*")
                kind = "regex"
            if first:
                kind = "suffix"
        elif char in "*?":
            out.append("[^/]*" if char == "*" else "[^/]")
            kind = "regex"
        elif char in ".+()$":  # not "|{}": upstream's table of characters to escape loses those above 63
            out.append("\\" + char)
        elif char == "\\" and at < len(rest):
            out.append("\\" + rest[at])
            at += 1
            kind = "regex"
        else:
            out.append(char)
            if char in "[]":
                kind = "regex"
    out.append("$")
    return kind, "".join(out)
