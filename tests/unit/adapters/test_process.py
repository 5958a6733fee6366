"""Programs are started, limited and ended; real ones, and a real owner that is killed."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.adapters import process
from tasks.adapters.process import Child, CommandFailed, finish, lines, run, start, tail
from tasks.core.errors import ToolError
from tasks.core.secret import Secret

ROOT = Path(__file__).parents[3]
LIMIT = 20.0
needs_setpriv = pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux is not here")


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; a failed test if it never holds."""
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end, "never happened"
        time.sleep(0.01)


def written(path: Path) -> Callable[[], bool]:
    return lambda: path.is_file() and path.read_text().endswith("\n")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def owner(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process of its own that uses the adapter."""
    # Who runs the tests in the background has SIGINT ignored, and so have its children.
    code = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{code}"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_command_gives_its_texts_and_its_code() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2"], timeout=LIMIT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "err\n")


def test_arguments_are_no_shell_text() -> None:
    odd = ["$HOME", "a b", "'", '"', "`id`", ";", "*", "\n", ""]
    assert run(["printf", "%s|", *odd], timeout=LIMIT).stdout == "".join(f"{text}|" for text in odd)


def test_input_is_given_and_is_otherwise_empty() -> None:
    assert run(["cat"], timeout=LIMIT, input=b"x" * 300_000).stdout == "x" * 300_000
    assert run(["cat"], timeout=LIMIT).stdout == ""


def test_text_that_is_no_utf8_is_read_all_the_same() -> None:
    assert run(["printf", r"a\377b"], timeout=LIMIT).stdout == "a\ufffdb"


def test_variables_are_added_to_our_own_and_the_folder_is_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONEVM_TEST_A", "ours")
    script = 'echo "$ONEVM_TEST_A $ONEVM_TEST_B"; pwd -P'
    done = run(["sh", "-c", script], timeout=LIMIT, env={"ONEVM_TEST_B": Secret("theirs")}, cwd=tmp_path)
    assert done.stdout == f"ours theirs\n{tmp_path.resolve()}\n"
    assert "ONEVM_TEST_B" not in os.environ


def test_a_failure_names_the_command_its_code_and_its_last_words() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "seq 100 >&2; exit 3"], timeout=LIMIT)
    error = caught.value
    assert error.returncode == 3
    assert str(error).splitlines()[0] == "sh -c 'seq 100 >&2; exit 3' failed (exit 3)"
    assert str(error).splitlines()[-1] == "  100"
    assert "  85" not in str(error).splitlines()
    assert error.stderr.startswith("1\n2\n")


def test_a_failure_may_be_asked_for() -> None:
    assert run(["sh", "-c", "exit 4"], timeout=LIMIT, check=False).returncode == 4


def test_a_program_that_is_not_there_is_an_explained_error() -> None:
    with pytest.raises(ToolError, match="onevm-no-such-program is not installed"):
        run(["onevm-no-such-program"], timeout=LIMIT)


def test_a_secret_is_neither_in_the_arguments_nor_in_the_message() -> None:
    secret = Secret("hunter2")
    script = 'read x; [ "$x" = hunter2 ] && [ "$Y" = hunter2 ] && tr "\\0" " " < /proc/$$/cmdline; exit 1'
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", script.replace("hunter2", "hunter?")], timeout=LIMIT, input=secret, env={"Y": secret})
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(vars(caught.value))


def test_what_does_not_end_in_time_is_ended_and_shows_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", f"echo $$ > {tmp_path}/pid; echo working >&2; exec sleep 1000"], timeout=0.5)
    assert caught.value.returncode is None
    assert "no answer within 0.5 s" in str(caught.value)
    assert "working" in str(caught.value)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_children_of_what_does_not_end_in_time_are_ended_too(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed):
        run(["sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; wait"], timeout=0.5)
    until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_what_leaves_a_child_behind_that_holds_its_pipes_is_limited_too(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no answer within"):
        run(["sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid"], timeout=0.5)
    until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_what_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.2)
    child = start(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1000; done"])
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    finish(child)
    assert child.returncode == -signal.SIGKILL


def test_lines_come_as_they_are_written(tmp_path: Path) -> None:
    script = (
        f"echo one; echo two >&2; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; printf 'three\\r\\nhalf'; exit 3"
    )
    with lines(["sh", "-c", script], timeout=LIMIT) as (stream, child):
        assert (next(stream), next(stream)) == ("one", "two")
        (tmp_path / "go").touch()
        assert list(stream) == ["three", "half"]
        assert child.wait() == 3


def test_leaving_the_lines_early_ends_the_command() -> None:
    with lines(["sh", "-c", "echo $$; exec sleep 1000"], timeout=LIMIT) as (stream, _):
        pid = int(next(stream))
    assert not alive(pid)


def test_lines_end_when_the_time_is_over() -> None:
    with lines(["sh", "-c", "echo one; sleep 1000"], timeout=0.5) as (stream, child):
        assert list(stream) == ["one"]
        assert child.wait() == -signal.SIGKILL


def test_a_child_outlives_the_thread_that_started_it() -> None:
    """The kernel's parent-death signal is about threads; a pool's end must not end a connection."""
    found: list[Child] = []

    def begin() -> None:
        found.append(start(["sh", "-c", "echo ready; read x; echo $x"], stdin=True))
        assert found[0].stdout is not None
        found[0].stdout.readline()

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    until(lambda: not thread.is_alive())
    try:
        out, _ = found[0].communicate(b"alive\n", LIMIT)
        assert (found[0].returncode, out) == (0, b"alive\n")
    finally:
        finish(found[0])


@needs_setpriv
@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_child_dies_with_an_owner_that_is_killed(tmp_path: Path, where: str) -> None:
    script = f"echo $$ > {tmp_path}/pid; exec sleep 1000"
    call = f"process.run(['sh', '-c', {script!r}], timeout=1000)"
    if where == "thread":
        call = f"from threading import Thread; t = Thread(target=lambda: {call}); t.start(); t.join()"
    with owner(f"from tasks.adapters import process; {call}") as child:
        until(written(tmp_path / "pid"))
        pid = int((tmp_path / "pid").read_text())
        assert alive(pid)
        child.kill()
        child.wait()
        until(lambda: not alive(pid))


def test_a_step_that_must_be_finished_outlives_its_owner_and_keeps_what_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "held").touch()
    script = f"echo $$ > {tmp_path}/pid; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo end > {tmp_path}/end"
    code = (
        "import os; from tasks.adapters import process; "
        f"held = os.open({str(tmp_path / 'held')!r}, os.O_RDWR); "
        f"process.run(['sh', '-c', {script!r}], timeout=1000, survive=[held])"
    )
    with owner(code) as child:
        until(written(tmp_path / "pid"))
        pid = int((tmp_path / "pid").read_text())
        child.kill()
        child.wait()
    assert alive(pid)
    assert str(tmp_path / "held") in {os.path.realpath(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
    (tmp_path / "go").touch()
    until(written(tmp_path / "end"))


@pytest.mark.parametrize(("survive", "stays"), [("None", False), ("[]", True)])
def test_an_interrupt_ends_a_command_unless_it_must_be_finished(tmp_path: Path, survive: str, stays: bool) -> None:
    script = f"echo $$ > {tmp_path}/pid; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; echo end > {tmp_path}/end"
    code = f"from tasks.adapters import process; process.run(['sh', '-c', {script!r}], timeout=1000, survive={survive})"
    with owner(code) as child:
        until(written(tmp_path / "pid"))
        child.send_signal(signal.SIGINT)
        child.wait(LIMIT)
    assert alive(int((tmp_path / "pid").read_text())) is stays
    (tmp_path / "go").touch()
    if stays:
        until(written(tmp_path / "end"))


def test_stopping_ends_every_child_and_starts_no_other(tmp_path: Path) -> None:
    code = f"""
import os, threading
from tasks.adapters import process
def one(number):
    try:
        process.run(["sh", "-c", f"echo $$ > {tmp_path}/{{number}}; exec sleep 1000"], timeout=1000)
    except process.CommandFailed as failed:
        os.write(1, f"{{failed.returncode}}\\n".encode())
threads = [threading.Thread(target=one, args=[n]) for n in range(3)]
[thread.start() for thread in threads]
input()
process.stop_all()
[thread.join() for thread in threads]
process.run(["touch", "{tmp_path}/more"], timeout=1000)
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        for number in range(3):
            until(written(tmp_path / str(number)))
        out, err = child.communicate(b"\n", LIMIT)
    finally:
        child.kill()
        child.wait()
    assert out.decode().split() == ["-15"] * 3, err
    assert child.returncode == 128 + signal.SIGTERM
    assert not (tmp_path / "more").exists()
    assert not any(alive(int((tmp_path / str(number)).read_text())) for number in range(3))


def test_the_tail_of_a_text_is_its_last_lines() -> None:
    assert tail("a\nb\nc\n\n", 2) == "b\nc"
    assert tail("", 2) == ""
