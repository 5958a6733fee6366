"""What hangs on more than its own definition: on networks and volumes, on the container that a service lives in."""

import json
from typing import Any

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Shop, docker
from tests.integration.test_host_drift import operations, replaced

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def shop(make_shared_shop: MakeShop) -> Shop:
    """Give a deployed shop: e is in a network, f lives in e's container, g has a volume and nothing to do with them."""
    shop = make_shared_shop("e")
    with shop.compose() as compose:
        known = compose["services"]["e"]
        compose["services"] = {
            "e": {**known, "networks": ["back"], "volumes": ["/anonymous"], "user": "0"},
            "f": {**known, "network_mode": "service:e"},
            "g": {**known, "volumes": ["store:/store"]},
        }
        compose["networks"] = {"back": {}}
        compose["volumes"] = {"store": {}}
    shop.commit("Have a network and a volume")
    shop.doit("deploy").ok()
    shop.inside("e", "touch", "/anonymous/kept")
    return shop


def define(shop: Shop, kind: str, name: str, definition: dict[str, Any]) -> None:
    with shop.compose() as compose:
        compose[kind] = {name: definition}
    shop.commit(f"Define {kind} otherwise")


def network(shop: Shop) -> Any:
    (found,) = json.loads(docker("network", "inspect", f"{shop.name}_back"))
    return found


def test_a_changed_network_is_made_anew_with_all_that_is_in_it(shop: Shop) -> None:
    before = shop.running()
    define(shop, "networks", "back", {"driver_opts": {"com.docker.network.driver.mtu": "1400"}})
    found = operations(shop)
    assert set(found) == {("renew", f"{shop.name}_back"), ("recreate", "e"), ("recreate", "f")}, found
    assert "com.docker.network.driver.mtu: none -> 1400" in found["renew", f"{shop.name}_back"]
    shop.doit("deploy").ok()
    assert replaced(shop, before) == {"e", "f"}
    assert network(shop)["Options"] == {"com.docker.network.driver.mtu": "1400"}
    assert shop.inside("e", "ls", "/anonymous") == "kept\n"
    assert operations(shop) == {}


def test_who_lives_in_a_replaced_container_is_planned_for_and_replaced_with_it(shop: Shop) -> None:
    before = shop.running()
    with shop.compose() as compose:
        compose["services"]["e"]["environment"] = {"GREETING": "hello"}
    shop.commit("Greet")
    assert operations(shop) == {
        ("recreate", "e"): "its configuration changed",
        ("recreate", "f"): "it lives in e's container",
    }
    ran = shop.doit("deploy").ok()
    assert ran.ups == [{"e", "f"}], ran.ups
    assert replaced(shop, before) == {"e", "f"}


def test_a_network_that_cannot_be_had_is_had_as_before(shop: Shop) -> None:
    before = network(shop)
    (taken,) = json.loads(docker("network", "inspect", "bridge"))
    define(shop, "networks", "back", {"ipam": {"config": [{"subnet": taken["IPAM"]["Config"][0]["Subnet"]}]}})
    assert shop.doit("deploy").code == 1
    after = network(shop)
    assert (after["Options"], after["Labels"]) == (before["Options"], before["Labels"])
    assert {c.state for c in shop.running().values()} == {"healthy"}
    shop.git("revert", "--no-edit", "HEAD")


def test_a_network_that_somebody_else_is_in_is_left_alone(shop: Shop) -> None:
    before = shop.running()
    guest = f"{shop.name}-guest"
    image = before["e"].image
    docker("run", "--detach", "--name", guest, "--network", f"{shop.name}_back", image, "sleep", "600")
    try:
        define(shop, "networks", "back", {"internal": True})
        ran = shop.doit("deploy")
    finally:
        docker("rm", "--force", guest)
    assert (ran.code, guest in ran.err) == (1, True), ran
    assert shop.running() == before
    # One service alone cannot have it either.
    assert shop.doit("deploy:e").code == 1
    assert shop.running() == before
    shop.git("revert", "--no-edit", "HEAD")


def test_a_volume_is_never_what_it_is_not(shop: Shop) -> None:
    before = shop.running()
    define(shop, "volumes", "store", {"driver_opts": {"type": "tmpfs", "device": "tmpfs"}})
    ran = shop.doit("deploy")
    assert (ran.code, f"volume {shop.name}_store: driver_opts device: none -> tmpfs" in ran.err) == (1, True), ran
    assert shop.running() == before
    define(shop, "volumes", "store", {"name": f"{shop.name}_other"})
    assert operations(shop) == {("recreate", "g"): f"its volume store is now {shop.name}_other"}
