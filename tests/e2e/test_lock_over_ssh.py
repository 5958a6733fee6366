"""Two who deploy to one VM, and a first one that is killed or cut off: the second gets in without a hand."""

import getpass
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.remote import RemoteShop, opened, said
from tests.e2e.vm import Vm
from tests.integration.shop import Running, until

pytestmark = pytest.mark.vm

GO = "/dev/shm/go"  # noqa: S108 - in the container
PATIENT = {"test": ["CMD", "test", "-f", GO], "interval": "1s", "timeout": "5s", "retries": 100}
# What the design promises: whoever comes next gets in within this time.
IN_TIME = "lock_wait=30"


@pytest.fixture(scope="module")
def standing(vm: Vm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteShop]:
    with opened(vm, tmp_path_factory.mktemp("shop"), "abe") as shop:
        shop.doit("deploy").ok()
        yield shop


@pytest.fixture
def shop(standing: RemoteShop) -> Iterator[RemoteShop]:
    """Give a deployed stack."""
    yield standing
    standing.vm.heal()
    standing.configure()
    for name in ("begun", "go"):
        (standing.home / name).unlink(missing_ok=True)


@pytest.fixture
def other(shop: RemoteShop, tmp_path: Path) -> Callable[[], RemoteShop]:
    """Make the clone of somebody else who deploys the same commit."""
    return lambda: shop.elsewhere(tmp_path)


def waiting_for_health(shop: RemoteShop) -> Running:
    """Start a deploy that holds the lock until `let_go`, with nothing of it under way on the VM."""
    with shop.compose() as compose:
        compose["services"]["b"]["healthcheck"] = PATIENT
    shop.change()
    before = shop.running()["b"].id
    run = shop.start("deploy")
    until(lambda: _starting(shop, before) or run.process.poll() is not None, "b waits for its health")
    # Compose itself has ended: what it wrote into is gone.
    until(lambda: not steps(shop) or run.process.poll() is not None, "its step on the VM has ended")
    assert run.process.poll() is None, run.wait()
    return run


def _starting(shop: RemoteShop, before: str) -> bool:
    return any(c.service == "b" and c.state == "starting" and c.id != before for c in shop.containers())


def let_go(shop: RemoteShop) -> None:
    shop.engine("exec", f"{shop.name}-b-1", "touch", GO)


def in_a_step(shop: RemoteShop) -> Running:
    """Start a deploy that is in a step on the VM until the file `go` is there."""
    shop.configure(stack="hooks = { before_deploy = 'touch ../begun; until [ -e ../go ]; do sleep 0.1; done' }")
    with shop.compose() as compose:
        compose["services"]["b"]["healthcheck"] = {"test": ["CMD", "true"], "interval": "1s"}
    shop.change()
    run = shop.start("deploy")
    until(lambda: (shop.home / "begun").exists() or run.process.poll() is not None, "the hook has begun")
    assert run.process.poll() is None, run.wait()
    return run


def steps(shop: RemoteShop) -> list[str]:
    """Return the steps under way on the VM."""
    return [line for line in shop.processes().values() if "flock -s" in line]


def here(shop: RemoteShop, mark: str = "") -> list[int]:
    """Return this machine's processes of the stack's runs, not the VM's; `mark` is in the command."""
    space = Path("/proc/self/ns/pid").readlink()
    found = []
    for pid, line in shop.processes().items():
        with suppress(FileNotFoundError):
            if Path(f"/proc/{pid}/ns/pid").readlink() == space and mark in line:
                found.append(pid)
    return found


def kill_all(shop: RemoteShop, run: Running) -> None:
    """Take the power from the machine that deploys: nothing of it can say good-bye."""
    for pid in [run.process.pid, *here(shop)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    run.wait()


def kill_group(shop: RemoteShop, run: Running) -> None:
    del shop
    os.killpg(run.process.pid, signal.SIGKILL)
    run.wait()


def kill_ssh(shop: RemoteShop, run: Running) -> None:
    del run
    masters = here(shop, " -M ")
    assert masters
    for pid in masters:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def check_over(shop: RemoteShop) -> None:
    """Check that the checkout runs, and that nobody is left."""
    until(lambda: not shop.processes(), "nothing is left, here or on the VM")
    assert shop.current["sha"] == shop.sha
    assert shop.current["outcome"] == "good"
    images = {name: service["image"] for name, service in shop.current["services"].items()}
    assert {name: c.image for name, c in shop.running().items()} == images
    assert {c.state for c in shop.running().values()} == {"healthy"}


def test_a_second_one_waits_and_says_for_whom_since_when_and_which_commit(
    shop: RemoteShop, other: Callable[[], RemoteShop]
) -> None:
    first = waiting_for_health(shop)
    second = other().start("deploy")
    until(lambda: "waiting:" in second.out + second.err, "the second says that it waits")
    assert first.process.poll() is None
    before = len(shop.releases())
    let_go(shop)
    first.wait().ok()
    ended = second.wait().ok()
    (line,) = [line for line in (ended.out + ended.err).splitlines() if "waiting:" in line]
    assert getpass.getuser() in line
    assert re.search(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", line)
    assert shop.sha[:7] in line
    assert len(shop.releases()) == before + 1
    check_over(shop)


def test_with_lock_wait_0_a_second_one_fails_at_once_and_touches_nothing(
    shop: RemoteShop, other: Callable[[], RemoteShop]
) -> None:
    first = waiting_for_health(shop)
    containers = shop.containers()
    refused = other().doit("deploy", "lock_wait=0")
    assert refused.code == 1, refused
    assert "is locked" in said(refused)
    assert getpass.getuser() in said(refused)
    assert shop.sha[:7] in said(refused)
    assert first.process.poll() is None
    assert {c.id for c in shop.containers()} == {c.id for c in containers}
    let_go(shop)
    first.wait().ok()
    check_over(shop)


def test_status_and_plan_do_not_wait(shop: RemoteShop, other: Callable[[], RemoteShop]) -> None:
    first = waiting_for_health(shop)
    clone = other()
    clone.doit("status").ok()
    clone.doit("plan").ok()
    assert first.process.poll() is None
    let_go(shop)
    first.wait().ok()
    check_over(shop)


@pytest.mark.parametrize("kill", [kill_group, kill_all])
def test_after_the_holder_is_killed_the_next_one_gets_in(
    shop: RemoteShop, other: Callable[[], RemoteShop], kill: Callable[[RemoteShop, Running], None]
) -> None:
    kill(shop, waiting_for_health(shop))
    let_go(shop)
    other().doit("deploy", IN_TIME).ok()
    check_over(shop)


def test_a_run_whose_ssh_is_killed_says_so_and_the_next_one_gets_in(
    shop: RemoteShop, other: Callable[[], RemoteShop]
) -> None:
    first = waiting_for_health(shop)
    kill_ssh(shop, first)
    ended = first.wait()
    assert ended.code == 1, ended
    assert "the connection to" in said(ended)
    assert "is lost" in said(ended)
    assert "Traceback" not in said(ended)
    let_go(shop)
    other().doit("deploy", IN_TIME).ok()
    check_over(shop)


def test_a_run_that_is_cut_off_gives_up_by_itself_and_the_next_one_gets_in(
    shop: RemoteShop, other: Callable[[], RemoteShop]
) -> None:
    first = waiting_for_health(shop)
    shop.vm.cut()
    ended = first.wait()
    assert ended.code == 1, ended
    assert "the connection to" in said(ended)
    assert "is lost" in said(ended)
    assert "Traceback" not in said(ended)
    let_go(shop)
    shop.vm.heal()
    other().doit("deploy", IN_TIME).ok()
    check_over(shop)


@pytest.mark.parametrize("kill", [kill_group, kill_all, kill_ssh])
def test_a_step_that_was_left_on_the_vm_is_waited_for(
    shop: RemoteShop, other: Callable[[], RemoteShop], kill: Callable[[RemoteShop, Running], None]
) -> None:
    first = in_a_step(shop)
    kill(shop, first)
    first.wait()
    assert steps(shop)
    second = other().start("deploy")
    until(lambda: "still under way" in second.out + second.err, "the second says that a step is under way")
    assert second.process.poll() is None
    (shop.home / "go").touch()
    second.wait().ok()
    check_over(shop)


def test_a_step_of_a_run_that_was_cut_off_is_waited_for(shop: RemoteShop, other: Callable[[], RemoteShop]) -> None:
    first = in_a_step(shop)
    shop.vm.cut()
    ended = first.wait()
    assert ended.code == 1, ended
    assert "is lost" in said(ended)
    assert steps(shop)
    shop.vm.heal()
    refused = other().doit("deploy", "lock_wait=1")
    assert refused.code == 1, refused
    (shop.home / "go").touch()
    shop.doit("deploy", IN_TIME).ok()
    check_over(shop)


def test_a_run_that_lost_its_lock_records_nothing_and_says_so(
    shop: RemoteShop, other: Callable[[], RemoteShop]
) -> None:
    first = waiting_for_health(shop)
    release = shop.current
    # As after a connection that stood still for longer than the lease, and then went on.
    for pid, line in shop.processes().items():
        if "flock -n 9" in line and pid not in here(shop):
            os.kill(pid, signal.SIGKILL)
    let_go(shop)
    ended = first.wait()
    assert ended.code == 1, ended
    assert "the lock was given to others" in said(ended)
    assert shop.current == release
    assert shop.sha not in {release["sha"] for release in shop.releases()}
    other().doit("deploy", IN_TIME).ok()
    check_over(shop)
