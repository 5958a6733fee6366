"""Containers as `docker inspect` describes them."""

from typing import Any

import pytest

from tasks.core.observed import Container, Observed, container

INSPECTED: dict[str, Any] = {
    "Id": "9" * 64,
    "Name": "/shop-web-1",
    "RestartCount": 2,
    "State": {
        "Status": "running",
        "ExitCode": 0,
        "StartedAt": "2026-01-02T03:04:05.6Z",
        "Health": {"Status": "healthy", "Log": []},
    },
    "Config": {
        "Image": "registry.example.com/shop-web@sha256:00",
        "Labels": {
            "com.docker.compose.service": "web",
            "com.docker.compose.oneoff": "False",
            "dev.onevm.config-hash": "abc",
        },
    },
}


def inspected(**more: Any) -> dict[str, Any]:
    return INSPECTED | more


def test_a_container_is_what_the_engine_says() -> None:
    assert container(INSPECTED) == Container(
        id="9" * 64,
        name="shop-web-1",
        service="web",
        image="registry.example.com/shop-web@sha256:00",
        config_hash="abc",
        state="running",
        health="healthy",
        exit_code=0,
        restarts=2,
        started="2026-01-02T03:04:05.6Z",
    )


def test_a_container_without_labels_or_health_is_read_all_the_same() -> None:
    found = container(
        {"Id": "1", "Name": "/x", "State": {"Status": "created"}, "Config": {"Image": "i", "Labels": None}}
    )
    assert (found.service, found.config_hash, found.health, found.one_off) == ("", "", "", False)


def test_no_health_check_is_no_health() -> None:
    assert container(inspected(State={"Status": "running", "Health": {"Status": "none"}})).health == ""
    assert container(inspected(State={"Status": "running", "Health": None})).health == ""


def test_one_off_runs_are_told_apart() -> None:
    labels = {"com.docker.compose.service": "web", "com.docker.compose.oneoff": "True"}
    assert container(inspected(Config={"Image": "i", "Labels": labels})).one_off


CONDITIONS = [
    ({"Status": "running", "Health": {"Status": "unhealthy"}}, "unhealthy"),
    ({"Status": "running", "Health": {"Status": "starting"}}, "starting"),
    ({"Status": "running"}, "running"),
    ({"Status": "exited", "ExitCode": 137}, "exited (137)"),
    ({"Status": "exited", "ExitCode": 0, "Health": {"Status": "unhealthy"}}, "exited (0)"),
    ({"Status": "restarting", "ExitCode": 1}, "restarting"),
    ({"Status": "paused"}, "paused"),
]


@pytest.mark.parametrize(("state", "condition"), CONDITIONS)
def test_a_condition_is_what_people_say(state: dict[str, Any], condition: str) -> None:
    assert container(inspected(State=state)).condition == condition


@pytest.mark.parametrize(
    ("name", "leftover"),
    [
        ("/0123456789ab_shop-web-1", True),
        ("/shop-web-1", False),
        ("/0123456789ab-shop", False),
        ("/abc_shop-web-1", False),
        ("/ABCDEF012345_x", False),
    ],
)
def test_what_a_killed_up_leaves_is_known_by_its_name(name: str, leftover: bool) -> None:
    assert container(inspected(Name=name)).is_leftover is leftover


def test_a_services_own_containers_are_neither_leftovers_nor_one_off_runs() -> None:
    own = container(INSPECTED)
    left = container(inspected(Name="/0123456789ab_shop-web-1"))
    labels = {"com.docker.compose.service": "web", "com.docker.compose.oneoff": "True"}
    run = container(inspected(Config={"Image": "i", "Labels": labels}))
    seen = Observed(containers=(left, own, run))
    assert seen.of("web") == (own,)
    assert seen.of("api") == ()


def test_the_networks_and_named_volumes_of_a_container_are_read() -> None:
    found = container(
        inspected(
            NetworkSettings={"Networks": {"shop_back": {"Aliases": None}, "lan": {}}},
            Mounts=[{"Type": "volume", "Name": "shop_data"}, {"Type": "bind", "Source": "/srv"}],
        )
    )
    assert found.networks == frozenset({"shop_back", "lan"})
    assert found.volumes == frozenset({"shop_data"})


def test_a_service_is_starting_while_the_health_of_one_of_its_containers_is_not_known() -> None:
    def with_health(service: str, health: str, oneoff: str = "False") -> dict[str, Any]:
        labels = {"com.docker.compose.service": service, "com.docker.compose.oneoff": oneoff}
        return inspected(
            State={"Status": "running", "Health": {"Status": health}}, Config={"Image": "i", "Labels": labels}
        )

    found = [with_health("a", "healthy"), with_health("a", "starting"), with_health("b", "unhealthy")]
    found += [with_health("c", "starting", "True"), with_health("d", "none")]
    assert Observed(containers=tuple(map(container, found))).starting == frozenset({"a"})
