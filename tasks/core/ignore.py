"""What `.dockerignore` leaves out of a build context, decided exactly as BuildKit decides it.

Three stages, each with its own oddities that a build depends on: the reader (moby/patternmatcher `ignorefile`),
the matcher (moby/patternmatcher) and the walk that carries the parents' verdicts down (tonistiigi/fsutil
`filter.go`). The rules are not those of `.gitignore`. tests/integration/test_context_against_buildkit.py
compares them with what an engine really delivers.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from msgspec import Struct

from tasks.core.errors import ConfigurationError, Problem
from tasks.core.gopath import SPACE, BadPatternError, check_pattern, clean
from tasks.core.goregex import compile_go

Verdicts = Sequence[bool]
"""For each pattern, whether a directory matched it: what its children need to know of it."""

_LONGEST_LINE = 64 * 1024
_GLOB = frozenset("*[]?^\\")
_SPECIAL = frozenset("*[]?^\\/|{}")
_UNDECODABLE = re.compile("[\udc80-\udcff]")


class Pattern(Struct, frozen=True):
    """One line of an ignore file.

    Attributes:
        line: its number.
        text: the pattern, cleaned.
        exception: whether it takes back what an earlier line left out.
        matches: says whether a path matches.
        plain, tails: if any: the paths that match, and the ends of those that do. Quick, and right for every
            path without a line break.
    """

    line: int
    text: str
    exception: bool
    matches: Callable[[str], object]
    plain: tuple[str, ...] = ()
    tails: tuple[str, ...] = ()


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
        self._in_order = False  # only a pattern that may be refused makes the order matter without exceptions
        self.patterns = tuple(self._pattern(line, written) for line, written in self._lines(text))
        self.nothing: Verdicts = (False,) * len(self.patterns)
        exceptions = [_without_trailing_glob(p.text) for p in self.patterns if p.exception]
        self._prunes = not any(_GLOB.intersection(text) for text in exceptions)
        self._exceptions = tuple(text + "/" for text in exceptions)
        self._steps = tuple((p.exception, p.matches) for p in self.patterns)
        self._plain = frozenset(text for p in self.patterns for text in p.plain)
        self._tails = tuple(text for p in self.patterns for text in p.tails)
        others = [p for p in self.patterns if not p.plain and not p.tails]
        self._top_only = tuple(p.matches for p in others if _fits_names_only(p.text))
        self._others = tuple(p.matches for p in others if not _fits_names_only(p.text))

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
        """Say whether a path is left out, whatever holds for the directories above it."""
        verdicts = self.nothing
        excluded = False
        for at in [at for at, char in enumerate(path) if char == "/"] + [len(path)]:
            excluded, verdicts = self.judge(path[:at], verdicts)
            if excluded and self.prunes(path[:at]):
                return True
        return excluded

    def excludes_child(self, path: str) -> bool:
        """Say the same, quickly, with rules without exceptions and below a directory that is not left out."""
        if self._in_order or "\n" in path:
            return any(matches(path) for _, matches in self._steps)
        if path in self._plain or path.endswith(self._tails):
            return True
        others = self._others if "/" in path else self._others + self._top_only
        for matches in others:  # noqa: SIM110 (twice as fast as any(), and there are a hundred thousand paths)
            if matches(path):
                return True
        return False

    def prunes(self, directory: str) -> bool:
        """Whether nothing below this excluded directory can be taken back, so that it need not be read."""
        if not self._prunes:
            return False
        below = directory + "/"
        return not any(exception.startswith(below) for exception in self._exceptions)

    @property
    def may_empty(self) -> bool:
        """Whether `empties` can be true of anything: an exception is followed by a pattern of the other sort."""
        kinds = [pattern.exception for pattern in self.patterns]
        return True in kinds and not all(kinds[kinds.index(True) :])

    def empties(self, path: str) -> bool:
        """Whether a file that is not left out arrives without its content.

        BuildKit lists the files with `judge`, but sends their content by another rule, which looks at all
        parents for every pattern; where the two differ it sends nothing (fsutil `filter.go`, `Open`).
        """
        parents = [path[: at + 1] for at in range(len(path)) if path[at + 1 : at + 2] == "/"]
        excluded = False
        for exception, matches in self._steps:
            if exception == excluded and (matches(path) or any(map(matches, parents))):
                excluded = not exception
        return excluded

    def _lines(self, text: bytes) -> list[tuple[int, str]]:
        lines = []
        for number, raw in enumerate(text.split(b"\n"), start=1):
            if len(raw) >= _LONGEST_LINE:
                raise self._refused(number, raw[:20].decode(errors="replace") + "…", "the line is too long")
            start = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
            if written := _read_line(start):
                lines.append((number, written))
        # The patterns travel in a gRPC header: as they are if all of them are ASCII, else encoded.
        if all(written.isascii() for _, written in lines):
            for number, written in lines:
                if not written.isprintable():
                    raise self._refused(number, repr(written), "it has a control character")
        return lines

    def _pattern(self, line: int, written: str) -> Pattern:
        text = clean(written.strip(SPACE))
        exception = text.startswith("!")
        if text == "!":
            raise self._refused(line, text, "an exception needs a pattern after the '!'")
        text = text[1:] if exception else text
        try:
            _check(text)
        except BadPatternError as error:
            raise self._refused(line, text, str(error)) from error
        try:
            matches = _matcher(text)
        except BadPatternError as error:
            self._in_order = True
            return Pattern(line, text, exception, self._refuses_when_used(line, text, str(error)))
        return Pattern(line, text, exception, matches, *_quick(text))

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


_check = lru_cache(maxsize=1024)(check_pattern)


@lru_cache(maxsize=1024)
def _quick(pattern: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return `Pattern.plain` and `Pattern.tails`."""
    kind, _ = _expression(pattern)
    if kind == "exact":
        return (pattern,), ()
    if kind == "suffix":
        suffix = pattern[2:]
        return ((suffix[1:],) if suffix.startswith("/") else ()), (suffix,)
    tail = pattern.removeprefix("**/*")
    if tail and tail != pattern and not _SPECIAL.intersection(tail):
        return (), (tail,)
    return (), ()


def _fits_names_only(pattern: str) -> bool:
    """Whether a pattern matches nothing that has a `/`."""
    return "**" not in pattern and not (_SPECIAL - {"*", "?"}).intersection(pattern)


@lru_cache(maxsize=1024)
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
