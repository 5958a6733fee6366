"""A lock is held as long as its owner, or a step that must be finished, is alive; real processes hold it here."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.adapters.lock import held
from tasks.adapters.transport import Local
from tasks.core.errors import OnevmError

ROOT = Path(__file__).parents[3]
LIMIT = 20.0
US = {"performer": "ci@runner", "since": "2026-01-02 03:04:05", "doing": "deploy of 1a2b3c4"}
SENTENCE = "ci@runner has been at it since 2026-01-02 03:04:05 (deploy of 1a2b3c4)"


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.01)


def silent(text: str) -> None:
    pytest.fail(f"nobody should wait: {text}")


@contextmanager
def other(path: Path, inside: str, transport: str = "None") -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock; `inside` is what it does meanwhile."""
    code = f"""
import signal, sys
from pathlib import Path
from tasks.adapters.lock import held
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
from tasks.adapters.transport import Local
transport = {transport}
with held(Path({str(path)!r}), {US!r}, wait_seconds=0, waiting=print, transport=transport):
    print("held", flush=True)
    {inside}
"""
    pipe = subprocess.PIPE
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n", child.stderr and child.stderr.read()
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_free_lock_is_taken_at_once_and_again(tmp_path: Path) -> None:
    path = tmp_path / "shop" / "lock"
    for _ in range(2):
        with held(path, US, wait_seconds=0, waiting=silent):
            assert json.loads(path.read_text()) == US
    assert path.read_text() == ""


def test_a_lock_is_released_by_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held(tmp_path / "lock", US, wait_seconds=0, waiting=silent):
        raise ZeroDivisionError
    with held(tmp_path / "lock", US, wait_seconds=0, waiting=silent):
        pass


def test_whoever_does_not_wait_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "shop" / "lock"
    with (
        other(path, "input()"),
        pytest.raises(OnevmError, match=r"^stack shop is locked: ") as caught,
        held(path, US, wait_seconds=0, waiting=silent),
    ):
        pytest.fail("two at once")
    assert SENTENCE in str(caught.value)
    assert "lock_wait=" in caught.value.next_step


def test_a_lock_of_something_else_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        other(path, "input()"),
        pytest.raises(OnevmError, match="this clone is locked"),
        held(path, US, wait_seconds=0, waiting=silent, what="this clone"),
    ):
        pytest.fail("two at once")


def test_whoever_waits_is_told_once_and_gets_in_when_the_other_leaves(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    told: list[str] = []
    with other(path, "input()") as child:

        def waiting(text: str) -> None:
            told.append(text)
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()

        with held(path, {**US, "performer": "me"}, wait_seconds=LIMIT, waiting=waiting):
            assert json.loads(path.read_text())["performer"] == "me"
            assert child.wait(LIMIT) == 0
    assert told == [f"waiting: {SENTENCE}"]


def test_nobody_waits_for_an_owner_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with other(path, "input()") as child:
        child.kill()
        child.wait()
        with held(path, US, wait_seconds=0, waiting=silent):
            pass


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"performer": "x"}', "\0\0\0"])
def test_a_holder_that_cannot_be_read_is_another_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock"
    with other(path, "input()"):
        path.write_text(text)
        with (
            pytest.raises(OnevmError, match="another run is at it"),
            held(path, US, wait_seconds=0, waiting=silent),
        ):
            pytest.fail("two at once")


STEP = "transport.run(['sh', '-c', {script!r}], timeout=1000, survive={survive})"


def step(tmp_path: Path, *, survive: bool) -> str:
    script = f"echo $$ > {tmp_path}/pid; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo end > {tmp_path}/end"
    return STEP.format(script=script, survive=survive)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_step_that_must_be_finished_keeps_the_lock_of_an_owner_that_is_gone(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "lock"
    with other(path, step(tmp_path, survive=True), "Local()") as child:
        until((tmp_path / "pid").is_file)
        child.send_signal(number)
        child.wait(LIMIT)
    with pytest.raises(OnevmError, match="is locked"), held(path, US, wait_seconds=0, waiting=silent):
        pytest.fail("two at once")

    def finish(text: str) -> None:
        assert SENTENCE in text
        (tmp_path / "go").touch()

    with held(path, US, wait_seconds=LIMIT, waiting=finish):
        assert (tmp_path / "end").is_file()


def test_another_command_does_not_keep_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with other(path, step(tmp_path, survive=False), "Local()") as child:
        until((tmp_path / "pid").is_file)
        child.kill()
        child.wait()
        with held(path, US, wait_seconds=0, waiting=silent):
            pass
    assert not (tmp_path / "end").exists()


def test_a_transport_forgets_a_lock_that_is_released(tmp_path: Path) -> None:
    transport = Local()
    with held(tmp_path / "lock", US, wait_seconds=0, waiting=silent, transport=transport):
        assert len(transport.held) == 1
    assert transport.held == []
    assert transport.run(["true"], timeout=LIMIT, survive=True).returncode == 0


def test_two_stacks_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with (
        held(tmp_path / "a" / "lock", US, wait_seconds=0, waiting=silent),
        held(tmp_path / "b" / "lock", US, wait_seconds=0, waiting=silent),
    ):
        pass
