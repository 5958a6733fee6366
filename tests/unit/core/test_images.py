"""Names of images are what the registry's users are promised."""

from typing import Any

from tasks.core.images import CREATED_LABEL, REVISION_LABEL, building_tag, commit_tag, key_tag, repository, same_image
from tasks.core.model import Registry
from tasks.core.reference import Reference

KEY = "0123456789abcdef" * 4
SHA = "fedcba9876543210" * 2 + "01234567"


def test_a_repository_is_named_by_stack_and_service() -> None:
    assert (
        repository(Registry(url="registry.example.com/team"), "notes", "web") == "registry.example.com/team/notes-web"
    )


def test_tags_name_the_key_and_the_commit() -> None:
    assert key_tag(KEY) == f"key-{KEY}"
    assert commit_tag(SHA) == SHA
    assert commit_tag(SHA, dirty_key=KEY) == f"{SHA}-dirty-01234567"


def test_a_tag_that_is_no_promise_yet_is_another_one() -> None:
    assert building_tag(KEY, "00ff") == "building-0123456789ab-00ff"


def test_every_tag_is_one_to_docker() -> None:
    for tag in (key_tag(KEY), commit_tag(SHA), commit_tag(SHA, dirty_key=KEY), building_tag(KEY, "00ff")):
        assert Reference.parse(f"example.com/x:{tag}").tag == tag


def test_an_image_is_the_same_whatever_cache_and_commit_come_with_it() -> None:
    def config(layer: str = "a", cache: str = "1", **labels: str) -> dict[str, Any]:
        return {
            "rootfs": {"diff_ids": [layer]},
            "moby.buildkit.cache.v0": cache,
            "config": {"Env": ["A=1"], "Labels": labels or None},
        }

    assert same_image(config(), config(cache="2"))
    assert same_image(config(), config(**{REVISION_LABEL: "1a2b3c4", CREATED_LABEL: "2026"}))
    assert not same_image(config(), config(layer="b"))
    assert not same_image(config(), config(mine="1"))
    assert not same_image(config(), config() | {"config": {"Env": ["A=2"]}})
    assert not same_image(config(), config() | {"created": "2026"})
