"""What Compose files define of networks and volumes, against what the engine has."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core import networks, volumes
from tasks.core.compose import ComposeService, parse
from tasks.core.model import Stack
from tasks.core.networks import Renewal, definition_hash, difference, labels, network, own, renewals
from tasks.core.observed import CONFIG_LABEL, Container, Network, Observed
from tasks.core.volumes import volume

STACK = Stack(name="shop", path=Path("/shop"), compose=("compose.yaml",), host="local")
PLAIN: dict[str, Any] = {"name": "shop_back", "ipam": {}}
# As the engine says it of a bridge that was made without any option.
MADE: dict[str, Any] = {
    "Name": "shop_back",
    "Driver": "bridge",
    "EnableIPv6": False,
    "Internal": False,
    "Attachable": False,
    "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "172.20.0.0/16", "Gateway": "172.20.0.1"}]},
    "Options": {"com.docker.network.driver.mtu": "1450"},
    "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.network": "back"},
}


def made(definition: dict[str, Any] | None, **more: Any) -> Network:
    """Return a network that Onevm had made from a definition, or, from None, one that somebody else had made."""
    own_label = {} if definition is None else {CONFIG_LABEL: definition_hash(definition)}
    return network({**MADE, **more, "Labels": {**MADE["Labels"], **more.get("Labels", {}), **own_label}})


DIFFERENCES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"driver": "bridge"}, {}, ""),
    ({"driver": "macvlan"}, {}, "driver bridge -> macvlan"),
    ({"internal": True}, {}, "internal false -> true"),
    ({"internal": True}, {"Internal": True}, ""),
    ({"attachable": True, "enable_ipv6": True}, {}, "attachable false -> true, enable_ipv6 false -> true"),
    ({"driver_opts": {"com.docker.network.driver.mtu": 1450}}, {}, ""),
    ({"driver_opts": {"x": "1"}}, {}, "driver_opts x: none -> 1"),
    ({"labels": {"team": "a"}}, {"Labels": {"team": "b"}}, "labels team: b -> a"),
    ({"ipam": {"config": [{"subnet": "172.20.0.0/16", "gateway": "172.20.0.1"}]}}, {}, ""),
    ({"ipam": {"config": [{"subnet": "172.20.7.0/16"}]}}, {}, ""),
    ({"ipam": {"config": [{"subnet": "10.1.0.0/24"}]}}, {}, "subnet -> 10.1.0.0/24"),
    ({"ipam": {"config": [{"gateway": "172.20.0.9"}]}}, {}, "gateway -> 172.20.0.9"),
]


@pytest.mark.parametrize(("definition", "there", "text"), DIFFERENCES)
def test_a_network_is_held_against_what_its_definition_says(
    definition: dict[str, Any], there: dict[str, Any], text: str
) -> None:
    assert difference(PLAIN | definition, made(None, **there)) == text


def test_what_was_taken_out_of_a_definition_is_told_of_networks_that_onevm_had_made() -> None:
    before = {"internal": True, "driver_opts": {"x": "1"}}
    there = {"Internal": True, "Options": {"x": "1"}}
    assert difference(PLAIN | before, made(PLAIN | before, **there)) == ""
    assert difference(PLAIN, made(PLAIN | before, **there)) == "internal true -> false, driver_opts x: 1 -> none"
    assert difference(PLAIN, made(PLAIN | {"ipam": {"driver": "other"}}, Options={})) == "its definition changed"
    # The engine may have given these to it by itself.
    assert difference(PLAIN, made(None, **there)) == ""


def test_neither_the_name_nor_our_own_label_is_in_the_hash_of_a_definition() -> None:
    labelled = PLAIN | {"labels": {CONFIG_LABEL: "0123"}, "driver_opts": {}, "internal": False}
    assert definition_hash(labelled) == definition_hash({"name": "another"})
    assert definition_hash(labelled) != definition_hash(PLAIN | {"labels": {"team": "a"}})


def services(**of: dict[str, Any]) -> dict[str, ComposeService]:
    return parse(STACK, {"services": of}, frozenset(of)).services


PROJECT: dict[str, Any] = {
    "networks": {
        "back": PLAIN,
        "lan": {"name": "lan", "external": True},
        "unused": {"name": "shop_unused"},
    },
    "volumes": {"data": {"name": "shop_data"}, "nfs": {"name": "nfs", "external": True, "driver": "x"}},
}
WEB = {
    "networks": {"back": None, "lan": None},
    "volumes": [
        {"type": "volume", "source": "data", "target": "/data"},
        {"type": "volume", "target": "/anonymous"},
        {"type": "bind", "source": "/srv", "target": "/srv"},
    ],
}


def standing(**more: Any) -> Container:
    plain: dict[str, Any] = {"id": "1", "name": "w", "service": "web", "image": "i", "config_hash": "h", "health": ""}
    return Container(**plain, state="running", exit_code=0, restarts=0, started="", **more)


def test_only_networks_of_the_stack_itself_that_somebody_is_in_are_its_own() -> None:
    assert own(PROJECT, services(web=WEB, job={"network_mode": "host"}).values()) == {"back": PLAIN}
    (web,) = services(web=WEB).values()
    assert networks.names(web, PROJECT) == {"back": "shop_back", "lan": "lan"}
    assert volumes.names(web, PROJECT) == {"data": "shop_data"}


def test_who_is_in_a_network_goes_by_its_name_on_the_engine() -> None:
    all_of_them = services(web=WEB, job={"network_mode": "host"}, api={"networks": {"default": None}})
    assert networks.inside({"back": PLAIN}, all_of_them.values(), ["shop_back"]) == {"web"}


@pytest.mark.parametrize(
    ("there", "containers", "found"),
    [
        ((), (), {}),
        ((made(None),), (standing(networks=frozenset({"shop_back"})),), {}),
        ((made(None, Internal=True),), (), {}),
        (
            (made(PLAIN | {"internal": True}, Internal=True),),
            (),
            {"back": Renewal("shop_back", "internal true -> false")},
        ),
        ((made(None, Labels={"com.docker.compose.project": "other"}, Driver="macvlan"),), (), {}),
        ((), (standing(networks=frozenset({"shop_back"})),), {"back": Renewal("shop_back", "the host has lost it")}),
        ((), (standing(networks=frozenset({"shop_back"}), one_off=True),), {}),
        ((), (standing(networks=frozenset({"shop_default"})),), {}),
    ],
)
def test_what_must_be_made_anew(
    there: tuple[Network, ...], containers: tuple[Container, ...], found: dict[str, Renewal]
) -> None:
    spec = PLAIN | {"driver_opts": {"com.docker.network.driver.mtu": "1450"}}
    assert renewals("shop", {"back": spec}, Observed(networks=there, containers=containers)) == found


@pytest.mark.parametrize(
    ("definition", "there", "labelled"),
    [
        ({}, (), True),
        ({}, (made(PLAIN),), True),
        ({}, (made(PLAIN | {"internal": True}),), True),
        ({}, (made(None),), False),
        ({"internal": True}, (made(None),), True),
    ],
)
def test_a_network_that_stays_is_not_given_a_label_that_it_does_not_have(
    definition: dict[str, Any], there: tuple[Network, ...], labelled: bool
) -> None:
    assert bool(labels({"back": PLAIN | definition}, Observed(networks=there))) == labelled


VOLUMES: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, ""),
    ({"driver": "local"}, {"Driver": "local", "Options": None}, ""),
    ({"driver": "nfs"}, {}, "driver local -> nfs"),
    ({"driver_opts": {"type": "tmpfs"}}, {}, "driver_opts type: none -> tmpfs"),
    ({}, {"Options": {"type": "tmpfs"}}, "driver_opts type: tmpfs -> none"),
    ({"driver_opts": {"size": 5}}, {"Options": {"size": "5"}}, ""),
    ({"external": True, "driver": "nfs"}, {}, ""),
]


@pytest.mark.parametrize(("definition", "there", "text"), VOLUMES)
def test_a_volume_is_held_against_its_definition(definition: dict[str, Any], there: dict[str, Any], text: str) -> None:
    observed = Observed(volumes=(volume({"Name": "shop_data", "Driver": "local", **there}),))
    project = {"volumes": {"data": {"name": "shop_data", **definition}, "new": {"name": "shop_new", "driver": "x"}}}
    assert volumes.differences(project, observed) == ({"shop_data": text} if text else {})
