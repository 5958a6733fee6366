"""Sessions that wait for their command; here they are shells of this machine, which is all that a VM's are, too."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from tasks.adapters.process import Child, completed, finish, start
from tasks.adapters.spare import Spares, tell
from tests.integration.shop import until

END = "end of a command"
WAIT = 20.0


def room_for_all() -> int:
    return 9


class Shells:
    """Starts shells, and keeps those that it started."""

    def __init__(self) -> None:
        self.started: list[Child] = []

    def __call__(self, words: Sequence[str]) -> Child:
        self.started.append(start(words, stdin=True))
        return self.started[-1]


@pytest.fixture
def shells() -> Iterator[Shells]:
    found = Shells()
    yield found
    for child in found.started:
        finish(child)


@pytest.fixture
def spares(shells: Shells) -> Iterator[Spares]:
    found = Spares(shells, END)
    yield found
    found.close()


def run(spares: Spares, words: Sequence[str], data: bytes = b"") -> tuple[int, str, str]:
    done = completed(spares.take(), words, timeout=WAIT, data=spares.said(words) + data, check=False)
    return done.returncode, done.stdout, done.stderr


def waiting(shells: Shells, number: int) -> Callable[[], bool]:
    return lambda: len(shells.started) == number


@pytest.mark.parametrize(
    "words",
    [
        [
            "printf",
            "%s|",
            "a b",
            "",
            "$HOME",
            "it's",
            'say "x"',
            "back\\slash",
            "\\n",
            "two\nlines",
            "-n",
            " lead",
            "é",
        ],
        ["sh", "-c", 'printf %s "$0|$1"; printf %s err >&2; exit 7', "one\n\n\nfour\n", f" {END} "],
        ["cat"],
        ["no-such-program"],
    ],
)
def test_a_session_that_waited_is_the_command(shells: Shells, spares: Spares, words: list[str]) -> None:
    spares.open(1, room_for_all)
    until(waiting(shells, 1), "one waits")
    mine = run(spares, words, b"its own\ninput\n")
    assert len(shells.started) == 1
    alone = completed(
        start(["sh", "-c", 'exec "$@"', "sh", *words], stdin=True),
        words,
        timeout=WAIT,
        data=b"its own\ninput\n",
        check=False,
    )
    assert mine[:2] == (alone.returncode, alone.stdout)
    assert bool(mine[2]) == bool(alone.stderr)


def test_the_command_has_all_of_its_input_and_nothing_else(spares: Spares) -> None:
    data = bytes(range(256)) * 4096
    done = run(spares, ["sh", "-c", "wc -c; "], data)
    assert done[:2] == (0, f"{len(data)}\n")


def test_half_a_command_is_none(shells: Shells, spares: Spares) -> None:
    said = spares.said(["sh", "-c", "echo began; echo more"])
    for cut in (0, 10, len(said) - len(END), len(said) - 2):
        session = spares.take()
        assert completed(session, ["cut"], timeout=WAIT, data=said[:cut], check=False).stdout == ""
    assert len(shells.started) == 4


def test_as_many_wait_as_there_is_room_for_however_many_are_asked_for(shells: Shells, spares: Spares) -> None:
    asked = threading.Event()

    def room() -> int:
        if len(shells.started) == 2:
            asked.set()
        return 2

    spares.open(5, room)
    assert asked.wait(WAIT)
    assert {spares.take(), spares.take()} == set(shells.started)
    spares.open(1, room_for_all)
    until(waiting(shells, 3), "one waits")
    assert spares.take() is shells.started[2]


def test_where_one_was_refused_no_more_are_opened_ahead(shells: Shells, spares: Spares) -> None:
    spares.open(2, room_for_all)
    until(waiting(shells, 2), "two wait")
    for child in shells.started:
        finish(child)
    assert run(spares, ["echo", "here"])[:2] == (0, "here\n")
    assert len(shells.started) == 3
    spares.open(1, room_for_all)
    assert run(spares, ["echo", "there"])[:2] == (0, "there\n")
    assert len(shells.started) == 4


def test_those_that_wait_end_with_the_connection(shells: Shells, spares: Spares) -> None:
    spares.open(2, room_for_all)
    until(waiting(shells, 2), "two wait")
    session = spares.take()
    spares.close()
    spares.open(1, room_for_all)
    tell(session, spares.said(["sh", "-c", "echo here; cat"]))
    assert session.stdout is not None
    assert session.stdout.readline() == b"here\n"
    others = [child for child in shells.started if child is not session]
    assert len(others) == 1
    assert all(child.returncode is not None for child in others)
