"""Who may use one of the few sessions of a connection next: who came first.

How many a VM grants is not known before it refuses one. Who is refused waits until another command of ours has ended,
however long that takes: all of them have time limits of their own. Only who is refused while nobody else of ours runs
has a reason to give up.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PAUSE_SECONDS = 0.1


class Turns:
    """Turns of any number of threads.

    Args:
        most: how many may run at once, if all of them are granted what they need.
    """

    def __init__(self, most: int) -> None:
        self._most = self._limit = most
        self._changed = threading.Condition()
        self._tickets = 0
        self._waiting: set[int] = set()
        self._going: set[int] = set()
        self._refused_since: float | None = None

    @contextmanager
    def turn(self) -> "Iterator[Turn]":
        """Wait for a turn, and have it until the end of the block."""
        with self._changed:
            self._tickets += 1
            ticket = self._tickets
            self._wait(ticket)
        mine = Turn(self, ticket)
        try:
            yield mine
        finally:
            with self._changed:
                self._going.discard(ticket)
                if mine.granted:
                    self._refused_since = None
                if not self._waiting:
                    self._limit = self._most
                self._changed.notify_all()

    def free(self) -> int:
        """Return for how many more there is room right now."""
        with self._changed:
            return max(self._limit - len(self._going) - len(self._waiting), 0)

    def one_more(self) -> None:
        """Learn that something else has given back what a turn needs."""
        with self._changed:
            self._limit = min(self._limit + 1, self._most)
            self._changed.notify_all()

    def again(self, ticket: int, seconds: float) -> bool:
        """See `Turn.again`."""
        with self._changed:
            others = self._going - {ticket}
            self._limit = max(len(others), 1)
            if others:
                self._going.discard(ticket)
                self._wait(ticket)
                return True
            now = time.monotonic()
            self._refused_since = self._refused_since or now
            if now - self._refused_since >= seconds:
                return False
        # Nobody of ours will say when it is worth another try; who waits for a turn still does.
        time.sleep(PAUSE_SECONDS)
        return True

    def _wait(self, ticket: int) -> None:
        self._waiting.add(ticket)
        try:
            self._changed.wait_for(lambda: ticket == min(self._waiting) and len(self._going) < self._limit)
            self._going.add(ticket)
        finally:
            self._waiting.discard(ticket)
            self._changed.notify_all()


class Turn:
    """A turn of one thread."""

    def __init__(self, turns: Turns, ticket: int) -> None:
        self._turns = turns
        self._ticket = ticket
        self.granted = True

    def again(self, seconds: float) -> bool:
        """Have another turn after a refusal, as soon as there may be what it needs.

        Args:
            seconds: how long all may be refused while nobody has what they need.

        Returns:
            False if all were refused for so long.
        """
        self.granted = self._turns.again(self._ticket, seconds)
        return self.granted
