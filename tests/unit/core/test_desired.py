"""What a service's hash covers, and the file that pins its image."""

from pathlib import PurePosixPath
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.core.desired import config_hash, override, referenced_files
from tasks.core.observed import CONFIG_LABEL

FOLDER = PurePosixPath("/srv/onevm/shop/project")
WEB: dict[str, Any] = {
    "image": "r/shop-web@sha256:00",
    "environment": {"A": "1"},
    "labels": {"team": "x"},
    "volumes": [{"type": "bind", "source": f"{FOLDER}/caddy", "target": "/etc/caddy"}],
    "secrets": [{"source": "token"}],
    "configs": [{"source": "motd", "target": "/motd"}],
    "deploy": {"replicas": 2, "resources": {"limits": {"memory": "64m"}}},
}
PROJECT: dict[str, Any] = {
    "secrets": {"token": {"name": "shop_token", "file": f"{FOLDER}/secret/token"}},
    "configs": {"motd": {"name": "shop_motd", "content": "hello"}},
}
FILES = {"caddy/Caddyfile": "aa", "caddy/extra/x": "bb", "other/file": "cc"}
ELSEWHERE = {f"{FOLDER}/secret/token": "dd"}


def hashed(
    definition: dict[str, Any] = WEB,
    project: dict[str, Any] = PROJECT,
    *,
    folder: PurePosixPath = FOLDER,
    files: dict[str, str] = FILES,
    elsewhere: dict[str, str] = ELSEWHERE,
) -> str:
    return config_hash(definition, project, folder=folder, files=files, elsewhere=elsewhere)


SAME: dict[str, dict[str, Any]] = {
    "build": {"build": {"context": "/elsewhere"}},
    "pull policy": {"pull_policy": "always"},
    "scale": {"scale": 5},
    "replicas": {"deploy": {"replicas": 7, "resources": {"limits": {"memory": "64m"}}}},
    "no replicas": {"deploy": {"resources": {"limits": {"memory": "64m"}}}},
    "dependencies": {"depends_on": {"db": {"condition": "service_healthy"}}},
    "profiles": {"profiles": ["x"]},
    "the name of an env file": {"env_file": [{"path": "x.env", "required": True}]},
    "develop": {"develop": {"watch": []}},
    "extensions": {"x-note": "hello"},
    "our own label": {"labels": {"team": "x", CONFIG_LABEL: "0123"}},
}


@pytest.mark.parametrize("name", SAME)
def test_what_compose_does_not_look_at_is_not_in_the_hash(name: str) -> None:
    assert hashed(WEB | SAME[name]) == hashed()


def test_our_own_label_is_not_in_the_hash_even_alone() -> None:
    bare = {key: value for key, value in WEB.items() if key != "labels"}
    assert hashed(bare | {"labels": {CONFIG_LABEL: "0123"}}) == hashed(bare)


OTHER: dict[str, dict[str, Any]] = {
    "image": {"image": "r/shop-web@sha256:01"},
    "environment": {"environment": {"A": "2"}},
    "label": {"labels": {"team": "y"}},
    "logging": {"logging": {"driver": "local"}},
    "memory": {"deploy": {"replicas": 2, "resources": {"limits": {"memory": "65m"}}}},
    "health check": {"healthcheck": {"test": ["CMD", "true"]}},
    "restart policy": {"restart": "always"},
    "command": {"command": ["x"]},
    "mount": {"volumes": []},
    "secret": {"secrets": []},
    "network mode": {"network_mode": "service:vpn"},
}


@pytest.mark.parametrize("name", OTHER)
def test_what_compose_starts_a_container_with_is_in_the_hash(name: str) -> None:
    assert hashed(WEB | OTHER[name]) != hashed()


def test_the_order_of_keys_is_not_in_the_hash() -> None:
    assert hashed(dict(reversed(WEB.items()))) == hashed()


def test_the_content_of_mounted_files_is_in_the_hash() -> None:
    assert hashed(files=FILES | {"caddy/Caddyfile": "changed"}) != hashed()
    assert hashed(files=FILES | {"caddy/extra/x": "changed"}) != hashed()
    assert hashed(files=FILES | {"caddy/new": "ee"}) != hashed()
    assert hashed(files={"caddy/Caddyfile": "aa", "other/file": "cc"}) != hashed()


def test_the_content_of_files_that_are_not_mounted_is_not() -> None:
    assert hashed(files=FILES | {"other/file": "changed"}) == hashed()
    assert hashed(files=FILES | {"caddyx": "ee"}) == hashed()


def test_a_mount_of_the_whole_folder_covers_every_file() -> None:
    mounted = WEB | {"volumes": [{"type": "bind", "source": str(FOLDER), "target": "/x"}]}
    assert hashed(mounted) != hashed(mounted, files=FILES | {"other/file": "changed"})


def test_mounts_of_other_folders_and_volumes_cover_no_file() -> None:
    for volume in (
        {"type": "bind", "source": "/etc/caddy", "target": "/x"},
        {"type": "bind", "source": f"{FOLDER}x/caddy", "target": "/x"},
        {"type": "volume", "source": "caddy", "target": "/x"},
        {"type": "tmpfs", "target": "/x"},
    ):
        mounted = WEB | {"volumes": [volume]}
        assert hashed(mounted) == hashed(mounted, files={})


def test_the_content_of_secrets_and_configs_is_in_the_hash() -> None:
    assert hashed(elsewhere={f"{FOLDER}/secret/token": "changed"}) != hashed()
    assert hashed(elsewhere={}) != hashed()
    other = PROJECT | {"configs": {"motd": {"name": "shop_motd", "content": "bye"}}}
    assert hashed(project=other) != hashed()
    assert hashed(files=FILES | {"secret/token": "travels"}) != hashed()


def test_where_the_project_stands_is_not_in_the_hash() -> None:
    there = PurePosixPath("/home/me/state/shop/project")

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {moved(key): moved(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [moved(inner) for inner in value]
        return value.replace(str(FOLDER), str(there)) if isinstance(value, str) else value

    assert hashed(moved(WEB), moved(PROJECT), folder=there, elsewhere=moved(ELSEWHERE)) == hashed()


MADE: dict[str, Any] = {"networks": {"back": None}, "volumes": [{"type": "volume", "source": "data", "target": "/x"}]}
PLAIN: dict[str, Any] = {
    "name": "shop",
    "networks": {"back": {"name": "shop_back", "ipam": {}}, "other": {"name": "x", "internal": True}},
    "volumes": {"data": {"name": "shop_data"}},
}


@pytest.mark.parametrize(
    ("project", "same"),
    [
        (PLAIN, True),
        (PLAIN | {"networks": {"back": {"name": "shop_back", "labels": {CONFIG_LABEL: "0"}}}}, True),
        (PLAIN | {"volumes": {"data": {"name": "shop_data", "labels": {"team": "a"}}}}, True),
        (PLAIN | {"networks": {"back": {"name": "shop_back", "internal": True}}}, False),
        (PLAIN | {"networks": {"back": {"name": "lan", "external": True}}}, False),
        (PLAIN | {"volumes": {"data": {"name": "another"}}}, False),
    ],
)
def test_what_a_services_networks_and_volumes_are_is_in_the_hash_beyond_the_default(
    project: dict[str, Any], same: bool
) -> None:
    assert (hashed(MADE, project) == hashed(MADE, {})) == same


def test_a_service_with_nothing_has_a_hash() -> None:
    assert len(hashed({"image": "x", "deploy": None, "volumes": None, "configs": None}, {})) == 32


def test_files_that_do_not_travel_are_asked_for_on_the_host() -> None:
    project = {
        "secrets": {"a": {"file": f"{FOLDER}/a"}, "b": {"environment": "B"}, "c": {"file": "/etc/c"}},
        "configs": {"d": {"file": f"{FOLDER}/d"}, "e": {"content": "x"}, "f": {"external": True}},
    }
    assert referenced_files(project, FOLDER, {"d": "00"}) == ("/etc/c", f"{FOLDER}/a")
    assert referenced_files({}, FOLDER, {}) == ()


def read(text: str) -> Any:
    return YAML(typ="rt").load(text)


def test_the_override_pins_images_and_takes_builds_away() -> None:
    found = read(override({"web": "r/web@sha256:00", "redis": "redis@sha256:11"}, {"web": "abc"}))
    assert list(found["services"]) == ["redis", "web"]
    web = found["services"]["web"]
    assert (web["image"], web["pull_policy"]) == ("r/web@sha256:00", "missing")
    assert dict(web["labels"]) == {CONFIG_LABEL: "abc"}
    assert web["build"].tag.value == "!reset"
    assert "labels" not in found["services"]["redis"]


def test_the_override_of_nothing_is_an_empty_project() -> None:
    assert read(override({}, {})) == {"services": {}}


@pytest.mark.parametrize("name", ["on", "1", "null", "a.b", "a-b_c"])
def test_a_service_named_like_another_yaml_value_stays_a_name(name: str) -> None:
    assert list(read(override({name: "x"}, {name: "y"}))["services"]) == [name]
