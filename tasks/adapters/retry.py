"""Asking again when there was no usable answer; giving up, with an explanation, when there is none to be had."""

import time
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TypeVar

from msgspec import Struct

from tasks.core.errors import OnevmError

T = TypeVar("T")


class Unanswered(Exception):
    """One try got no usable answer; another may.

    Args:
        reason: what came instead.
        wait: seconds the other side asks to wait, if it does.
    """

    def __init__(self, reason: str, *, wait: float = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait


class LoginRefused(Exception):
    """The login, or the lack of one, was refused; `reason` gives the other side's words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CouldNotAsk(OnevmError):
    """No try got a usable answer. It says nothing about what was asked for: not that it is not there."""


class Patience(Struct, frozen=True, kw_only=True):
    """How often and how long to ask.

    Attributes:
        attempts: tries at most.
        pause: seconds before the second try; doubled before each further one.
        total: seconds after which no further try is begun.
        sleep: waits that many seconds.
        clock: seconds that never go back.
    """

    attempts: int = 4
    pause: float = 0.5
    total: float = 60
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def ask(self, what: str, attempt: Callable[[], T], *, next_step: str) -> T:
        """Try until there is an answer.

        Args:
            what: the question, for the message.
            attempt: one try.
            next_step: for the message.

        Raises:
            CouldNotAsk: every try raised `Unanswered`.
        """
        begin = self.clock()
        reasons: list[str] = []
        pause = self.pause
        for _ in range(self.attempts):
            try:
                return attempt()
            except Unanswered as error:
                reasons.append(error.reason)
                wait = max(pause, error.wait)
            pause *= 2
            if len(reasons) == self.attempts:
                break
            if self.clock() - begin + wait > self.total:
                reasons.append(f"the next try would be in {wait:.0f} s, past the limit of {self.total:g} s")
                break
            self.sleep(wait)
        raise CouldNotAsk(
            f"no usable answer: {what}",
            detail="\n".join(_counted(reasons)),
            next_step=next_step,
        )


def _counted(reasons: list[str]) -> Iterator[str]:
    for reason, same in groupby(reasons):
        count = len(list(same))
        yield f"{reason} ({count} times)" if count > 1 else reason
