"""What a Dockerfile starts from: the images named by FROM, COPY --from and RUN --mount=from."""

import re
from collections.abc import Mapping

_CONTINUATION = re.compile(r"\\[ \t]*\r?\n(?:[ \t]*#[^\n]*\n)*")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?:(:?[-+])([^}]*))?\}|(\w+))")
_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_OTHER = re.compile(r"(?:^COPY\b.*?\s--from=|^RUN\b.*?--mount=\S*?\bfrom=)([^\s,]+)", re.IGNORECASE)
_ARG = re.compile(r"^ARG\s+(\w+)(?:=(\S*))?", re.IGNORECASE)


def _expand(text: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[4]
        found = values.get(name, "")
        if match[2] and match[2].endswith("-"):
            return found or match[3]
        if match[2]:
            return match[3] if found else ""
        return found

    return _VARIABLE.sub(value, text)


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
    for raw in _CONTINUATION.sub(" ", text).splitlines():
        line = raw.strip()
        if not seen_from and (arg := _ARG.match(line)):
            given = args.get(arg[1])
            values[arg[1]] = given if given is not None else _expand((arg[2] or "").strip("\"'"), values)
        elif start := _FROM.match(line):
            seen_from = True
            image = _expand(start[1], values)
            if image.lower() not in stages and image != "scratch":
                images[image] = None
            if start[2]:
                stages.add(start[2].lower())
        else:
            for name in _OTHER.findall(line):
                if name.lower() not in stages and not name.isdigit():
                    images[name] = None
    return tuple(images)
