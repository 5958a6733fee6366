"""What Compose's resolved configuration means to Onevm. The documents are what `docker compose config` 2.26 printed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.build import BuildSecret
from tasks.core.compose import (
    ComposeProject,
    ComposeService,
    HealthCheck,
    build_order,
    document,
    parse,
    start_levels,
    without_values,
)
from tasks.core.errors import OnevmError
from tasks.core.model import ServiceSettings, Stack

STACK = Stack(
    name="shop",
    path=Path("/shop"),
    compose=("compose.yaml",),
    host="local",
    services={"web": ServiceSettings(volatile_args=("SHA",), inputs=(Path("/packages/shared"),))},
)


def project(
    services: dict[str, Any], *, active: frozenset[str] | None = None, secrets: dict[str, Any] | None = None
) -> ComposeProject:
    return parse(
        STACK, {"services": services, "secrets": secrets or {}}, frozenset(services) if active is None else active
    )


def inline(text: str, **more: Any) -> dict[str, Any]:
    return {"build": {"context": "/shop", "dockerfile_inline": text, **more}}


def service(**definition: Any) -> ComposeService:
    return project({"x": definition}).services["x"]


def test_an_empty_project_has_no_services() -> None:
    assert parse(STACK, {}, frozenset()).services == {}
    assert parse(STACK, {"services": None}, frozenset()).services == {}


def test_doubled_dollars_of_the_document_are_single_ones() -> None:
    text = '{"services": {"a": {"build": {"context": "/x", "args": {"P": "a$$b", "Q": "$${HOME}", "R": "$$$$"}}}}}'
    assert document(text)["services"]["a"]["build"]["args"] == {"P": "a$b", "Q": "${HOME}", "R": "$$"}


@given(st.dictionaries(st.text("a$", max_size=6), st.text("$ab{}", max_size=20)))
def test_a_document_reads_as_what_compose_doubled(value: dict[str, str]) -> None:
    assert document(json.dumps(value).replace("$", "$$")) == value


REPLICAS = [
    ({}, 1),
    ({"deploy": {"replicas": 0, "resources": {}, "placement": {}}}, 0),
    ({"deploy": {"resources": {}, "placement": {}}}, 1),
    ({"scale": 3}, 3),
    ({"scale": 0}, 0),
    ({"scale": 2, "deploy": {"replicas": 2}}, 2),
    ({"deploy": None}, 1),
]


@pytest.mark.parametrize(("definition", "replicas"), REPLICAS)
def test_replicas_are_counted_as_compose_does(definition: dict[str, Any], replicas: int) -> None:
    assert service(**definition).replicas == replicas


HEALTH: list[tuple[dict[str, Any] | None, HealthCheck | None]] = [
    (None, None),
    ({}, None),
    ({"disable": True}, None),
    ({"test": ["NONE"]}, None),
    ({"interval": "5s"}, None),
    ({"test": ["CMD", "true"]}, HealthCheck(interval=30, timeout=30, retries=3, start_period=0)),
    (
        {"test": ["CMD-SHELL", "x"], "timeout": "1.5s", "interval": "1m30s", "start_period": "500ms", "retries": 5},
        HealthCheck(interval=90, timeout=1.5, retries=5, start_period=0.5),
    ),
    ({"test": ["CMD", "x"], "interval": "0s", "retries": 0}, HealthCheck()),
]


@pytest.mark.parametrize(("definition", "check"), HEALTH)
def test_a_health_check_has_the_engines_defaults(definition: dict[str, Any] | None, check: HealthCheck | None) -> None:
    assert service(healthcheck=definition).healthcheck == check


def test_patience_covers_the_start_and_every_try() -> None:
    check = HealthCheck(interval=10, timeout=2, retries=3, start_period=5)
    assert check.patience == 5 + 4 * 12


def test_dependencies_are_names_however_optional() -> None:
    some = {"db": {"condition": "service_healthy", "required": True}, "cache": {"condition": "x", "required": False}}
    assert service(depends_on=some).depends_on == ("cache", "db")
    assert service(depends_on=None).depends_on == ()


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (["db"], []),
        (["api"], ["cache", "db"]),
        (["api", "db"], ["cache"]),
        (["web", "api", "db", "cache"], []),
        (["x"], []),
    ],
)
def test_what_services_lean_on_is_what_an_up_of_them_would_look_at(names: list[str], others: list[str]) -> None:
    services: dict[str, Any] = {
        "db": {},
        "cache": {},
        "api": {"depends_on": {"db": {}, "cache": {}}},
        "web": {"depends_on": {"api": {}}},
    }
    found = parse(STACK, {"services": services}, frozenset(services))
    assert sorted(found.lean_on(names)) == others


RESTARTS: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"restart": "no"}, True),
    ({"restart": "on-failure:3"}, True),
    ({"restart": "unless-stopped"}, False),
    ({"restart": "always"}, False),
    ({"deploy": {"restart_policy": {"condition": "any"}}}, False),
    ({"deploy": {"restart_policy": {"condition": "none"}}}, True),
    ({"deploy": {"restart_policy": {"condition": "on-failure"}}, "restart": "always"}, True),
]


@pytest.mark.parametrize(("definition", "stays"), RESTARTS)
def test_a_restart_policy_says_whether_an_end_is_final(definition: dict[str, Any], stays: bool) -> None:
    assert service(**definition).stays_ended is stays
    assert service(**definition).is_one_shot is stays
    assert not service(**definition, healthcheck={"test": ["CMD", "x"]}).is_one_shot


def test_published_ports_are_seen() -> None:
    assert service(ports=[{"target": 80, "published": "8080"}]).publishes_ports
    assert not service(ports=[]).publishes_ports


def test_a_build_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    web = {
        "build": {
            "context": str(tmp_path),
            "dockerfile": "Dockerfile",
            "entitlements": ["network.host"],
            "args": {"B": "2", "C": "", "SHA": "x", "N": None},
            "ssh": ["default"],
            "labels": {"x": "y"},
            "additional_contexts": {
                "b": "service:base",
                "img": "docker-image://busybox",
                "other": "/other",
                "git": "https://example.com/x.git",
            },
            "extra_hosts": ["a=1.2.3.4"],
            "network": "host",
            "secrets": [{"source": "s2", "target": "two"}, {"source": "s1"}],
            "shm_size": "67108864",
            "ulimits": {"nofile": {"soft": 1, "hard": 2}},
            "target": "final",
            "platforms": ["linux/amd64"],
            "cache_from": ["x"],
            "pull": True,
        },
        "image": "me/web",
    }
    secrets = {"s1": {"name": "shop_s1", "file": "/s.txt"}, "s2": {"name": "shop_s2", "environment": "S2VAR"}}
    found = project({"web": web, "base": inline("FROM scratch")}, secrets=secrets).services["web"].build
    assert found is not None
    assert found.name == "shop.web"
    assert found.context == str(tmp_path)
    assert found.dockerfile == tmp_path / "Dockerfile"
    assert found.dockerfile_inline is None
    assert found.target == "final"
    assert found.platforms == ("linux/amd64",)
    assert found.args == (("B", "2"), ("C", ""), ("N", None), ("SHA", "x"))
    assert found.volatile_args == {"SHA"}
    assert found.inputs == (Path("/packages/shared"),)
    assert found.contexts == (
        ("b", "target:base"),
        ("git", "https://example.com/x.git"),
        ("img", "docker-image://busybox"),
        ("other", "/other"),
    )
    assert found.bases == ("base",)
    assert found.secrets == (BuildSecret(id="s1", file=Path("/s.txt")), BuildSecret(id="two", environment="S2VAR"))
    assert found.options == (
        ("entitlements", '["network.host"]'),
        ("extra_hosts", '["a=1.2.3.4"]'),
        ("labels", '{"x": "y"}'),
        ("network", '"host"'),
        ("shm_size", '"67108864"'),
        ("ssh", '["default"]'),
        ("ulimits", '{"nofile": {"hard": 2, "soft": 1}}'),
    )


@pytest.mark.parametrize("context", ["https://github.com/a/b.git#main:sub", "git@github.com:a/b.git", "ssh://h/x.git"])
def test_a_remote_context_keeps_its_dockerfiles_path_as_written(context: str) -> None:
    found = service(build={"context": context, "dockerfile": "docker/Dockerfile"}).build
    assert found is not None
    assert found.is_remote
    assert found.dockerfile == Path("docker/Dockerfile")
    assert found.bases == ()


def test_a_dockerfile_outside_its_context_is_found(tmp_path: Path) -> None:
    (tmp_path / "web.Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "src").mkdir()
    found = service(build={"context": str(tmp_path / "src"), "dockerfile": "../web.Dockerfile"}).build
    assert found is not None
    assert found.dockerfile is not None
    assert found.dockerfile.read_text() == "FROM scratch\n"


def test_a_missing_dockerfile_is_named_with_its_service(tmp_path: Path) -> None:
    with pytest.raises(OnevmError, match=r"shop\.x: its Dockerfile .*/Dockerfile cannot be read: No such file"):
        service(build={"context": str(tmp_path)})


@pytest.mark.parametrize(
    ("dockerfile", "bases"),
    [
        ("FROM me/base", ("base",)),
        ("FROM me/base:latest", ("base",)),
        ("ARG TAG=latest\nFROM me/base:$TAG", ("base",)),
        ("FROM me/base:2", ()),
        ("FROM scratch\nCOPY --from=me/base / /", ("base",)),
        ("FROM scratch\nRUN --mount=from=me/base,target=/x true", ("base",)),
        ("FROM a AS me/base\nFROM me/base", ()),
        ("FROM me/web", ()),
        ("FROM redis", ()),
    ],
)
def test_a_service_starts_from_images_that_are_built_here(dockerfile: str, bases: tuple[str, ...]) -> None:
    services = {
        "base": inline("FROM scratch") | {"image": "me/base"},
        "web": inline(dockerfile) | {"image": "me/web"},
        "redis": {"image": "redis"},
    }
    found = project(services).services["web"].build
    assert found is not None
    assert found.bases == bases
    assert [value for _, value in found.contexts] == [f"target:{base}" for base in bases]


def test_an_image_tagged_latest_is_the_untagged_one() -> None:
    services = {"base": inline("FROM scratch") | {"image": "me/base:latest"}, "web": inline("FROM me/base")}
    found = project(services).services["web"].build
    assert found is not None
    assert found.contexts == (("me/base", "target:base"),)


def test_a_named_context_wins_over_an_image_built_here() -> None:
    services = {
        "base": inline("FROM scratch") | {"image": "me/base"},
        "web": inline("FROM me/base", additional_contexts={"me/base": "docker-image://busybox"}),
    }
    found = project(services).services["web"].build
    assert found is not None
    assert found.bases == ()


def test_services_that_start_from_each_other_are_refused() -> None:
    services = {
        "a": inline("FROM c", additional_contexts={"c": "service:c"}),
        "b": inline("FROM a", additional_contexts={"a": "service:a"}),
        "c": inline("FROM b", additional_contexts={"b": "service:b"}),
    }
    with pytest.raises(OnevmError, match="in a circle: a -> c -> b -> a"):
        project(services)


def test_a_base_that_is_not_built_here_is_refused() -> None:
    services = {"a": inline("FROM r", additional_contexts={"r": "service:redis"}), "redis": {"image": "redis"}}
    with pytest.raises(OnevmError, match="not built here: a -> redis"):
        project(services)


def test_bases_are_built_first() -> None:
    services = {
        "a": inline("FROM z", additional_contexts={"z": "service:z", "m": "service:m"}),
        "m": inline("FROM z", additional_contexts={"z": "service:z"}),
        "redis": {"image": "redis"},
        "z": inline("FROM scratch"),
    }
    assert build_order(project(services)) == ("z", "m", "a")


def test_an_inactive_service_is_built_only_for_those_that_start_from_it() -> None:
    services = {
        "base": inline("FROM scratch"),
        "debug": inline("FROM scratch"),
        "redis": {"image": "redis"},
        "web": inline("FROM base", additional_contexts={"base": "service:base"}),
    }
    found = project(services, active=frozenset({"web", "redis"}))
    assert list(found.built()) == ["base", "web"]
    assert list(found.active()) == ["redis", "web"]


def depending(graph: dict[str, list[str]]) -> dict[str, ComposeService]:
    return project({name: {"depends_on": dict.fromkeys(after)} for name, after in graph.items()}).services


LEVELS: list[tuple[dict[str, list[str]], set[str], list[list[str]]]] = [
    ({}, set(), []),
    ({"a": [], "b": []}, {"a", "b"}, [["a", "b"]]),
    ({"web": ["api"], "api": ["db"], "db": []}, {"web", "api", "db"}, [["db"], ["api"], ["web"]]),
    ({"web": ["api"], "api": ["db"], "db": []}, {"web", "db"}, [["db"], ["web"]]),
    ({"web": ["gone"]}, {"web"}, [["web"]]),
    ({"a": ["b"], "b": ["a"]}, {"a", "b"}, [["a", "b"]]),
    ({"a": ["a"]}, {"a"}, [["a"]]),
]


@pytest.mark.parametrize(("graph", "names", "levels"), LEVELS)
def test_services_start_after_what_they_depend_on(
    graph: dict[str, list[str]], names: set[str], levels: list[list[str]]
) -> None:
    assert start_levels(depending(graph), frozenset(names)) == levels


NAMES = [f"s{number}" for number in range(8)]


@given(st.data())
def test_levels_are_a_topological_order_of_every_acyclic_graph(data: st.DataObject) -> None:
    graph = {
        name: data.draw(st.lists(st.sampled_from(NAMES[:i]), unique=True)) if i else [] for i, name in enumerate(NAMES)
    }
    chosen = data.draw(st.frozensets(st.sampled_from(NAMES)))
    levels = start_levels(depending(graph), chosen)
    assert sorted(name for level in levels for name in level) == sorted(chosen)
    position = {name: number for number, level in enumerate(levels) for name in level}

    def check(name: str, below: str) -> None:
        for needed in graph[below]:
            assert needed not in chosen or position[needed] < position[name]
            check(name, needed)

    for name in chosen:
        check(name, name)


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES))), st.frozensets(st.sampled_from(NAMES)))
def test_every_service_is_in_one_level_circles_or_not(graph: dict[str, list[str]], chosen: frozenset[str]) -> None:
    services = depending(graph)
    levels = start_levels(services, chosen & services.keys())
    assert sorted(name for level in levels for name in level) == sorted(chosen & services.keys())


def test_no_runtime_value_survives_in_what_is_kept() -> None:
    secret = "hunter2"
    definition = {
        "services": {
            "web": {
                "image": "x",
                "environment": {"PASSWORD": secret},
                "command": ["run", secret],
                "entrypoint": [secret],
                "labels": {"x": secret},
                "healthcheck": {"test": ["CMD-SHELL", f"curl -u x:{secret} localhost"], "interval": "5s"},
                "depends_on": {"db": {}},
                "deploy": {"replicas": 2},
            },
            "plain": {"healthcheck": {"test": None}},
        },
        "secrets": {"s": {"file": "/s"}},
    }
    kept = without_values(definition)
    assert secret not in json.dumps(kept)
    found = parse(STACK, kept, frozenset({"web"})).services["web"]
    assert (found.image, found.depends_on, found.replicas) == ("x", ("db",), 2)
    assert found.healthcheck == HealthCheck(interval=5)


def test_images_from_elsewhere_are_known_by_the_name_that_the_dockerfile_has_for_them() -> None:
    copied = "".join(f"COPY --from={name} / /\n" for name in ("alpine:3", "tools", "here"))
    text = f"FROM me/base AS x\nFROM x\n{copied}FROM redis:latest"
    contexts = {"tools": "docker-image://busybox:1", "here": "/somewhere"}
    web = inline(text, additional_contexts=contexts)
    found = project({"base": inline("FROM scratch") | {"image": "me/base"}, "web": web}).services["web"].build
    assert found
    assert found.starts_from == (("alpine:3", "alpine:3"), ("redis", "redis"), ("tools", "busybox:1"))
    assert found.bases == ("base",)
