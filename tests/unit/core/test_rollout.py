"""Which rollout a service gets, and why."""

from pathlib import Path
from typing import Any

import pytest

from tasks.core.compose import ComposeProject, parse
from tasks.core.model import RolloutKind, Stack
from tasks.core.rollout import Rollout, alias, choose, is_alias, memory_bytes, switched

STACK = Stack(name="shop", path=Path("/shop"), compose=("compose.yaml",), host="local")
HEALTHY = {"image": "web:1", "healthcheck": {"test": ["CMD", "true"]}, "networks": {"default": None}}
DATA = [{"type": "volume", "source": "data", "target": "/data"}]


def project(web: dict[str, Any], **others: dict[str, Any]) -> ComposeProject:
    services = {"web": {**HEALTHY, **web}, **others}
    return parse(STACK, {"services": services}, frozenset(services))


def chosen(found: ComposeProject, asked: RolloutKind = "auto", *, switched: bool = True) -> Rollout:
    return choose(found.services["web"], found, asked, switched=switched)


def test_auto_is_start_first_behind_a_proxy_that_reads_the_file() -> None:
    assert chosen(project({})) == Rollout(
        kind="start-first", reason="a proxy in front reads upstreams/web", switched=True
    )


def test_auto_is_recreate_without_one() -> None:
    assert chosen(project({}), switched=False) == Rollout(
        kind="recreate", reason="no proxy in front reads upstreams/web"
    )


OBSTACLES = [
    ({"healthcheck": {"disable": True}}, {}, "it has no health check: nobody can tell when the new copy is ready"),
    ({"container_name": "web"}, {}, "container_name: web can be taken only once"),
    ({"ports": [{"target": 80, "published": "8080"}]}, {}, "it publishes the host's port 8080, which can be taken"),
    ({"ports": [{"target": 80}]}, {}, "it publishes the host's port 80, which can be taken only once"),
    ({"network_mode": "host"}, {}, "network_mode: host leaves it no network of the stack"),
    ({"networks": {"default": {"ipv4_address": "10.0.0.2"}}}, {}, "it has a fixed address"),
    ({"volumes": DATA}, {}, "it alone writes to data: two copies would write side by side"),
    ({"volumes": [{"type": "bind", "source": "/srv/data"}]}, {}, "it alone writes to /srv/data"),
    ({}, {"side": {"image": "x", "network_mode": "service:web"}}, "side lives in its container"),
    ({}, {"side": {"image": "x", "volumes_from": ["web:ro"]}}, "side lives in its container"),
    (
        {},
        {"side": {"image": "x", "ipc": "service:web"}, "aside": {"image": "x", "network_mode": "service:side"}},
        "side, aside live in its container",
    ),
]


@pytest.mark.parametrize(("web", "others", "reason"), OBSTACLES, ids=[reason[:30] for *_, reason in OBSTACLES])
def test_what_cannot_stand_side_by_side_is_recreated_and_refused_when_asked_for(
    web: dict[str, Any], others: dict[str, Any], reason: str
) -> None:
    found = project(web, **others)
    assert chosen(found).kind == "recreate"
    assert chosen(found).reason.startswith(reason)
    assert chosen(found).refused == ""
    assert chosen(found, "start-first").kind == "recreate"
    assert chosen(found, "start-first").refused.startswith(reason)


@pytest.mark.parametrize(
    ("web", "others"),
    [
        ({"volumes": [{**DATA[0], "read_only": True}]}, {}),
        ({"volumes": [{"type": "tmpfs", "target": "/tmp"}]}, {}),  # noqa: S108
        ({"volumes": [{"type": "volume", "target": "/anonymous"}]}, {}),
        ({"volumes": DATA}, {"other": {"image": "x", "volumes": DATA}}),
        ({"volumes": DATA, "deploy": {"replicas": 2}}, {}),
    ],
)
def test_what_is_read_or_shared_or_nobodys_hinders_nothing(web: dict[str, Any], others: dict[str, Any]) -> None:
    assert chosen(project(web, **others)).kind == "start-first"


def test_services_toml_decides() -> None:
    assert chosen(project({}), "recreate").kind == "recreate"
    assert chosen(project({}), "start-first", switched=False).kind == "start-first"


def test_switched_services_are_those_whose_file_a_travelling_file_names() -> None:
    contents = {
        "caddy/Caddyfile": b"name {file./upstreams/web}\nname {file./upstreams/api-2}",
        "notes.txt": b"See upstreams/worker. And upstreams/nobody, and myupstreams/store, and web:80.",
        "binary": b"\xff\x00",
    }
    services = ("web", "api-2", "api", "worker", "store")
    assert switched(contents, services) == {"web", "api-2", "worker"}


def test_a_name_belongs_to_one_configuration_of_one_service() -> None:
    name = alias("web", "0123456789abcdef")
    assert name == "web-0123456789ab"
    assert is_alias("web", name)
    assert not is_alias("web", "web-2")
    assert not is_alias("web", alias("web-admin", "0123456789abcdef"))
    assert not is_alias("w.b", name)


@pytest.mark.parametrize(
    ("web", "expected"),
    [
        ({}, 0),
        ({"mem_limit": "33554432"}, 33554432),
        ({"deploy": {"resources": {"limits": {"memory": "1000"}}}}, 1000),
    ],
)
def test_the_limit_of_a_copy(web: dict[str, Any], expected: int) -> None:
    assert memory_bytes(project(web).services["web"]) == expected
