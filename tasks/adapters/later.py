"""Something that is begun now, because its result will be needed later."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


def begun(work: Callable[[], T]) -> Future[T]:
    """Begin some work in a thread of its own, and return its future; a run that ends does not wait for it."""
    found: Future[T] = Future()

    def do() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever needs the result gets it
            found.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return found


class Postponed(Generic[T]):
    """Some work whose result will be needed: begun when there is time for it, at the latest by whoever needs it.

    Args:
        work: the work.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._guard = threading.Lock()
        self._begun: Future[T] | None = None

    def begin(self) -> Future[T]:
        """Begin, unless that was done before; returns the result to be."""
        with self._guard:
            if self._begun is None:
                self._begun = begun(self._work)
            return self._begun
