"""Read a TOML file, and explain why it cannot be read."""

from pathlib import Path
from typing import Any

import tomli

from tasks.core.errors import ConfigurationError, Problem, UsageError
from tasks.core.source import Source, dotted
from tasks.core.toml_lines import KeyPath, statements

_NEXT_STEP = (
    "name another file with config=PATH or ONEVM_CONFIG, or start from the commented services.toml"
    " of Onevm's repository (git show HEAD:services.toml)"
)
_HINTS = {
    "Invalid value": "; a text needs quotes",
    "Expected '=' after a key in a key/value pair": "; TOML is written key = value",
    "Invalid statement": "; write key = value or [table]",
}


def read(path: Path) -> Source:
    """Read `path` as UTF-8 text.

    Raises:
        UsageError: there is no such file, or it may not be read.
        ConfigurationError: it is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        what = f"{path} is not there"
        raise UsageError(what, next_step=_NEXT_STEP) from None
    except IsADirectoryError:
        what = f"{path} is a folder, not a file"
        raise UsageError(what, next_step=_NEXT_STEP) from None
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
        raise UsageError(what, next_step=_NEXT_STEP) from None
    try:
        return Source(str(path), content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        problem = Problem(file=str(path), line=line, key="encoding", message=message)
        raise ConfigurationError((problem,)) from None


def parse(source: Source) -> dict[str, Any]:
    """Parse the text of `source`.

    Raises:
        ConfigurationError: it is not TOML; there is one problem, the first.
    """
    try:
        return tomli.loads(source.text)
    except tomli.TOMLDecodeError as error:
        message = f"{error.msg}{_HINTS.get(error.msg, '')} (column {error.colno})"
        problem = Problem(file=source.file, line=error.lineno, key="syntax", message=message)
        raise ConfigurationError((_set_twice(source) or problem,)) from None
    except RecursionError:
        problem = Problem(file=source.file, line=1, key="syntax", message="is nested too deeply")
        raise ConfigurationError((problem,)) from None


def _set_twice(source: Source) -> Problem | None:
    """Return the first key or header that is there a second time, if that is what is wrong."""
    first: dict[KeyPath, int] = {}
    for statement in statements(source.text):
        line = statement.lines[statement.key]
        if statement.key in first:
            message = f"is there twice; first on line {first[statement.key]}"
            return Problem(file=source.file, line=line, key=dotted(statement.key), message=message)
        first[statement.key] = line
    return None
