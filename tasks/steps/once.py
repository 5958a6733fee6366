"""Doing something once per run, whatever came of it."""

import functools
from collections.abc import Callable, Hashable
from typing import TypeVar

from tasks.core.errors import OnevmError

T = TypeVar("T")


def once(function: Callable[..., T]) -> Callable[..., T]:
    """Remember what a function returned, or with which explained failure it ended, for the same arguments."""
    known: dict[tuple[Hashable, ...], T | OnevmError] = {}

    @functools.wraps(function)
    def remembered(*args: Hashable) -> T:
        if args not in known:
            try:
                known[args] = function(*args)
            except OnevmError as error:
                known[args] = error
        found = known[args]
        if isinstance(found, OnevmError):
            raise found
        return found

    return remembered
