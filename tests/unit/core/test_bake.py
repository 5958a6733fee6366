"""One bake file for everything that is stale."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.core.bake import Target, bake_file, target_names, unsupported_options
from tasks.core.build import BuildDefinition, BuildSecret
from tasks.core.model import Builder, CacheKind
from tasks.core.values import replace

KEY = "0123456789abcdef" * 4
WEB = BuildDefinition(stack="shop", service="web", context="/shop/web", dockerfile=Path("/shop/web/Dockerfile"))


def target(definition: BuildDefinition = WEB, **more: Any) -> Target:
    repository = f"r.example.com/{definition.stack}-{definition.service}"
    plain = Target(
        definition=definition,
        content_key=KEY,
        reference=f"{repository}:building-0123",
        repository=repository,
        push=True,
        args={},
        revision="1a2b3c4",
        source="https://example.com/shop.git",
        created="2026-01-02T03:04:05+00:00",
    )
    return replace(plain, **more)


def baked(*targets: Target, bases: tuple[Target, ...] = (), cache: CacheKind = "none") -> dict[str, Any]:
    names = target_names([t.definition for t in (*targets, *bases)])
    document: dict[str, Any] = json.loads(bake_file(targets, bases, Builder(cache=cache), names))
    assert list(document) == ["target"]
    found: dict[str, Any] = document["target"]
    return found


def test_a_plain_service_is_one_target() -> None:
    assert baked(target()) == {
        "web": {
            "context": "/shop/web",
            "dockerfile": "/shop/web/Dockerfile",
            "labels": {
                "dev.onevm.content-key": KEY,
                "org.opencontainers.image.revision": "1a2b3c4",
                "org.opencontainers.image.source": "https://example.com/shop.git",
                "org.opencontainers.image.created": "2026-01-02T03:04:05+00:00",
            },
            "tags": ["r.example.com/shop-web:building-0123"],
            "output": ["type=image,push=true"],
        }
    }


def test_what_is_not_pushed_stays_on_the_engine() -> None:
    found = baked(target(push=False), cache="inline")["web"]
    assert found["output"] == ["type=docker"]
    assert not found.keys() & {"cache-to", "cache-from"}


def test_everything_compose_says_is_asked_for() -> None:
    definition = replace(
        WEB,
        target="final",
        platforms=("linux/amd64", "linux/arm64"),
        secrets=(BuildSecret(id="a", file=Path("/run/a")), BuildSecret(id="b", environment="B")),
        contexts=(("img", "docker-image://busybox"), ("lib", "/lib")),
        options=(
            ("labels", '{"team": "x", "empty": ""}'),
            ("network", '"host"'),
            ("shm_size", '"67108864"'),
            ("ssh", '["default"]'),
            ("ulimits", '{"nofile": {"hard": 2, "soft": 1}, "nproc": 65535}'),
        ),
    )
    found = baked(target(definition, args={"A": "1"}))["web"]
    assert found["target"] == "final"
    assert found["platforms"] == ["linux/amd64", "linux/arm64"]
    assert found["secret"] == ["id=a,src=/run/a", "id=b,env=B"]
    assert found["contexts"] == {"img": "docker-image://busybox", "lib": "/lib"}
    assert found["args"] == {"A": "1"}
    assert (found["network"], found["shm-size"], found["ssh"]) == ("host", "67108864", ["default"])
    assert found["ulimits"] == ["nofile=1:2", "nproc=65535"]
    assert {"team": "x", "empty": ""}.items() <= found["labels"].items()


def test_a_builds_own_labels_do_not_replace_ours() -> None:
    definition = replace(WEB, options=(("labels", '{"dev.onevm.content-key": "forged"}'),))
    assert baked(target(definition))["web"]["labels"]["dev.onevm.content-key"] == KEY


def test_an_unknown_source_is_no_label() -> None:
    assert "org.opencontainers.image.source" not in baked(target(source=""))["web"]["labels"]


def test_an_inline_dockerfile_is_text() -> None:
    found = baked(target(replace(WEB, dockerfile=None, dockerfile_inline="FROM scratch\n")))["web"]
    assert found["dockerfile-inline"] == "FROM scratch\n"
    assert "dockerfile" not in found


def test_marks_that_bake_expands_are_doubled_in_every_value() -> None:
    odd = replace(WEB, context="/shop/${x}", dockerfile=None, dockerfile_inline="RUN echo ${HOME} %{if} $HOME 100%\n")
    found = baked(target(odd, args={"P": "${y}"}))["web"]
    assert found["context"] == "/shop/$${x}"
    assert found["dockerfile-inline"] == "RUN echo $${HOME} %%{if} $HOME 100%\n"
    assert found["args"] == {"P": "$${y}"}


def test_a_service_that_starts_from_another_names_its_target() -> None:
    base = replace(WEB, service="base.image")
    web = replace(WEB, contexts=(("me/base", "target:base.image"),), bases=("base.image",))
    found = baked(target(web), bases=(target(base),))
    assert list(found) == ["base-image", "web"]
    assert found["web"]["contexts"] == {"me/base": "target:base-image"}


def test_two_stacks_bake_in_one_file() -> None:
    blog = replace(WEB, stack="blog", contexts=(("b", "target:base"),), bases=("base",))
    found = baked(target(), target(blog), bases=(target(replace(blog, service="base", contexts=(), bases=())),))
    assert sorted(found) == ["blog-base", "blog-web", "shop-web"]
    assert found["blog-web"]["contexts"] == {"b": "target:blog-base"}


@pytest.mark.parametrize(
    ("services", "names"),
    [
        ((("s", "web"), ("s", "api")), ["web", "api"]),
        ((("s", "a.b"), ("s", "a-b")), ["a-b", "a-b-"]),
        ((("s", "ä"),), ["-"]),
        ((("a", "b-c"), ("a-b", "c")), ["a-b-c", "a-b-c-"]),
    ],
)
def test_target_names_are_ones_that_bake_allows_and_differ(
    services: tuple[tuple[str, str], ...], names: list[str]
) -> None:
    found = target_names([replace(WEB, stack=stack, service=service) for stack, service in services])
    assert list(found) == list(services)
    assert list(found.values()) == names


CACHES: list[tuple[CacheKind, dict[str, list[str]]]] = [
    ("none", {}),
    (
        "inline",
        {"cache-to": ["type=inline"], "cache-from": ["type=registry,ref=r.example.com/shop-web:latest"]},
    ),
    (
        "registry",
        {
            "cache-to": ["type=registry,ref=r.example.com/shop-web:buildcache,mode=max"],
            "cache-from": [
                "type=registry,ref=r.example.com/shop-web:buildcache",
                "type=registry,ref=r.example.com/shop-web:latest",
            ],
        },
    ),
    ("gha", {"cache-to": ["type=gha,scope=shop-web,mode=max"], "cache-from": ["type=gha,scope=shop-web"]}),
]


@pytest.mark.parametrize(("kind", "keys"), CACHES)
def test_the_cache_is_kept_where_services_toml_says(kind: CacheKind, keys: dict[str, list[str]]) -> None:
    found = baked(target(), cache=kind)["web"]
    assert {key: value for key, value in found.items() if key.startswith("cache")} == keys


def test_what_bake_cannot_do_is_known() -> None:
    options = (("extra_hosts", "[]"), ("labels", "{}"), ("network", '"x"'), ("privileged", "true"), ("ulimits", "{}"))
    assert unsupported_options(replace(WEB, options=options)) == ("extra_hosts", "privileged")
    assert unsupported_options(WEB) == ()
