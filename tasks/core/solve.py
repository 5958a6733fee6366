"""What BuildKit reports while it bakes, as `--progress=rawjson` prints it."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from tasks.core.spans import Span

_NAME = re.compile(r"^\[(?P<target>[^\s\]]+)(?:\s+(?P<stage>[^\]]*))?\]\s*(?P<text>.*)$", re.DOTALL)
_STEP = re.compile(r"(\d+)/(\d+)$")
_PUSHING = "pushing "
_LAYER = re.compile(r"^pushing layer ([0-9a-f]{8,})$")
_QUOTED = re.compile(r"\s*\d+ \| >>> (.*)$")
LOG_LINES = 40
# When a bake ends at another target's failure, some steps see only that the line to buildx is closed.
_LOST_LINE = re.compile(r"rpc error: code = (Unavailable|Canceled)\b|no active session|closing transport")


class Step(Struct, frozen=True, kw_only=True):
    """A step of one target began, ended or failed."""

    target: str
    text: str
    finished: bool = False
    cached: bool = False
    error: str = ""


class Solve(Struct, kw_only=True):
    """Follows one bake.

    Attributes:
        targets: names of the targets in the bake.
        errors: message by target, in the order in which they came.
        logs: the last lines each target wrote.
        words: what buildx wrote besides its JSON: its own error message.
        worked: when each target was built and exported, by the builder's clock.
        pushed: when each target was pushed.
        moved: the layers of each target that went to the registry: the first digits of their uncompressed digests.
    """

    targets: tuple[str, ...]
    errors: dict[str, str] = field(default_factory=dict)
    logs: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    worked: dict[str, list[Span]] = field(default_factory=dict)
    pushed: dict[str, list[Span]] = field(default_factory=dict)
    moved: dict[str, set[str]] = field(default_factory=dict)
    _vertex: dict[str, list[str]] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)
    _open: set[str] = field(default_factory=set)
    _buffer: list[str] = field(default_factory=list)

    def culprits(self) -> tuple[str, ...]:
        """Return the targets that failed by themselves; the others' errors only repeat theirs, or follow from them."""
        seen = {target: error for target, error in self.errors.items() if not _LOST_LINE.search(error)}
        own = tuple(target for target, error in seen.items() if not error.startswith("failed to solve:"))
        return own or tuple(seen)

    def unread(self) -> tuple[str, ...]:
        """Return the targets whose Dockerfile BuildKit fetched and made nothing of.

        Of a Dockerfile that cannot be parsed, or has no such stage, it names no target; but nothing came after it.
        """
        return tuple(target for target in self.targets if target not in self._read)

    def quoted(self) -> tuple[str, ...]:
        """Return the lines of a Dockerfile that buildx's own message points at; it does not say whose they are."""
        return tuple(match[1] for line in self.words if (match := _QUOTED.match(line)))

    def read(self, lines: Iterable[str]) -> Iterator[Step]:
        """Yield the steps that the lines tell of, as they come."""
        for line in lines:
            if not self._buffer and not line.startswith("{"):
                self.words.append(line)
                continue
            self._buffer.append(line)
            if line.endswith("}") and (line == "}" or len(self._buffer) == 1):
                text = "\n".join(self._buffer)
                try:
                    document = json.loads(text)
                except ValueError:
                    if line == "}":
                        self.words += self._buffer
                        self._buffer = []
                    continue
                self._buffer = []
                yield from self._of(document)
                self._time(document)
        self.words += self._buffer
        self._buffer = []

    def _of(self, document: dict[str, Any]) -> Iterator[Step]:
        for vertex in document.get("vertexes") or ():
            target, text = self._named(vertex.get("name", ""))
            if not target:
                continue
            # Targets that share a step share its log.
            sharing = self._vertex.setdefault(vertex["digest"], [])
            if target not in sharing:
                sharing.append(target)
            error = vertex.get("error", "")
            if error or "load build definition" not in text:
                self._read.add(target)
            # A cache that is not there yet is reported as an error, and is none.
            if error and "context canceled" not in error and not text.startswith("importing cache"):
                self.errors.setdefault(target, error)
            if vertex.get("started") or vertex.get("cached"):
                yield Step(
                    target=target,
                    text=text,
                    finished=bool(vertex.get("completed")),
                    cached=bool(vertex.get("cached")),
                    error=error,
                )
        for log in document.get("logs") or ():
            text = base64.b64decode(log.get("data") or "").decode(errors="replace")
            for target in self._vertex.get(log["vertex"], ()) if text else ():
                self._log(target, text)

    def _time(self, document: dict[str, Any]) -> None:
        for vertex in document.get("vertexes") or ():
            span = _span(vertex)
            if span and _PUSHING not in vertex.get("name", ""):
                for target in self._vertex.get(vertex["digest"], ()):
                    self.worked.setdefault(target, []).append(span)
        for status in document.get("statuses") or ():
            if status["id"].startswith(_PUSHING):
                self._push(status)

    def _push(self, status: dict[str, Any]) -> None:
        for target in self._vertex.get(status["vertex"], ()):
            if span := _span(status):
                self.pushed.setdefault(target, []).append(span)
            if layer := _LAYER.search(status["id"]):
                moved = self.moved.setdefault(target, set())
                # One that the registry has already gets no total.
                if status.get("total"):
                    moved.add(layer[1])

    def _log(self, target: str, text: str) -> None:
        kept = self.logs.setdefault(target, [])
        lines = text.splitlines()
        if lines and kept and target in self._open:
            kept[-1] += lines.pop(0)
        kept += lines
        del kept[:-LOG_LINES]
        (self._open.discard if text.endswith(("\n", "\r")) else self._open.add)(target)

    def _named(self, name: str) -> tuple[str, str]:
        match = _NAME.match(name)
        if not match:
            return (self.targets[0] if len(self.targets) == 1 else "", name.partition("\n")[0])
        target, stage, text = match["target"], match["stage"] or "", match["text"].partition("\n")[0]
        if target not in self.targets:
            # With one target buildx leaves its name away: "[2/5] RUN …", "[internal] …".
            return (self.targets[0] if len(self.targets) == 1 and target != "internal" else "", text)
        step = _STEP.search(stage)
        return target, f"{step[1]}/{step[2]} {text}" if step else text


def _span(of: dict[str, Any]) -> Span | None:
    if not of.get("started") or not of.get("completed"):
        return None
    return Span(*(datetime.fromisoformat(of[key]).timestamp() for key in ("started", "completed")))
