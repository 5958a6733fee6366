"""How a run ends: one door from errors to doit, and the exit code."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

from doit.exceptions import TaskFailed

from tasks.core.errors import OnevmError

P = ParamSpec("P")

BUG = 2
_codes: set[int] = set()


Values = dict[str, Any] | None


def action(function: Callable[P, Values]) -> Callable[P, "TaskFailed | Values"]:
    """Turn a function into a doit action: what Onevm can explain fails the task, with no traceback.

    What the function returns, doit saves with the task. Anything else is a bug, keeps its traceback and ends the
    run with exit code 2.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> "TaskFailed | Values":
        try:
            return function(*args, **kwargs)
        except OnevmError as error:
            _codes.add(error.exit_code)
            return TaskFailed(str(error))

    return run


def note(code: int) -> None:
    """Take note of an exit code that the run shall end with."""
    _codes.add(code)


def exit_code() -> int:
    """Return the exit code of the run: a bug before usage before a failure."""
    for code in (BUG, 3, 1):
        if code in _codes:
            return code
    return max(_codes, default=0)
