"""The same question about many things, asked on all processors: Python's threads only get into each other's way."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self, TypeVar

T = TypeVar("T")

_MOST_PROCESSES = 8


def ask(function: Callable[[T], str], things: Sequence[T], *, at_least: int) -> list[str]:
    """Return what a function says of each thing, in order, whoever computed it.

    Args:
        function: what to ask; it changes nothing, for it may be asked twice.
        things: about what.
        at_least: with fewer things for each processor than this, one does it all.

    Raises:
        Exception: whatever the function raises.
    """
    parts = min(_processors(), len(things) // at_least)
    if parts <= 1:
        return [function(thing) for thing in things]
    answers = [""] * len(things)
    with ExitStack() as ending:
        others = [ending.enter_context(_Other(function, things[number::parts])) for number in range(1, parts)]
        answers[::parts] = [function(thing) for thing in things[::parts]]
        for number, other in enumerate(others, start=1):
            answers[number::parts] = other.answers()
    return answers


def _processors() -> int:
    # Only on Linux are copies of a process safe, and the processors we may use known.
    return min(_MOST_PROCESSES, len(os.sched_getaffinity(0))) if sys.platform == "linux" else 1


class _Other:
    """A copy of this process that answers for some of the things."""

    def __init__(self, function: Callable[[T], str], things: Sequence[T]) -> None:
        self._self: Callable[[], list[str]] = lambda: [function(thing) for thing in things]
        read, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            code = 1
            try:
                os.close(read)
                with open(write, "w", encoding="ascii") as pipe:  # noqa: PTH123 - a descriptor
                    json.dump(self._self(), pipe)
                code = 0
            finally:
                # Nothing of ours may happen twice: no traceback, no buffered line, no tidying up.
                os._exit(code)
        os.close(write)
        self._pipe = open(read, encoding="ascii")  # noqa: PTH123, SIM115 - a descriptor, closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        if self._pid:
            os.waitpid(self._pid, 0)

    def answers(self) -> list[str]:
        """Return its answers; if it came to grief, whatever comes of trying here."""
        said = self._pipe.read()
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        return list(json.loads(said)) if status == 0 else self._self()
