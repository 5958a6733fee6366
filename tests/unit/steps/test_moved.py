"""What a refresh would change is told from the release that runs and from what registries have now."""

import pytest

from tasks.core.build import BuildDefinition
from tasks.core.release import Release, ReleasedService
from tasks.steps.bases import pins
from tasks.steps.images import Image
from tasks.steps.inputs import Keyed
from tasks.steps.moved import Source, reasons, sources

A, B = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
PYTHON, REDIS = "python:3.12", "redis:7"


def image(bases: dict[str, str]) -> Image:
    definition = BuildDefinition(stack="notes", service="web", context="/nowhere")
    keyed = Keyed(definition=definition, read=None, manifest=None, key="0" * 64, uncommitted=())
    return Image(keyed=keyed, repository="r/notes-web", pushed=True, bases=bases)


def release(web: dict[str, str], cache: str, source: str = REDIS) -> Release:
    return Release(
        id="20260102T030405.000Z-1a2b3c4",
        stack="notes",
        sha="1a2b3c4" + "0" * 33,
        dirty=False,
        created="2026-01-02T03:04:05Z",
        performer="me@here",
        previous=None,
        services={
            "web": ReleasedService(image=f"r/notes-web@{A}", content_key="0" * 64, starts_from=web),
            "cache": ReleasedService(image=cache, external=True, source=source),
        },
        compose={},
    )


def external(digest: str) -> dict[str, ReleasedService]:
    return {"cache": ReleasedService(image=f"redis@{digest}", external=True, source=REDIS)}


@pytest.mark.parametrize(
    ("current", "web", "cache"),
    [
        (release({PYTHON: A}, f"redis@{A}"), "moved", "moved"),
        (release({PYTHON: B}, f"redis@{B}"), "unchanged", "unchanged"),
        (release({}, REDIS), "unknown", "unknown"),
        (release({"python:3.11": A}, f"redis@{A}", source="redis:6"), "unknown", "unknown"),
        (None, "unknown", "unknown"),
    ],
)
def test_what_moved_is_told_from_the_release_that_runs(current: Release | None, web: str, cache: str) -> None:
    found = sources({"web": image({PYTHON: B})}, external(B), current)
    assert [(s.service, s.use, s.image, s.now, s.state) for s in found] == [
        ("cache", "image", REDIS, B, cache),
        ("web", "FROM", PYTHON, B, web),
    ]


def test_only_what_moved_or_is_not_known_is_a_reason() -> None:
    def source(service: str, use: str, was: str) -> Source:
        return Source(service=service, image="x:1", use=use, was=was, now=B)

    found = [source("a", "FROM", A), source("a", "FROM", B), source("b", "FROM", B), source("c", "FROM", "")]
    found += [source("d", "image", A), source("e", "image", "")]
    assert reasons(tuple(found)) == {
        "a": "FROM x:1 moved",
        "c": "not known to be built on x:1 as it is now",
        "d": "image x:1 moved",
    }


def test_what_a_service_started_from_is_no_part_of_what_a_release_is() -> None:
    assert release({PYTHON: A}, REDIS) == release({}, REDIS)


@pytest.mark.parametrize(
    ("starts_from", "pinned"),
    [
        (("python", "python"), ("python", f"docker-image://python@{A}")),
        (("docker.io/library/python:3", "docker.io/library/python:3"), ("python:3", f"docker-image://python@{A}")),
        (("r:5000/x/base:1", "r:5000/x/base:1"), ("r:5000/x/base:1", f"docker-image://r:5000/x/base@{A}")),
        (("base", "python:3"), ("base", f"docker-image://python@{A}")),
    ],
)
def test_a_bake_gets_the_very_digests_under_the_names_that_buildkit_looks_for(
    starts_from: tuple[str, str], pinned: tuple[str, str]
) -> None:
    definition = BuildDefinition(stack="s", service="w", context="/c", starts_from=(starts_from, ("alpine", "alpine")))
    assert pins(definition, {starts_from[1]: A}) == dict([pinned])
