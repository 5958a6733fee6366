"""Asking something while something else is done, without ever keeping the run from ending."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

MOST_THREADS = 4


class Meanwhile:
    """Calls functions in a few daemon threads: whoever leaves does not wait for them, unlike for those of a pool."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._threads = 0
        self._guard = threading.Lock()

    def submit(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Call a function as soon as a thread is free; returns what will have its result."""
        found: Future[T] = Future()

        def call() -> None:
            try:
                found.set_result(function(*args))
            except BaseException as error:  # noqa: BLE001 - whoever wants the result gets it
                found.set_exception(error)

        self._asked.put(call)
        with self._guard:
            if self._threads < MOST_THREADS:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True).start()
        return found

    def _work(self) -> None:
        while True:
            self._asked.get()()
