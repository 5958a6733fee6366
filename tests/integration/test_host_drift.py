"""What differs on the host, for whatever reason, is planned and put right; what does not differ is not touched."""

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Container, Ran, Shop, docker, until

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def standing(make_shared_shop: MakeShop) -> Shop:
    """Give a deployed shop in which b mounts a file of the checkout and a has a value from the host's `.env`."""
    shop = make_shared_shop("abe")
    shop.write("conf/motd", "welcome\n")
    with shop.compose() as compose:
        compose["services"]["b"]["volumes"] = ["./conf/motd:/www/motd:ro"]
        compose["services"]["a"]["environment"] = {"GREETING": "${GREETING:-none}"}
    shop.commit("Greet")
    shop.configure(stack='files = ["conf"]')
    return shop


@pytest.fixture
def deployed(standing: Shop) -> Shop:
    """Give it deployed, whatever an earlier test left."""
    standing.doit("deploy").ok()
    assert {c.state for c in standing.running().values()} == {"healthy"}
    return standing


def operations(shop: Shop) -> dict[tuple[str, str], str]:
    """Return the causes of a plan's operations on containers by verb and service or container."""
    (stack,) = shop.doit("plan", "format=json").ok().json["stacks"]
    found = {(op["verb"], op["service"]): op["cause"] for op in stack["operations"]}
    return {key: cause for key, cause in found.items() if key[0] not in {"build", "push", "tag", "pull"}}


def replaced(shop: Shop, before: dict[str, Container]) -> set[str]:
    """Return the services whose container is another one now; the rest must be as it was, to the start time."""
    after = shop.running()
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert {c.state for c in after.values()} == {"healthy"}
    return changed


def test_a_changed_travelling_file_replaces_the_service_that_mounts_it(deployed: Shop) -> None:
    before = deployed.running()
    deployed.write("conf/motd", "come in\n")
    deployed.commit("Greet otherwise")
    assert set(operations(deployed)) == {("recreate", "b")}
    ran = deployed.doit("deploy").ok()
    assert ran.bakes == []
    assert replaced(deployed, before) == {"b"}
    assert deployed.inside("b", "cat", "/www/motd") == "come in\n"


def test_a_changed_value_in_the_hosts_env_file_replaces_the_service_that_uses_it(deployed: Shop) -> None:
    before = deployed.running()
    env = deployed.home / "project" / ".env"
    env.write_text("GREETING=hello\n")
    assert set(operations(deployed)) == {("recreate", "a")}
    ran = deployed.doit("deploy").ok()
    assert ran.bakes == []
    assert replaced(deployed, before) == {"a"}
    assert deployed.inside("a", "sh", "-c", "echo $GREETING") == "hello\n"
    assert set(operations(deployed)) == set()


def test_a_service_removed_from_the_compose_file_loses_its_container_after_a_notice(deployed: Shop) -> None:
    before = deployed.running()
    with deployed.compose() as compose:
        del compose["services"]["e"]
    deployed.commit("Close e")
    ((planned, cause),) = operations(deployed).items()
    assert planned == ("remove", before["e"].name)
    assert "no longer in the Compose files" in cause
    ran = deployed.doit("deploy").ok()
    assert before["e"].name in ran.out or "removing" in ran.out
    assert deployed.running() == {name: before[name] for name in "ab"}
    assert set(deployed.current["services"]) == {"a", "b"}
    # And back.
    deployed.git("revert", "--no-edit", "HEAD")
    assert set(operations(deployed)) == {("create", "e")}
    deployed.doit("deploy").ok()
    assert replaced(deployed, before) == {"e"}


def test_the_line_that_status_prints_recreates_nothing(deployed: Shop) -> None:
    before = deployed.running()
    (stack,) = deployed.doit("status", "format=json").ok().json["stacks"]
    assert stack["compose"] in deployed.doit("status").ok().out
    line = shlex.split(stack["compose"])
    assert line[:2] == ["docker", "compose"]
    assert line[-2:] == ["up", "-d"]
    # On the host there is no more than its own environment.
    program = Path(str(shutil.which("docker")))
    bare = {"PATH": f"{program.parent}:/usr/bin:/bin"}
    done = subprocess.run(line, env=bare, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert deployed.running() == before
    assert deployed.doit("plan", "detailed=1").code == 0


@pytest.mark.parametrize(
    ("command", "planned"),
    [
        (["stop", "--time", "1"], "start"),
        (["kill"], "start"),
        (["rm", "--force"], "create"),
    ],
    ids=["stopped", "killed", "removed"],
)
def test_a_container_that_was_taken_away_by_hand_comes_back(deployed: Shop, command: list[str], planned: str) -> None:
    before = deployed.running()
    docker(*command, before["b"].id)
    ((found, cause),) = operations(deployed).items()
    assert found == (planned, "b")
    assert ("exited" if planned == "start" else "no container") in cause
    assert deployed.doit("plan", "detailed=1").code == 10
    ran = deployed.doit("deploy").ok()
    assert ran.bakes == []
    assert replaced(deployed, before) == {"b"}
    assert deployed.version("b") == "b 1\n"


def test_a_container_that_somebody_replaced_by_hand_is_put_right(deployed: Shop) -> None:
    before = deployed.running()
    (stack,) = deployed.doit("status", "format=json").ok().json["stacks"]
    other = deployed.folder / "other.yaml"
    service = {"image": before["a"].image, "environment": {"BY": "hand"}}
    other.write_text(json.dumps({"services": {"b": service}}))
    line = shlex.split(stack["compose"])
    docker(*line[1:-2], "-f", str(other), "up", "-d", "--wait", "b")
    assert deployed.running()["b"].image == before["a"].image
    assert set(operations(deployed)) == {("recreate", "b")}
    deployed.doit("deploy").ok()
    assert replaced(deployed, before) == {"b"}
    assert deployed.running()["b"].image == before["b"].image


def test_a_status_tells_what_is_missing_and_what_drifts(deployed: Shop) -> None:
    docker("rm", "--force", deployed.running()["b"].id)
    docker("stop", "--time", "1", deployed.running()["e"].id)
    (stack,) = deployed.doit("status", "format=json").ok().json["stacks"]
    found = {row["service"]: row["condition"] for row in stack["services"]}
    assert found["b"] == "missing"
    assert found["e"].startswith("exited")
    assert found["a"] == "healthy"


def test_two_changes_at_once_are_both_put_right(deployed: Shop) -> None:
    before = deployed.running()
    docker("rm", "--force", before["e"].id)
    deployed.write("a/version", "a 9\n")
    deployed.commit()
    ran: Ran = deployed.doit("deploy").ok()
    assert ran.bakes == [["a"]]
    assert replaced(deployed, before) == {"a", "e"}
    until(lambda: deployed.version("a") == "a 9\n", "a serves its new version", 5)
