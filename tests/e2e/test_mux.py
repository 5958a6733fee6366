"""Sessions and forwardings that are asked of the user's own `ssh`, without another one."""

import os
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.adapters import mux, ssh_line
from tasks.adapters.mux import LOST, Session
from tasks.adapters.process import CommandFailed, TimeoutExpired, completed, finish
from tasks.adapters.ssh import Ssh
from tasks.adapters.ssh_line import Line
from tasks.core.errors import OnevmError
from tests.e2e.vm import Vm
from tests.integration.shop import until

pytestmark = pytest.mark.vm

WAIT = 30.0
MEGABYTES = 3 * 1024 * 1024


@pytest.fixture
def line(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setenv("ONEVM_SSH_CONFIG", str(vm.ssh_config))
    with ssh_line.line_to("prod", vm.destination) as found:
        yield found


@contextmanager
def session(line: Line, *words: str) -> Iterator[Session]:
    found = mux.session(line._control, words, {})
    try:
        yield found
    finally:
        finish(found)


def run(line: Line, *words: str, data: bytes = b"", timeout: float = WAIT) -> tuple[int, str, str]:
    found = mux.session(line._control, words, {})
    done = completed(found, words, timeout=timeout, data=data, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("code", [0, 7, 255])
def test_a_session_ends_with_the_output_the_errors_and_the_code_of_its_command(line: Line, code: int) -> None:
    script = f'printf "%s|" "$@"; echo "$1" >&2; exit {code}'
    assert run(line, "sh", "-c", script, "sh", "a b", "", "it's", "é") == (code, "a b||it's|é|", "a b\n")


def test_what_goes_in_comes_out_whole_however_much_it_is(line: Line) -> None:
    data = os.urandom(MEGABYTES // 2).hex().encode()
    with session(line, "sh", "-c", "tee /dev/stderr") as found:
        assert found.communicate(data, WAIT) == (data, data)


def test_a_command_that_reads_nothing_of_its_input_ends_all_the_same(line: Line) -> None:
    assert run(line, "echo", "here", data=b"x" * MEGABYTES) == (0, "here\n", "")


def test_a_command_that_takes_too_long_is_given_up_with_what_it_said(line: Line) -> None:
    with pytest.raises(CommandFailed, match=r"no answer within 1 s") as caught:
        run(line, "sh", "-c", "echo working >&2; exec sleep 1000", timeout=1.0)
    assert caught.value.stderr == "working\n"


def test_it_is_waited_for_as_long_as_is_said(line: Line) -> None:
    with session(line, "cat") as found:
        assert found.poll() is None
        with pytest.raises(TimeoutExpired):
            found.wait(0.2)
        found.stdin.close()
        assert found.wait(WAIT) == 0


def test_cutting_a_session_closes_its_input_there(line: Line, vm: Vm) -> None:
    there = vm.here("/tmp/over")  # noqa: S108 - on the VM
    with session(line, "sh", "-c", "echo begun; cat; echo >/tmp/over") as found:
        assert found.stdout.readline() == b"begun\n"
        found.cut(signal.SIGTERM)
        assert found.wait(WAIT) == LOST
        until(there.exists, "its input has ended")
    there.unlink()


def test_a_command_that_was_killed_is_no_lost_connection(line: Line) -> None:
    connection = Ssh(line)
    with pytest.raises(CommandFailed) as caught:
        connection.run(["sh", "-c", "echo short of memory >&2; kill -9 $$"], timeout=WAIT)
    assert (caught.value.returncode, caught.value.stderr) == (LOST, "short of memory\n")
    assert connection.run(["echo", "here"], timeout=WAIT).stdout == "here\n"


def test_sessions_end_with_the_connection_and_no_more_begin(line: Line) -> None:
    with session(line, "cat") as found:
        line._master.kill()
        assert found.wait(WAIT) == LOST
    for _ in range(2):
        with pytest.raises(OnevmError, match=r"the connection to ssh://deploy@\S+ is lost"):
            Ssh(line).run(["true"], timeout=WAIT)
    with pytest.raises(OnevmError, match="is lost"):
        line.forward("/run/elsewhere.sock")


def test_variables_are_passed_on_as_the_users_configuration_says(
    vm: Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "ssh_config"
    config.write_text(f"SendEnv SHOP_*\n{vm.ssh_config.read_text()}")
    monkeypatch.setenv("ONEVM_SSH_CONFIG", str(config))
    monkeypatch.setenv("SHOP_GREETING", "two words\nand é")
    monkeypatch.setenv("OTHER_GREETING", "not for there")
    # More than a master takes in one packet, and nothing that anybody asked for.
    for number in range(4):
        monkeypatch.setenv(f"LARGE_{number}", "x" * 100_000)
    with vm.sshd_with("AcceptEnv SHOP_* OTHER_*"), ssh_line.line_to("prod", vm.destination) as line:
        said = Ssh(line).run(["sh", "-c", 'printf "%s|%s" "$SHOP_GREETING" "${OTHER_GREETING-}"'], timeout=WAIT)
    assert said.stdout == "two words\nand é|"


def test_a_forwarding_that_cannot_be_made_says_why(line: Line) -> None:
    # Its place is taken.
    (line._folder / "f1").mkdir()
    with pytest.raises(OnevmError, match=r"host prod: 127\.0\.0\.1:1 cannot be forwarded") as caught:
        line.forward("127.0.0.1", 1)
    assert "forwarding failed" in caught.value.detail.lower()
    assert "ssh -L" in caught.value.next_step


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_an_address_there_is_reached_through_a_socket_here(line: Line, vm: Vm, host: str) -> None:
    with socket.socket(socket.AF_UNIX) as here:
        here.settimeout(WAIT)
        here.connect(line.forward(host or vm.address, 22))
        assert here.recv(4) == b"SSH-"


def test_packets_are_read_whole_however_they_come() -> None:
    packets = [(4, b""), (7, b"body"), (9, bytes(300))]
    data = b"".join(struct.pack(">II", len(body) + 4, kind) + body for kind, body in packets)
    for size in range(1, 40):
        answers = mux.Answers()
        found: list[tuple[int, bytes]] = []
        for start in range(0, len(data), size):
            found += answers.add(data[start : start + size])
        assert found == packets
