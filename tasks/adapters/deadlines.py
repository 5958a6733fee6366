"""Hanging up when an answer is late: a limit on single reads never strikes on a trickle."""

import contextlib
import socket
import threading
import time
from typing import Any, Self


class Deadlines:
    """Hangs up on sockets that are not done in time; one thread watches all of them.

    Args:
        limit: seconds that each has.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._watching = False
        # In the order of their ends, since all have the same limit.
        self._ends: dict[socket.socket, float] = {}

    def on(self, connected: Any) -> "_Watched":
        """Watch a socket, plain or TLS, while a `with` block runs; it ends with `TimeoutError` if that was too long."""
        return _Watched(self, connected)

    def begin(self, connected: socket.socket) -> None:
        """Watch a socket from now on."""
        with self._guard:
            self._ends[connected] = time.monotonic() + self._limit
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._watch, name="deadlines", daemon=True).start()

    def end(self, connected: socket.socket) -> bool:
        """Watch it no more; whether it was done in time."""
        with self._guard:
            return self._ends.pop(connected, None) is not None

    def close(self) -> None:
        """Let the thread go."""
        self._over.set()

    def _watch(self) -> None:
        wait = self._limit
        while not self._over.wait(wait):
            with self._guard:
                now = time.monotonic()
                for late in [connected for connected, end in self._ends.items() if end <= now]:
                    del self._ends[late]
                    _hang_up(late)
                # What comes while nothing is watched ends after the next look.
                wait = max(0.0, next(iter(self._ends.values()), now + self._limit) - now)


class _Watched:
    """A socket that is watched; not a generator, for there are thousands."""

    __slots__ = ("_by", "_connected")

    def __init__(self, by: Deadlines, connected: Any) -> None:
        self._by = by
        # TLS inside of TLS has the socket within.
        self._connected = connected if isinstance(connected, socket.socket) else getattr(connected, "socket", None)

    def __enter__(self) -> Self:
        if self._connected is not None:
            self._by.begin(self._connected)
        return self

    def __exit__(self, *_: object) -> None:
        # To the reader it looks as if the other side had come to an end, which may pass for an answer.
        if self._connected is not None and not self._by.end(self._connected):
            raise TimeoutError("not done in time")


def _hang_up(connected: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # The plain socket's method: TLS would want to say goodbye, and the other thread is in the middle of it.
        socket.socket.shutdown(connected, socket.SHUT_RDWR)
