"""What a Dockerfile starts from: the images named by FROM, COPY --from and RUN --mount=from."""

import re
from collections.abc import Iterator, Mapping

_ESCAPE = re.compile(r"^#\s*escape\s*=\s*(\S)", re.IGNORECASE)
_DIRECTIVE = re.compile(r"^#\s*\w+\s*=")
_HEREDOC = re.compile(r"<<-?(?:\"([^\"]+)\"|'([^']+)'|(\w+))")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")
_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_COPY = re.compile(r"^(?:COPY|ADD)\s+((?:--\S+\s+)+)", re.IGNORECASE)
_RUN = re.compile(r"^RUN\s+((?:--\S+\s+)+)", re.IGNORECASE)
_FLAG = re.compile(r"(?:--from=|--mount=\S*?\bfrom=)([^\s,]+)")
_ARG = re.compile(r"^ARG\s+(.*)", re.IGNORECASE)
_DEFAULT = re.compile(r"(\w+)(?:=(\"[^\"]*\"|'[^']*'|\S*))?")
_WITH_HEREDOC = ("RUN", "COPY", "ADD")


def instructions(text: str) -> Iterator[str]:
    """Yield the instructions of a Dockerfile, each on one line, without comments and heredocs."""
    return (whole for _, whole, _ in numbered(text))


def numbered(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the instructions of a Dockerfile: the line each begins on, itself on one line, its heredocs."""
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), 1)
    escape = _escape(text)
    whole, first = "", 0
    for number, line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        first = first or number
        if stripped.endswith(escape):
            whole += stripped[:-1] + " "
            continue
        whole += stripped
        inside: list[str] = []
        if whole.partition(" ")[0].upper() in _WITH_HEREDOC:
            for words in _HEREDOC.findall(whole):
                end = "".join(words)
                while (inner := next(lines, (0, None))[1]) is not None and inner.strip("\t") != end:
                    inside.append(inner)
        yield first, whole, "\n".join(inside)
        whole, first = "", 0
    if whole:
        yield first, whole, ""


def _escape(text: str) -> str:
    for line in text.removeprefix("\ufeff").splitlines():
        if found := _ESCAPE.match(line):
            return found[1]
        if not _DIRECTIVE.match(line):
            break
    return "\\"


def expand(text: str, values: Mapping[str, str]) -> str:
    """Return a text without the variables in it, and without quotes around it."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[4]
        found = values.get(name, "")
        if match[2] and match[2].endswith("-"):
            return found or match[3]
        if match[2]:
            return match[3] if found else ""
        return found

    return _VARIABLE.sub(value, text.strip("\"'"))


def starting_images(text: str, args: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return the images, as written after expansion, that a Dockerfile starts from; stages are left out.

    Args:
        text: the Dockerfile.
        args: build args that override the defaults of ARG lines before the first FROM.
    """
    values: dict[str, str] = {}
    stages: set[str] = set()
    images: dict[str, None] = {}
    seen_from = False
    for line in instructions(text):
        if not seen_from and (arg := _ARG.match(line)):
            for name, default in _DEFAULT.findall(arg[1]):
                given = args.get(name)
                values[name] = given if given is not None else expand(default, values)
        elif start := _FROM.match(line):
            seen_from = True
            image = expand(start[1], values)
            if image.lower() not in stages and image != "scratch":
                images[image] = None
            if start[2]:
                stages.add(start[2].lower())
        elif flags := _COPY.match(line) or _RUN.match(line):
            for name in _FLAG.findall(flags[1]):
                if name.lower() not in stages and not name.isdigit():
                    images[name] = None
    return tuple(images)
