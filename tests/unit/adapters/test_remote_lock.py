"""Giving up a lock that somebody else keeps; its holder on the VM is a shell of this machine here."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.adapters import remote_lock
from tasks.adapters.process import finish, start
from tasks.core.errors import OnevmError

ROUNDS = 20


def given_up(_: int) -> tuple[list[str], str]:
    said: list[str] = []
    child = start(["sh", "-c", 'echo "HELD {}"; exec sleep 60'], stdin=True)
    try:
        with pytest.raises(OnevmError) as caught:
            remote_lock._take(child, "shop", 0.6, said.append)
    finally:
        finish(child)
    return said, caught.value.what


def test_who_gives_up_waiting_says_who_has_it() -> None:
    with ThreadPoolExecutor(ROUNDS) as pool:
        found = list(pool.map(given_up, range(ROUNDS)))
    assert found == [(["waiting: another run is at it"], "stack shop is locked: another run is at it")] * ROUNDS
