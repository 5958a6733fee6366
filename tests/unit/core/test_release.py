"""A release survives being written and read, and nothing else passes for one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import NODEFAULT
from msgspec.structs import fields

from tasks.core.errors import OnevmError
from tasks.core.release import SCHEMA, Release, ReleasedService, from_json
from tasks.core.values import replace

RELEASE = Release(
    id="20260102T030405Z-1a2b3c4",
    stack="notes",
    sha="1a2b3c4" + "0" * 33,
    dirty=False,
    created="2026-01-02T03:04:05Z",
    performer="ci@runner",
    previous=None,
    services={
        "web": ReleasedService(image="r/notes-web@sha256:00", content_key="k", revision="1a2b3c4"),
        "redis": ReleasedService(image="redis@sha256:11", external=True, source="redis:7"),
    },
    compose={"docker-compose.yml": "aa", "compose.prod.yml": "bb"},
    files={"Caddyfile": "cc"},
    timings={"pull": 1.5},
)

texts = st.text(max_size=20)
releases = st.builds(
    Release,
    services=st.dictionaries(texts, st.builds(ReleasedService), max_size=4),
    timings=st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=4),
    files=st.dictionaries(texts, texts, max_size=4),
    reason=texts,
    kind=st.sampled_from(["deploy", "rollback"]),
    outcome=st.sampled_from(["good", "failed"]),
)


@given(releases)
def test_a_release_is_read_as_it_was_written(release: Release) -> None:
    text = release.to_json()
    found = from_json(text, "release.json")
    assert found == release
    assert list(found.compose) == list(release.compose)
    assert found.to_json() == text
    assert text.isascii()


def test_the_document_holds_what_is_promised() -> None:
    document = json.loads(RELEASE.to_json())
    services = document.pop("services")
    promised = {
        "schema": SCHEMA,
        "id": "20260102T030405Z-1a2b3c4",
        "stack": "notes",
        "sha": "1a2b3c4" + "0" * 33,
        "dirty": False,
        "created": "2026-01-02T03:04:05Z",
        "performer": "ci@runner",
        "previous": None,
        "compose": {"docker-compose.yml": "aa", "compose.prod.yml": "bb"},
        "files": {"Caddyfile": "cc"},
        "outcome": "good",
        "timings": {"pull": 1.5},
    }
    assert promised.items() <= document.items()
    web = {"image": "r/notes-web@sha256:00", "content_key": "k", "revision": "1a2b3c4", "external": False}
    redis = {"image": "redis@sha256:11", "content_key": "", "external": True, "source": "redis:7"}
    assert list(services) == ["web", "redis"]
    assert web.items() <= services["web"].items()
    assert redis.items() <= services["redis"].items()


def test_a_release_without_later_fields_is_still_one() -> None:
    document = json.loads(RELEASE.to_json())
    later = [
        field.name
        for field in fields(Release)
        if field.default_factory is not NODEFAULT or field.default is not NODEFAULT
    ]
    assert "files" in later
    for name in later:
        del document[name]
    found = from_json(json.dumps(document | {"unknown": 1}), "release.json")
    assert found == replace(RELEASE, files={}, timings={})


NOT_RELEASES = {
    "nothing": "",
    "half of one": RELEASE.to_json()[:200],
    "a list": "[]",
    "null": "null",
    "no schema": "{}",
    "no fields": '{"schema": 1}',
    "services are a list": '{"schema": 1, "services": []}',
    "a service is a text": json.dumps(json.loads(RELEASE.to_json()) | {"services": {"web": "x"}}),
    "a service without an image": json.dumps(json.loads(RELEASE.to_json()) | {"services": {"web": {}}}),
}


@pytest.mark.parametrize("name", NOT_RELEASES)
def test_what_is_no_release_is_an_explained_error(name: str) -> None:
    with pytest.raises(OnevmError, match=r"^/root/release\.json is not a release: ") as caught:
        from_json(NOT_RELEASES[name], "/root/release.json")
    assert caught.value.next_step


def test_a_field_of_a_newer_onevm_is_passed_over() -> None:
    document = json.loads(RELEASE.to_json())
    document["novel"] = 1
    document["services"]["web"]["novel"] = 1
    assert from_json(json.dumps(document), "release.json") == RELEASE


BASES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({}, (RELEASE.sha, "1a2b3c4")),
    ({"scope": ("web",)}, (RELEASE.sha, "1a2b3c4")),
    ({"scope": ("api",)}, ("1a2b3c4",)),
    ({"dirty": True}, ("1a2b3c4",)),
    ({"kind": "rollback"}, ("1a2b3c4",)),
]


@pytest.mark.parametrize(("change", "bases"), BASES)
def test_the_commit_of_a_release_is_that_of_a_services_inputs_where_it_was_deployed_whole(
    change: dict[str, Any], bases: tuple[str, ...]
) -> None:
    assert replace(RELEASE, **change).bases("web") == bases


def test_a_newer_schema_is_refused() -> None:
    with pytest.raises(OnevmError, match="has schema 2; this Onevm reads schema 1"):
        from_json(json.dumps(json.loads(RELEASE.to_json()) | {"schema": 2}), "release.json")


def test_the_same_content_at_another_time_is_the_same() -> None:
    again = replace(RELEASE, id="x", created="y", performer="z", previous="p", timings={}, outcome="failed", reason="r")
    assert RELEASE.same_content(again)


@pytest.mark.parametrize(
    "other",
    [
        replace(RELEASE, sha="2" * 40),
        replace(RELEASE, dirty=True),
        replace(RELEASE, services={}),
        replace(RELEASE, compose={"docker-compose.yml": "changed", "compose.prod.yml": "bb"}),
        replace(RELEASE, files={}),
    ],
    ids=["sha", "dirty", "services", "compose", "files"],
)
def test_other_content_is_another_release(other: Release) -> None:
    assert not RELEASE.same_content(other)


def test_the_order_of_compose_files_counts() -> None:
    turned = replace(RELEASE, compose=dict(reversed(RELEASE.compose.items())))
    assert list(from_json(turned.to_json(), "x").compose) == ["compose.prod.yml", "docker-compose.yml"]
