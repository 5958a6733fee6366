"""Turns: who comes first is first, and nobody gives up while another one is going."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.adapters.turns import Turns
from tests.integration.shop import until

WAIT = 20


class Door:
    """Something that only so many can have at a time; asks again by turns, and counts."""

    def __init__(self, room: int, most: int = 6) -> None:
        self.room = room
        self.turns = Turns(most)
        self.inside = self.refusals = self.most_inside = 0
        self.order: list[str] = []
        self._guard = threading.Lock()

    def _enters(self, name: str) -> bool:
        with self._guard:
            if self.inside >= self.room:
                self.refusals += 1
                return False
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
            self.order.append(name)
            return True

    def use(self, name: str, seconds: float, stay: Callable[[], object] = lambda: None) -> bool:
        with self.turns.turn() as turn:
            while not self._enters(name):
                if not turn.again(seconds):
                    return False
            stay()
            with self._guard:
                self.inside -= 1
            return True


def test_whoever_is_refused_waits_for_another_one_that_is_going_however_long_it_takes() -> None:
    door, leave = Door(room=1), threading.Event()
    with ThreadPoolExecutor(4) as pool:
        long = pool.submit(door.use, "long", 0.0, lambda: leave.wait(WAIT))
        short = [pool.submit(door.use, f"short{n}", 0.0) for n in range(3)]
        until(lambda: door.refusals > 0, "one is refused")
        assert not any(one.done() for one in short)
        leave.set()
        assert long.result(WAIT)
        assert all(one.result(WAIT) for one in short)
    # Each at most once by itself; then they come one by one.
    assert door.refusals <= 3
    assert door.order[0] == "long"


@pytest.mark.parametrize("room", [1, 2, 5, 9])
def test_all_of_many_get_through(room: int) -> None:
    door = Door(room)
    with ThreadPoolExecutor(40) as pool:
        assert all(pool.map(lambda n: door.use(str(n), WAIT), range(400)))
    assert door.most_inside <= min(room, 6)
    assert door.inside == 0


def test_who_was_refused_comes_before_who_came_later() -> None:
    door, leave = Door(room=1), threading.Event()
    with ThreadPoolExecutor(4) as pool:
        pool.submit(door.use, "long", WAIT, lambda: leave.wait(WAIT))
        until(lambda: door.inside > 0, "the long one is going")
        second = pool.submit(door.use, "second", WAIT)
        until(lambda: door.refusals > 0, "one is refused")
        third = pool.submit(door.use, "third", WAIT)
        leave.set()
        assert second.result(WAIT)
        assert third.result(WAIT)
    assert door.order == ["long", "second", "third"]


def test_where_nothing_is_granted_all_give_up_after_the_same_time() -> None:
    door = Door(room=0)
    with ThreadPoolExecutor(5) as pool:
        assert not any(pool.map(lambda n: door.use(str(n), 0.3), range(5)))
    # Not one after the other: of those who come after the first has given up, each asks once.
    assert door.refusals <= 5 + 5 + 4


def test_what_others_give_back_is_used() -> None:
    door, leave, both = Door(room=1), threading.Event(), threading.Barrier(2)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(door.use, "long", WAIT, lambda: leave.wait(WAIT))
        until(lambda: door.inside > 0, "the long one is going")
        waiting = [pool.submit(door.use, str(n), WAIT, lambda: both.wait(WAIT)) for n in range(2)]
        until(lambda: door.refusals > 0, "one is refused")
        door.room = 3
        door.turns.one_more()
        door.turns.one_more()
        # They meet inside, while the long one is going.
        assert all(one.result(WAIT) for one in waiting)
        leave.set()
