"""Questions asked on all processors."""

import os
import signal

import pytest

from tasks.adapters import halves
from tasks.adapters.halves import ask


@pytest.fixture(autouse=True)
def processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "_processors", lambda: 3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 29, 100])
def test_answers_come_in_order(count: int) -> None:
    things = list(range(count))
    assert ask(str, things, at_least=1) == [str(thing) for thing in things]


def test_many_things_are_shared_out() -> None:
    assert len(set(ask(lambda _: str(os.getpid()), range(9), at_least=3))) == 3


def test_few_things_are_not() -> None:
    assert set(ask(lambda _: str(os.getpid()), range(9), at_least=5)) == {str(os.getpid())}


def test_what_goes_wrong_elsewhere_goes_wrong_here() -> None:
    def refuse(thing: int) -> str:
        if thing == 4:
            raise ValueError(thing)
        return ""

    with pytest.raises(ValueError, match="4"):
        ask(refuse, range(9), at_least=1)


def test_where_others_are_killed_it_is_asked_again_here() -> None:
    here = os.getpid()

    def end(thing: int) -> str:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return str(thing)

    assert ask(end, range(9), at_least=1) == [str(thing) for thing in range(9)]


def test_no_other_is_left_when_it_goes_wrong_here() -> None:
    here = os.getpid()

    def refuse(thing: int) -> str:
        if os.getpid() == here:
            raise ValueError(thing)
        return "x" * 1_000_000

    with pytest.raises(ValueError, match="0"):
        ask(refuse, range(9), at_least=1)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
