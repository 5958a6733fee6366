"""What a person sees: rows that move on a terminal, stamped lines in a log, tables at the end.

With `format=json` standard output is kept for the one document, and everything else goes to standard error.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TextIO

from msgspec import Struct, field

from tasks.core.durations import spoken
from tasks.steps import columns as fitting
from tasks.steps import variables

_secrets: set[str] = set()
_SHORTEST_SECRET = 4
_ENDLESS = 10_000


def hide(value: str) -> None:
    """Keep a value out of everything that is shown from now on."""
    if len(value) >= _SHORTEST_SECRET:
        _secrets.add(value)


def masked(text: str) -> str:
    """Return a text with every hidden value as `***`."""
    # The longest first: one secret may be the beginning of another.
    for value in sorted(_secrets, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def _print(text: str, stream: TextIO) -> None:
    """Write a line; when nobody reads any more (`| head`), go on in silence: a deploy must not die of that."""
    try:
        print(masked(text), file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Row(Struct, kw_only=True):
    """One thing in progress."""

    phase: str
    started: float
    note: str = ""
    ended: float | None = None
    ok: bool = True


class Screen(Struct):
    """Where progress goes. Safe to use from threads."""

    terminal: bool
    json: bool
    _rows: dict[str, Row] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _live: Any = None
    _said: set[str] = field(default_factory=set)

    @property
    def _stream(self) -> Any:
        return sys.stderr if self.json else sys.stdout

    def _folded(self, text: str) -> str:
        return fitting.fold(text, _width()) if self.terminal else text

    def _line(self, text: str) -> None:
        with self._lock:
            if self._live is not None:
                self._live.console.print(masked(text), markup=False, highlight=False, soft_wrap=True)
            else:
                _print(text, self._stream)

    def say(self, text: str) -> None:
        """Say something once."""
        self._line(self._folded(text))

    def quote(self, text: str) -> None:
        """Say something that is to be copied: a terminal that is too narrow for it gets it whole all the same."""
        self._line(text)

    def warn(self, text: str) -> None:
        """Say something that deserves a look."""
        self._line(self._folded(f"warning: {text}"))

    def error(self, text: str) -> None:
        """Say what failed, on standard error; the same failure only once."""
        with self._lock:
            if text in self._said:
                return
            self._said.add(text)
        self.close()
        _print(explained(f"ERROR: {text}"), sys.stderr)

    def document(self, value: Any) -> None:
        """Print the one JSON document."""
        _print(json.dumps(value, indent=2, sort_keys=True), sys.stdout)

    def begin(self, key: str, phase: str, note: str = "") -> None:
        """Say that something begins for a service or a stack; its time goes on from what it did until now."""
        with self._lock:
            row = self._rows.get(key)
            began = row.started if row and row.ended is None else time.monotonic()
            self._rows[key] = Row(phase=phase, started=began, note=note)
            if self._live is None:
                self._stamped(key, f"{phase}{' ' + note if note else ''}")

    def note(self, key: str, note: str) -> None:
        """Change what stands behind a row; only a terminal shows it."""
        with self._lock:
            if key in self._rows:
                self._rows[key].note = note

    def end(self, key: str, phase: str, *, ok: bool = True, note: str = "") -> float:
        """Say that it ended; returns the seconds since it first began, whatever its phases were called."""
        with self._lock:
            row = self._rows.get(key) or Row(phase=phase, started=time.monotonic())
            row.phase, row.ended, row.ok, row.note = phase, time.monotonic(), ok, note
            self._rows[key] = row
            took = row.ended - row.started
            if self._live is None:
                self._stamped(key, f"{phase} ({spoken(took)}){' ' + note if note else ''}")
            return took

    def give_up(self, stack: str = "") -> None:
        """Take what is still under way, of a stack if one is named, for failed."""
        with self._lock:
            for key, row in self._rows.items():
                if row.ended is None and key.startswith(f"{stack}." if stack else ""):
                    row.ended, row.ok = time.monotonic(), False

    def _stamped(self, key: str, text: str) -> None:
        _print(f"{time.strftime('%H:%M:%S')} {key:<24} {text}", self._stream)

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the rows while they move (on a terminal), and leave them as they ended."""
        if not self.terminal or self._live is not None:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        self._rows.clear()
        console = Console(file=self._stream)
        with Live(get_renderable=self._table, console=console, refresh_per_second=8) as live:
            self._live = live
            try:
                yield
            finally:
                self.give_up()
                # Nothing but an empty line would stay of no rows.
                live.transient = not self._rows
                self._live = None
        self._rows.clear()

    def close(self) -> None:
        """Stop moving rows, if any move."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _table(self) -> Any:
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        with self._lock:
            now = time.monotonic()
            for key, row in self._rows.items():
                if row.ended is None:
                    mark: Any = Spinner("dots", style="cyan")
                else:
                    mark = Text("✓", style="green") if row.ok else Text("✗", style="red")
                took = spoken((row.ended or now) - row.started)
                note = Text(masked(row.note)[:60], style="dim", no_wrap=True, overflow="ellipsis")
                grid.add_row(mark, Text(key, style="bold"), row.phase, Text(took, style="dim"), note)
        return grid

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table; in a log it is as wide as it needs to be."""
        shown = [[masked(cell) for cell in row] for row in rows]
        lines = fitting.table(columns, shown, _width() if self.terminal else _ENDLESS)
        if not self.terminal:
            texts = ["".join(piece.text for piece in line).rstrip() for line in lines]
            _print("\n".join([title, *texts] if title else texts), self._stream)
            return
        from rich.console import Console
        from rich.text import Text

        console = Console(file=self._stream, highlight=False)
        if title:
            console.print(Text(self._folded(masked(title)), style="bold"), soft_wrap=True)
        for line in lines:
            pieces = [(text, "dim" if cell is None else _STYLES.get(cell, "")) for text, cell in line]
            shown_line = Text.assemble(*pieces)
            shown_line.rstrip()
            console.print(shown_line, soft_wrap=True)


def _width() -> int:
    return shutil.get_terminal_size().columns


def explained(text: str) -> str:
    """Return an error as standard error shows it: its own words folded, what it quotes as it is."""
    if not sys.stderr.isatty():
        return text
    lines = text.split("\n")
    quoted = [line.startswith("  ") and not line.startswith("  next: ") for line in lines]
    width = _width()
    return "\n".join(
        line if as_it_is else fitting.fold(line, width) for line, as_it_is in zip(lines, quoted, strict=True)
    )


_STYLES: Mapping[str, str] = {
    "healthy": "green",
    "running": "green",
    "good": "green",
    "ok": "green",
    "warning": "yellow",
    "unhealthy": "red",
    "failed": "red",
    "missing": "red",
    "starting": "yellow",
}


@cache
def screen() -> Screen:
    """Return the screen of this run."""
    json_wanted = variables.as_json()
    stream = sys.stderr if json_wanted else sys.stdout
    return Screen(stream.isatty() and not json_wanted, json_wanted)
