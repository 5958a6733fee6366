"""build=on-host: deploying while the registry is away."""

from collections.abc import Iterator

import pytest

from tests.e2e.remote import RegistryDoor, RemoteShop, Step, opened, registry_door, said
from tests.e2e.vm import Vm

pytestmark = pytest.mark.vm


@pytest.fixture(scope="module")
def door(vm: Vm) -> Iterator[RegistryDoor]:
    with registry_door(vm) as found:
        yield found


@pytest.fixture(scope="module")
def shop(vm: Vm, door: RegistryDoor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteShop]:
    """Give a stack that was deployed, on a VM that has the base image, whose registry is away now."""
    with opened(vm, tmp_path_factory.mktemp("on-host"), "abe", door.host) as found:
        found.doit("deploy").ok()
        vm.docker("pull", "--quiet", BASE)
        door.shut()
        yield found
        door.open()


BASE = "127.0.0.1:5055/base/busybox:1"


def test_one_change_is_built_on_the_host_and_replaces_one_container(shop: RemoteShop) -> None:
    shop.change("b", "2")
    assert shop.doit("deploy").code == 1
    plan = shop.doit("plan", "build=on-host", "format=json").ok().json["stacks"][0]["operations"]
    assert {(op["verb"], op["service"]) for op in plan} == {("build", "b"), ("recreate", "b")}
    step = Step.of(shop, "deploy", "build=on-host")
    step.ran.ok()
    assert step.ran.bakes == [["b"]]
    assert step.recreated == {"b"}
    assert step.handshakes == 1
    assert shop.version("b") == "2\n"
    current = shop.current
    assert current["built"] == "on-host"
    assert current["services"]["b"]["revision"] == shop.sha
    assert "@" in current["services"]["a"]["image"]
    assert "built on the host" in said(shop.doit("status").ok())
    again = Step.of(shop, "deploy", "build=on-host")
    again.ran.ok()
    assert (again.ran.bakes, again.recreated) == ([], set())


def test_it_can_be_gone_back_from_and_to(shop: RemoteShop) -> None:
    back = Step.of(shop, "rollback")
    back.ran.ok()
    assert back.recreated == {"b"}
    forth = Step.of(shop, "deploy", "build=on-host")
    forth.ran.ok()
    assert (forth.ran.bakes, forth.recreated) == ([], {"b"})
    assert shop.version("b") == "2\n"


def test_the_next_normal_deploy_replaces_nothing_that_did_not_change(shop: RemoteShop, door: RegistryDoor) -> None:
    door.open()
    step = Step.of(shop, "deploy")
    step.ran.ok()
    assert step.ran.bakes == [["b"]]
    assert step.recreated == set()
    assert step.after.tags["b"].keys() >= {shop.sha, "latest"}
    shop.change("a", "3")
    other = Step.of(shop, "deploy")
    other.ran.ok()
    assert (other.ran.bakes, other.recreated) == ([["a"]], {"a"})
    assert shop.current["built"] == ""
    shop.change("b", "4")
    last = Step.of(shop, "deploy")
    last.ran.ok()
    assert last.recreated == {"b"}
    assert all("@" in service["image"] for service in shop.current["services"].values())


@pytest.mark.parametrize("words", ["deploy build=here", "deploy build=on-host sha=abcdef1", "push build=on-host"])
def test_what_cannot_be_meant_is_refused(shop: RemoteShop, words: str) -> None:
    ran = shop.doit(*words.split())
    assert ran.code == 3, ran
    assert ran.bakes == []
