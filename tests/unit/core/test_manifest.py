"""Which image of an index is meant."""

import json
from typing import Any

import pytest

from tasks.core.manifest import INDEX_TYPES, MANIFEST_TYPES, Manifest, Platform, digest_of

AMD, ARM64, ARM = (
    {"digest": name, "platform": {"os": "linux", "architecture": architecture} | more}
    for name, architecture, more in (
        ("amd", "amd64", {}),
        ("arm64", "arm64", {"variant": "v8"}),
        ("arm", "arm", {"variant": "v7"}),
    )
)
NOTE = {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}
BY_ANNOTATION = NOTE | {"digest": "note", "platform": {"os": "linux", "architecture": "amd64"}}
BY_PLATFORM = {"digest": "note", "platform": {"os": "unknown", "architecture": "unknown"}}
BARE = {"digest": "bare"}


def index(*children: dict[str, Any]) -> Manifest:
    content = json.dumps({"schemaVersion": 2, "manifests": children}).encode()
    return Manifest(content=content, media_type=INDEX_TYPES[0], digest=digest_of(content))


@pytest.mark.parametrize(
    ("children", "architecture", "digest"),
    [
        ((BY_ANNOTATION, BY_PLATFORM, ARM64, AMD), "amd64", "amd"),
        ((AMD, ARM64), "arm64", "arm64"),
        ((ARM64, AMD), "s390x", "amd"),
        ((BY_ANNOTATION, ARM64), "amd64", "arm64"),
        ((BARE,), "amd64", "bare"),
        ((BY_ANNOTATION, BY_PLATFORM), "amd64", None),
        ((), "amd64", None),
    ],
)
def test_a_platform_gets_its_image_and_never_an_attestation(
    children: tuple[dict[str, Any], ...], architecture: str, digest: str | None
) -> None:
    assert index(*children).child_for(Platform(architecture=architecture)) == digest


def test_the_variant_decides_between_images_of_one_architecture() -> None:
    sixth = {"digest": "v6", "platform": {"os": "linux", "architecture": "arm", "variant": "v6"}}
    both = index(sixth, ARM)
    assert both.child_for(Platform(architecture="arm", variant="v7")) == "arm"
    assert both.child_for(Platform(architecture="arm", variant="v6")) == "v6"


def test_attestations_are_children_too() -> None:
    assert index(BY_ANNOTATION, AMD).children == ("note", "amd")


def test_a_digest_is_made_by_the_algorithm_of_the_one_it_is_compared_with() -> None:
    assert digest_of(b"").startswith("sha256:e3b0c442")
    assert digest_of(b"", like="sha512:…").startswith("sha512:cf83e135")


def test_what_an_image_consists_of_has_its_size_and_what_an_index_lists_does_not() -> None:
    content = json.dumps(
        {"config": {"digest": "sha256:c", "size": 7}, "layers": [{"digest": "sha256:l", "size": 70}, {"size": 1}]}
    ).encode()
    image = Manifest(content=content, media_type=MANIFEST_TYPES[0], digest=digest_of(content))
    assert image.blobs == {image.digest: len(content), "sha256:c": 7, "sha256:l": 70}
    assert list(index(AMD).blobs) == [index(AMD).digest]
