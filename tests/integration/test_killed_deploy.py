"""A deploy that is killed at any moment of the switch: the host keeps serving, and the next deploy converges."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import SERVE, Container, Running, Shop, docker, until

pytestmark = pytest.mark.engine

Reached = Callable[[Shop, Running, Container], bool]


def up_is_called(shop: Shop, run: Running, before: Container) -> bool:
    del shop, before
    return any("up" in call for call in run.calls)


def the_new_one_is_created(shop: Shop, run: Running, before: Container) -> bool:
    del run
    return any(c.service == "b" and c.id != before.id for c in shop.containers())


def the_old_one_is_gone(shop: Shop, run: Running, before: Container) -> bool:
    del run
    return not any(c.id == before.id for c in shop.containers())


def the_new_one_runs(shop: Shop, run: Running, before: Container) -> bool:
    del run
    return any(c.service == "b" and c.id != before.id and c.state == "starting" for c in shop.containers())


MOMENTS = [up_is_called, the_new_one_is_created, the_old_one_is_gone, the_new_one_runs]


@pytest.fixture(scope="module")
def standing(make_shared_shop: MakeShop) -> Shop:
    return make_shared_shop("abe")


@pytest.fixture
def deployed(standing: Shop) -> Shop:
    """Give it deployed, whatever an earlier test left."""
    standing.doit("deploy").ok()
    return standing


def everything(shop: Shop) -> None:
    """Kill all processes of a shop's runs, as a power cut would."""
    for number in shop.processes():
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def killed_at(shop: Shop, moment: Reached, *, all_of_it: bool) -> dict[str, Container]:
    """Deploy a new version of b and kill that run at a moment; return what had run before."""
    before = shop.running()
    shop.write("b/version", f"b after {shop.sha}\n")
    shop.commit("Change b")
    run = shop.start("deploy")
    until(lambda: moment(shop, run, before["b"]) or run.process.poll() is not None, moment.__name__)
    if all_of_it:
        everything(shop)
    else:
        run.signal(signal.SIGKILL)
    run.wait()
    return before


@contextmanager
def what_happens_to(container: str) -> Iterator[Callable[[], list[str]]]:
    """Listen to the engine's events of a container.

    Listened to as they come: the engine keeps only the last 256 of all containers, which tests side by side soon fill.
    """
    command = ["docker", "events", f"--filter=container={container}", "--format={{.Action}}"]
    with NamedTemporaryFile() as said, subprocess.Popen([*command, "--since=1m"], stdout=said) as listener:

        def happened() -> list[str]:
            return Path(said.name).read_text().splitlines()

        try:
            until(happened, "the engine tells what it remembers")
            yield happened
        finally:
            listener.terminate()


def check_converged(shop: Shop, before: dict[str, Container]) -> None:
    """Check that the checkout runs, once and healthy, that records parse, and that nothing else was touched."""
    after = shop.running()
    assert {name: c.state for name, c in after.items()} == dict.fromkeys("abe", "healthy")
    assert {name: after[name] for name in "ae"} == {name: before[name] for name in "ae"}
    assert shop.version("b") == (shop.repo / "b" / "version").read_text()
    assert shop.current["sha"] == shop.sha
    assert shop.current["outcome"] == "good"
    assert {name: s["image"] for name, s in shop.current["services"].items()} == {n: c.image for n, c in after.items()}
    assert all(release["schema"] == 1 for release in shop.releases())
    assert [event["release"] for event in shop.audit()][-1] == shop.current["id"]
    assert shop.doit("plan", "detailed=1").ok().out


@pytest.mark.parametrize("moment", [up_is_called, the_new_one_runs])
def test_after_a_killed_deploy_the_next_one_converges(deployed: Shop, moment: Reached) -> None:
    before = killed_at(deployed, moment, all_of_it=False)
    # Without waiting for what the killed run left running: the lock sees to that.
    deployed.doit("deploy").ok()
    check_converged(deployed, before)


@pytest.mark.parametrize("moment", MOMENTS)
def test_after_a_power_cut_the_next_deploy_converges(deployed: Shop, moment: Reached) -> None:
    before = killed_at(deployed, moment, all_of_it=True)
    until(lambda: not deployed.processes(), "everything is dead")
    deployed.doit("deploy").ok()
    check_converged(deployed, before)


def test_what_a_killed_deploy_has_started_may_answer_before_it_is_replaced_again(deployed: Shop) -> None:
    deployed.dockerfile("b", command=["sh", "-c", f"sleep 6; {SERVE[-1]}"])
    killed_at(deployed, the_new_one_runs, all_of_it=False)
    (begun,) = [c.id for c in deployed.containers() if c.service == "b"]
    with what_happens_to(begun) as happened:
        assert docker("inspect", "--format={{.State.Health.Status}}", begun).strip() == "starting"
        deployed.dockerfile("b")
        deployed.commit("Start at once again")
        deployed.doit("deploy").ok()
        assert deployed.running()["b"].id != begun
        until(lambda: "destroy" in happened(), "the engine tells that it is gone")
        told = [action for action in happened() if action in {"health_status: healthy", "die"}]
    assert told == ["health_status: healthy", "die"]


def test_a_step_that_was_begun_is_finished_although_its_run_was_killed(deployed: Shop) -> None:
    killed_at(deployed, up_is_called, all_of_it=False)
    until(lambda: not deployed.processes(), "what the killed run left has ended")
    # The host serves: nothing is down or half replaced, though nobody was there any more.
    until(lambda: deployed.running()["b"].state == "healthy", "b is healthy")
    assert {c.state for c in deployed.running().values()} == {"healthy"}
    assert deployed.doit("plan", "detailed=1").code in {0, 10}


def test_a_killed_deploy_leaves_current_at_the_release_before(deployed: Shop) -> None:
    release = deployed.current
    killed_at(deployed, the_new_one_runs, all_of_it=True)
    assert deployed.current == release
    status = deployed.doit("status", "format=json").ok()
    assert status.json["stacks"][0]["release"] == release["id"]


def test_left_over_containers_of_a_killed_compose_are_planned_for_and_swept(deployed: Shop) -> None:
    before = deployed.running()
    deployed.write("b/version", f"b after {deployed.sha}\n")
    deployed.commit("Change b")
    # What Compose leaves when it is killed between creating and renaming, on every version of it.
    leftover = f"{before['b'].id[:12]}_{before['b'].name}"
    docker("rename", before["b"].name, leftover)
    docker("stop", "--time", "1", leftover)
    (stack,) = deployed.doit("plan", "format=json").ok().json["stacks"]
    assert ("sweep", leftover) in {(op["verb"], op["service"]) for op in stack["operations"]}
    deployed.doit("deploy").ok()
    check_converged(deployed, before)


def test_a_torn_line_in_the_audit_log_does_not_swallow_the_next(deployed: Shop) -> None:
    log = deployed.home / "audit.jsonl"
    lines = len(log.read_text().splitlines())
    with log.open("a") as file:
        file.write('{"event": "depl')
    deployed.write("b/version", f"b after {deployed.sha}\n")
    deployed.commit("Change b")
    deployed.doit("deploy").ok()
    torn, last = log.read_text().splitlines()[lines:]
    assert torn == '{"event": "depl'
    assert json.loads(last)["release"] == deployed.current["id"]
    log.write_text("".join(f"{line}\n" for line in log.read_text().splitlines() if line != torn))


def killed_and_left_unhealthy(shop: Shop, command: str) -> dict[str, Container]:
    with shop.compose() as compose:
        # The second time it is asked it is unhealthy; the deploy is stopped before it can say so.
        compose["services"]["b"]["healthcheck"] |= {"retries": 1, "start_period": "0s"}
    shop.commit("Lose patience")
    shop.doit("deploy").ok()
    shop.dockerfile("b", command=["sh", "-c", command])
    before = killed_at(shop, the_new_one_runs, all_of_it=True)
    until(
        lambda: any(c.service == "b" and c.id != before["b"].id and c.state == "unhealthy" for c in shop.containers()),
        "the new one is unhealthy",
    )
    return before


def test_what_a_killed_deploy_has_left_unhealthy_is_no_good_release(deployed: Shop) -> None:
    before = killed_and_left_unhealthy(deployed, "trap 'exit 0' TERM; sleep 600 & wait")
    good = deployed.current["id"]
    ran = deployed.doit("deploy")
    assert ran.code == 1, ran
    assert f"{deployed.name}.b is unhealthy" in ran.err
    assert deployed.current["id"] == good
    assert deployed.running()["b"].image == before["b"].image
    assert deployed.running()["b"].state == "healthy"
    deployed.dockerfile("b")
    deployed.commit("Serve again")
    deployed.doit("deploy").ok()


def test_what_a_killed_deploy_has_left_unhealthy_may_become_healthy(deployed: Shop) -> None:
    before = killed_and_left_unhealthy(deployed, f"while [ ! -e /tmp/go ]; do sleep 0.1; done; {SERVE[-1]}")
    (begun,) = [c.id for c in deployed.containers() if c.service == "b"]
    docker("exec", begun, "touch", "/tmp/go")  # noqa: S108 - in the container
    deployed.doit("deploy").ok()
    assert deployed.running()["b"].id == begun
    check_converged(deployed, before)
