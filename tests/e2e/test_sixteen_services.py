"""Sixteen services that start at once, on a VM whose sshd is as it comes."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.remote import RemoteShop, Step, opened
from tests.e2e.vm import Vm

pytestmark = pytest.mark.vm

MANY = 16
# sshd_config(5): what holds where nothing is said.
DEFAULTS = {"maxsessions": "10", "maxstartups": "10:30:100"}


@pytest.fixture(scope="module")
def shop(vm: Vm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteShop]:
    """Give a stack of sixteen services that do not wait for each other: one is built here."""
    with opened(vm, tmp_path_factory.mktemp("sixteen"), "ae") as found:
        with found.compose() as compose:
            for number in range(2, MANY):
                compose["services"][f"e{number}"] = dict(compose["services"]["e"])
        found.commit("Grow")
        yield found


@dataclass(frozen=True)
class Watched:
    """A deploy, and what sshd wrote meanwhile."""

    step: Step
    log: str

    @staticmethod
    def of(shop: RemoteShop) -> "Watched":
        file = shop.vm.here("/var/log/sshd.log")
        before = file.read_text()
        step = Step.of(shop, "deploy")
        return Watched(step, file.read_text().removeprefix(before))

    def check(self) -> None:
        """Check that all sixteen were started, through one connection."""
        self.step.ran.ok()
        assert self.step.handshakes == 1
        assert self.log.count("Connection from ") == 1
        containers = self.step.after.containers
        assert self.step.recreated == set(containers)
        assert [container.state for container in containers.values()] == ["healthy"] * MANY


@pytest.fixture(scope="module")
def first(shop: RemoteShop) -> Watched:
    return Watched.of(shop)


def test_the_sshd_is_as_it_comes(vm: Vm) -> None:
    lines = vm.inside("/usr/sbin/sshd", "-T").stdout.splitlines()
    assert DEFAULTS.items() <= dict(line.lower().split(" ", 1) for line in lines).items()


def test_sixteen_services_start_at_once_through_one_handshake(first: Watched) -> None:
    first.check()


def test_sixteen_services_are_replaced_at_once_through_one_handshake(shop: RemoteShop, first: Watched) -> None:
    with shop.compose() as compose:
        for service in compose["services"].values():
            service["environment"] = {"EDITION": "2"}
    shop.commit("Renew all")
    second = Watched.of(shop)
    second.check()
    assert second.step.after.containers.keys() == first.step.after.containers.keys()
    # Each is replaced on its own, so that there is more to do at once than one connection may have sessions.
    assert second.log.count("Starting session") > MANY
