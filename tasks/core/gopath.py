"""Go's path and pattern rules that decide what a `.dockerignore` line means (`path/filepath`)."""

from collections.abc import Iterator

# unicode.IsSpace of Go; str.strip() would also take U+001C to U+001F away.
SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005"
    "\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)


class BadPatternError(ValueError):
    """A pattern that Go refuses; the text says why."""


def clean(path: str) -> str:
    """Return the shortest equivalent of `path`, by its text alone (`filepath.Clean`)."""
    rooted = path.startswith("/")
    parts: list[str] = []
    for part in path.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            parts.append(part)
        elif parts and parts[-1] != "..":
            parts.pop()
        elif not rooted:
            parts.append(part)
    return ("/" if rooted else "") + "/".join(parts) or "."


def check_pattern(pattern: str) -> None:
    """Raise `BadPatternError` where `filepath.Match(pattern, ".")` reports a syntax error.

    It looks no further than it must to know that "." does not match: `a*[` passes, `*[` does not.
    """
    name = "."
    for star, chunk, last in _chunks(pattern):
        if star and not chunk:
            return
        for start in range(len(name) + 1 if star else 1):
            rest = _rest_after(chunk, name[start:])
            if rest is not None and not (last and rest):
                name = rest
                break
        else:
            return


def _chunks(pattern: str) -> Iterator[tuple[bool, str, bool]]:
    """Yield each piece between stars: whether a star precedes it, its text, whether it is the last."""
    at = 0
    while at < len(pattern):
        start = at
        while pattern.startswith("*", at):
            at += 1
        star, start, in_class = at > start, at, False
        while at < len(pattern) and (in_class or pattern[at] != "*"):
            if pattern[at] in "[]":
                in_class = pattern[at] == "["
            at += 2 if pattern[at] == "\\" else 1
        at = min(at, len(pattern))
        yield star, pattern[start:at], at == len(pattern)


def _rest_after(chunk: str, name: str) -> str | None:
    """Return what is left of `name` after `chunk`, None if it does not fit; all of `chunk` is checked."""
    left: str | None = name
    at = 0
    while at < len(chunk):
        fits = False
        wanted = chunk[at]
        if wanted == "[":
            at, fits = _class(chunk, at + 1, (left or " ")[0])
        else:
            if wanted == "\\":
                at += 1
                if at == len(chunk):
                    message = "a backslash at the end escapes nothing"
                    raise BadPatternError(message)
            fits = wanted == "?" or (left or "")[:1] == chunk[at]
            at += 1
        left = left[1:] if left and fits else None
    return left


def _class(chunk: str, at: int, char: str) -> tuple[int, bool]:
    """Read a class in brackets; return where it ends and whether `char` is in it."""
    negated = chunk[at : at + 1] == "^"
    at += negated
    found = False
    ranges = 0
    while not (ranges and chunk[at] == "]"):
        low = high = chunk[_member(chunk, at)]
        at = _member(chunk, at) + 1
        if chunk[at] == "-":
            high = chunk[_member(chunk, at + 1)]
            at = _member(chunk, at + 1) + 1
        found = found or low <= char <= high
        ranges += 1
    return at + 1, found != negated


def _member(chunk: str, at: int) -> int:
    """Return where the next member of a class stands, after a backslash or not."""
    if chunk[at : at + 1] in ("-", "]"):
        message = f"a class in brackets may not have {chunk[at]!r} there"
        raise BadPatternError(message)
    at += chunk[at : at + 1] == "\\"
    if at + 1 >= len(chunk):
        message = "a bracket is not closed"
        raise BadPatternError(message)
    return at
