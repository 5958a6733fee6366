"""Something that is begun now, because its result will be needed later."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

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
