"""The same question about many things, asked side by side by some threads: each has its share of them.

A future for each of thousands of short questions costs as much as the question.
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


def ask(function: Callable[[S], T], things: Iterable[S], *, threads: int) -> list[T]:
    """Return what a function says of each thing, in order.

    Args:
        function: what to ask; called from several threads.
        things: about what.
        threads: how many ask, at most.

    Raises:
        Exception: what the function raised first; nothing further is asked then.
    """
    all_of = list(things)
    parts = min(threads, len(all_of))
    if parts <= 1:
        return [function(thing) for thing in all_of]
    over = threading.Event()

    def share(number: int) -> list[T]:
        found = []
        try:
            for thing in all_of[number::parts]:
                if over.is_set():
                    break
                found.append(function(thing))
        except BaseException:
            over.set()
            raise
        return found

    with ThreadPoolExecutor(parts) as pool:
        shares = list(pool.map(share, range(parts)))
    return [shares[number % parts][number // parts] for number in range(len(all_of))]
