"""A VM whose sshd allows a connection fewer sessions than others do."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.adapters import ssh
from tasks.adapters.mux import LOST
from tasks.core.errors import OnevmError
from tests.e2e.remote import RemoteShop
from tests.e2e.vm import Vm
from tests.integration.several import several
from tests.integration.shop import until

pytestmark = pytest.mark.vm

COMMANDS = 6


@pytest.fixture
def allow(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Give a function that sets how many sessions a connection may have; afterwards as before."""
    monkeypatch.setenv("ONEVM_SSH_CONFIG", str(vm.ssh_config))
    with ExitStack() as closing:
        yield lambda sessions: closing.enter_context(vm.sshd_with(f"MaxSessions {sessions}"))


def test_commands_wait_until_they_are_granted_a_session_and_run_once(vm: Vm, allow: Callable[[int], None]) -> None:
    allow(1)
    with ssh.connected("prod", vm.destination) as connection, ThreadPoolExecutor(COMMANDS) as pool:

        def one(number: int) -> str:
            words = ["sh", "-c", f"echo {number} >>/tmp/began; sleep 0.2; echo {number}"]
            return connection.run(words, timeout=60).stdout

        assert list(pool.map(one, range(COMMANDS))) == [f"{number}\n" for number in range(COMMANDS)]
    began = vm.here("/tmp/began")  # noqa: S108 - on the VM
    assert sorted(began.read_text().split()) == [str(number) for number in range(COMMANDS)]
    began.unlink()


def test_a_command_waits_longer_than_it_may_take_for_one_that_takes_its_time(
    vm: Vm, allow: Callable[[int], None]
) -> None:
    allow(1)
    with ssh.connected("prod", vm.destination) as connection, ThreadPoolExecutor(COMMANDS) as pool:
        long = pool.submit(connection.run, ["sh", "-c", "echo >/tmp/long; sleep 4"], timeout=60)
        until(vm.here("/tmp/long").exists, "the long one runs")  # noqa: S108 - on the VM
        for short in [pool.submit(connection.run, ["true"], timeout=2) for _ in range(COMMANDS - 1)]:
            assert short.result().returncode == 0
        assert long.result().returncode == 0
    vm.here("/tmp/long").unlink()  # noqa: S108 - on the VM


def test_a_session_that_is_never_granted_is_an_explained_failure(vm: Vm, allow: Callable[[int], None]) -> None:
    allow(0)
    with ssh.connected("prod", vm.destination) as connection:
        with pytest.raises(OnevmError, match="granted no session within 2 s") as caught:
            connection.run(["true"], timeout=2)
        assert "MaxSessions" in caught.value.next_step
        assert "exec:" not in caught.value.detail


def test_a_command_that_says_what_our_ssh_would_is_not_run_again(vm: Vm, allow: Callable[[int], None]) -> None:
    allow(10)
    with ssh.connected("prod", vm.destination) as connection:
        done = connection.run(["sh", "-c", "echo no session in >&2; exit 255"], timeout=20, check=False)
    assert done.returncode == LOST
    assert done.stderr == "no session in\n"


@pytest.mark.parametrize("sessions", [10, 2])
def test_stacks_side_by_side_share_what_sessions_there_are(
    vm: Vm, allow: Callable[[int], None], tmp_path: Path, sessions: int
) -> None:
    allow(sessions)
    first = RemoteShop(tmp_path, services="a", vm=vm)
    others = [RemoteShop(tmp_path, services=s, team=first.name, vm=vm) for s in ("b", "e", "ae", "e")]
    with several(first, others) as stacks:
        before = vm.handshakes()
        ran = stacks.doit("deploy").ok()
        assert vm.handshakes() - before == 1
        assert [len(targets) for targets in ran.bakes] == [3]
        assert {c.state for c in stacks.running().values()} == {"healthy"}
        again = stacks.doit("deploy").ok()
        assert again.out.count("nothing to do") == 5
