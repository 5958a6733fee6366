"""daemon.json of a Docker engine: what is missing is put in, and every other character stays as it is.

The keys are those of https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file. What somebody has set
there, or on dockerd's command line, counts; the engine refuses a key that stands in both.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from tasks.core.errors import OnevmError
from tasks.core.plurals import counted

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()
BOUNDED_BY_ITSELF = "local"  # 5 files of 20 MB each unless told
TO_FILES = "json-file"


class Merged(Struct, frozen=True, kw_only=True):
    """What daemon.json is to be.

    Attributes:
        text: the whole file.
        changes: what was put in, in words; empty if the text is as it was.
        notes: what somebody has set, and stays.
        restart: whether some of it counts only after the engine was restarted.
        live_restore: whether the file turns live-restore on.
    """

    text: str
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    restart: bool
    live_restore: bool


class _Span(NamedTuple):
    value: Any
    start: int
    end: int


def merge(text: str, *, size: str, files: int, flags: Collection[str], swarm: bool) -> Merged:
    """Put log rotation and live-restore into daemon.json, where nothing is said about them.

    Args:
        text: the file as it is; empty if there is none.
        size: the size of a container's log at which the next file begins, as Docker writes it: `10m`.
        files: how many such files a container has at most.
        flags: names of the options on dockerd's command line, without dashes.
        swarm: whether the engine is in a swarm, which cannot have live-restore.

    Raises:
        OnevmError: the file is no JSON object.
    """
    spans = _members(text)
    data = {name: span.value for name, span in spans.items()}
    logs, log_notes = _logs(data, size=size, files=files, flags=flags)
    changes, notes = [], list(log_notes)
    if logs:
        changes.append(f"containers' logs: at most {counted(files, 'file')} of {size} each")
    top: dict[str, Any] = {}
    if logs and "log-opts" not in data:
        top = ({} if "log-driver" in data else {"log-driver": TO_FILES}) | {"log-opts": logs}
    if "live-restore" in data:
        notes += [] if data["live-restore"] is True else ["live-restore is set to false there, and stays so"]
    elif "live-restore" in flags:
        notes.append("live-restore is on dockerd's command line, and stays as it is there")
    elif swarm:
        notes.append("no live-restore: an engine in a swarm cannot have it")
    else:
        top["live-restore"] = True
        changes.append("live-restore: containers keep running while the engine is restarted")
    if logs and "log-opts" in data:
        # The inner one first: it may stand anywhere, and the end of the file moves with it.
        span = spans["log-opts"]
        text = text[: span.start] + _with(text[span.start : span.end], logs) + text[span.end :]
    return Merged(
        text=_with(text, top),
        changes=tuple(changes),
        notes=tuple(notes),
        restart=bool(logs),
        live_restore=(data | top).get("live-restore") is True,
    )


def flag_names(words: Collection[str]) -> frozenset[str]:
    """Return the names of the options of a command line: `live-restore` of `--live-restore=true`."""
    return frozenset(word.lstrip("-").partition("=")[0] for word in words if word.startswith("--"))


def _logs(
    data: Mapping[str, Any], *, size: str, files: int, flags: Collection[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the log options to put in, and notes."""
    if {"log-driver", "log-opt"} & set(flags):
        return {}, ("log options are on dockerd's command line, and stay as they are there",)
    driver, options = data.get("log-driver", TO_FILES), data.get("log-opts", {})
    if driver == BOUNDED_BY_ITSELF:
        return {}, ()
    if driver != TO_FILES:
        return {}, (f"containers' logs go to {driver}, as is set there",)
    if not isinstance(options, dict):
        raise OnevmError(
            "daemon.json: log-opts is no object", next_step='mend it: "log-opts": {"max-size": "10m", "max-file": "3"}'
        )
    if "max-size" in options:
        return {}, ()
    return {"max-size": size} | ({} if "max-file" in options else {"max-file": str(files)}), ()


def _members(text: str) -> dict[str, _Span]:
    """Return the members of the one object in a text."""
    body = text.removeprefix("\ufeff")
    offset = len(text) - len(body)
    if not body.strip():
        return {}
    try:
        if not isinstance(json.loads(body), dict):
            raise OnevmError("daemon.json holds no JSON object", next_step="mend it; it was not touched")
    except json.JSONDecodeError as error:
        raise OnevmError(
            f"daemon.json is no JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            next_step="mend it, or the engine will not start again; it was not touched",
        ) from None
    found: dict[str, _Span] = {}
    place = _skip(text, text.index("{", offset) + 1)
    while text[place] == '"':
        name, place = _DECODER.raw_decode(text, place)
        place = _skip(text, _skip(text, place) + 1)
        value, end = _DECODER.raw_decode(text, place)
        found[name] = _Span(value, place, end)
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return found


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    return match.end() if match else place


def _with(text: str, members: Mapping[str, Any]) -> str:
    """Return the text of an object with more members at its end, laid out like the first it has."""
    if not members:
        return text
    shown = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members.items()]
    if not text.removeprefix("\ufeff").strip():
        inner = ",\n  ".join(shown)
        return f"{text.rstrip()}{{\n  {inner}\n}}\n"
    opening, closing = text.index("{"), text.rindex("}")
    before = text[opening + 1 : _skip(text, opening + 1)]
    kept = text[:closing].rstrip()
    if kept.endswith("{") and kept.rstrip() == text[: opening + 1].rstrip():
        return f"{text[: opening + 1]}{', '.join(shown)}{text[closing:]}"
    between = before if "\n" in before else " "
    return kept + "".join(f",{between}{one}" for one in shown) + text[len(kept) :]
