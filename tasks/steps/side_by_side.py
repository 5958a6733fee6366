"""Several stacks: each comes to its own end, and one that fails leaves the others alone."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

from tasks.core.errors import OnevmError

T = TypeVar("T")

MOST_STACKS = 16
HEAD_START_SECONDS = 1.0


class Ends(Generic[T]):
    """What became of each of several stacks.

    Args:
        ends: by stack, what its work returned, or the explained failure it ended with.
    """

    def __init__(self, ends: Mapping[str, T | OnevmError]) -> None:
        self._ends = ends

    def of(self, stack: str) -> T:
        """Return what a stack's work returned.

        Raises:
            OnevmError: it failed.
        """
        found = self._ends[stack]
        if isinstance(found, OnevmError):
            raise found
        return found

    def items(self) -> Sequence[tuple[str, T | OnevmError]]:
        """Return stacks and their ends, in the order in which they were named."""
        return tuple(self._ends.items())


class Gate:
    """Lets stacks go on to what changes a host, until one of them has failed, if that is to stop the others.

    Args:
        fail_fast: whether it is.
        first: the stacks that will take longest. Until these only wait for health, the others leave the processors
            and the line to them, though not for long.
    """

    def __init__(self, *, fail_fast: bool, first: Collection[str] = ()) -> None:
        self._fail_fast = fail_fast
        self._guard = threading.Lock()
        self._failed = ""
        self._first = set(first)
        self._none_first = threading.Event()

    def begin(self, stack: str) -> None:
        """Wait a moment until it is a stack's turn to begin."""
        if self._first and stack not in self._first:
            self._none_first.wait(HEAD_START_SECONDS)

    def over(self, stack: str) -> None:
        """Take note of a stack that only waits, or has ended."""
        with self._guard:
            self._first.discard(stack)
            if not self._first:
                self._none_first.set()

    def failed(self, stack: str) -> None:
        """Take note of a stack that failed."""
        with self._guard:
            self._failed = self._failed or stack

    def check(self, stack: str) -> None:
        """Return if a stack may go on.

        Raises:
            OnevmError: another one failed.
        """
        if self._fail_fast and self._failed and self._failed != stack:
            raise OnevmError(
                f"{stack}: not deployed, because {self._failed} failed (fail_fast=1)",
                next_step="nothing that runs was touched",
            )


def in_turn(stacks: Sequence[str], work: Callable[[str], T]) -> Ends[T]:
    """Do something for several stacks, one after the other.

    Args:
        stacks: their names.
        work: what to do for one.
    """
    return Ends({stack: _end(stack, work) for stack in stacks})


def _end(stack: str, work: Callable[[str], T]) -> T | OnevmError:
    try:
        return work(stack)
    except OnevmError as error:
        return error


def side_by_side(stacks: Sequence[str], work: Callable[[str], T], gate: Gate) -> Ends[T]:
    """Do something for several stacks at once, and wait for all of them; a single one is done right here.

    Args:
        stacks: their names.
        work: what to do for one.
        gate: says who begins; told of those that fail.
    """

    def one(stack: str) -> T | OnevmError:
        gate.begin(stack)
        try:
            end = _end(stack, work)
            if isinstance(end, OnevmError):
                gate.failed(stack)
            return end
        finally:
            gate.over(stack)

    if len(stacks) == 1:
        return Ends({stacks[0]: one(stacks[0])})
    found: dict[str, Future[T | OnevmError]] = {}
    with ThreadPoolExecutor(MOST_STACKS, "stack") as pool:
        found = {stack: pool.submit(one, stack) for stack in stacks}
        wait(found.values())
    return Ends({stack: future.result() for stack, future in found.items()})
