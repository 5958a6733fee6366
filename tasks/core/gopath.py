"""Go's path and pattern rules that decide what a `.dockerignore` line means (`path/filepath`)."""

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
    """Raise `BadPatternError` where `filepath.Match` reports a syntax error."""
    position = 0
    while position < len(pattern):
        if pattern[position] == "[":
            position = _end_of_class(pattern, position + 1)
        elif pattern[position] == "\\":
            position += 2
            if position > len(pattern):
                message = "a backslash at the end escapes nothing"
                raise BadPatternError(message)
        else:
            position += 1


def _end_of_class(pattern: str, position: int) -> int:
    if pattern[position : position + 1] == "^":
        position += 1
    ranges = 0
    while not (ranges and pattern[position] == "]"):
        position = _end_of_member(pattern, position)
        if pattern[position] == "-":
            position = _end_of_member(pattern, position + 1)
        ranges += 1
    return position + 1


def _end_of_member(pattern: str, position: int) -> int:
    first = pattern[position : position + 1]
    if first in ("-", "]"):
        message = f"a class in brackets may not have {first!r} there"
        raise BadPatternError(message)
    position += 2 if first == "\\" else 1
    if position >= len(pattern):
        message = "a bracket is not closed"
        raise BadPatternError(message)
    return position
