"""Workflow files on disk: YAML, with the version of an action behind its commit."""

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.core.errors import OnevmError
from tasks.core.forge import Action

if TYPE_CHECKING:
    from ruamel.yaml.comments import CommentedMap

WIDTH = 4096  # nothing is wrapped
# Blank lines before the document's keys, its jobs and their steps, the first of each aside.
_KEYS = re.compile(r"^(?=\S)(?<!\A)", re.MULTILINE)
_JOBS = re.compile(r"^(?=  [\w-]+:$|      - name:)", re.MULTILINE)
_FIRST = re.compile(r"^( *(?:jobs|steps):\n)\n", re.MULTILINE)


def dump(document: Mapping[str, Any]) -> str:
    """Return a document as YAML."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = WIDTH
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(_node(document), stream)
    head, jobs, body = _KEYS.sub("\n", stream.getvalue()).partition("jobs:\n")
    return head + _FIRST.sub(r"\1", jobs + _JOBS.sub("\n", body))


def _node(value: Any) -> Any:
    from ruamel.yaml.scalarstring import LiteralScalarString

    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, (list, tuple)):
        return [_node(item) for item in value]
    if isinstance(value, str):
        return LiteralScalarString(value) if value.count("\n") > 1 else value.rstrip("\n")
    return value


def _mapping(value: Mapping[str, Any]) -> "CommentedMap":
    from ruamel.yaml.comments import CommentedMap

    node = CommentedMap()
    for key, item in value.items():
        if isinstance(item, Action):
            node[key] = f"{item.name}@{item.commit}"
            node.yaml_add_eol_comment(item.version, key, column=0)
        else:
            node[key] = _node(item)
    return node


def read(path: Path) -> str | None:
    """Return a file's text; None if there is none.

    Raises:
        OnevmError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, "read", error) from None


def write(path: Path, text: str) -> None:
    """Write a file, and its folder if need be.

    Raises:
        OnevmError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _unusable(path, "written", error) from None


def _unusable(path: Path, what: str, error: Exception) -> OnevmError:
    reason = getattr(error, "strerror", None) or str(error)
    return OnevmError(f"{path} cannot be {what}: {reason}", next_step="mend that, then run the command again")
