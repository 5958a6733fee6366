"""The registry client: what is there, and what is not."""

import json

import pytest

from tasks.adapters.registry import DeletionForbidden, NotThere, RegistryClient
from tasks.adapters.retry import CouldNotAsk
from tasks.core.errors import OnevmError
from tasks.core.manifest import Platform
from tests.integration.registries import (
    DOCKER_IMAGE,
    DOCKER_LIST,
    OCI_IMAGE,
    OCI_INDEX,
    Behaviour,
    Front,
    Handler,
    Pushed,
    error,
    push_image,
    push_manifest,
    says,
)
from tests.integration.registry.asking import HTML

pytestmark = pytest.mark.engine


def test_head_gives_the_digest_of_a_tag_and_of_a_digest(client: RegistryClient, image: Pushed) -> None:
    assert client.head("team/web", "1") == image.digest
    assert client.head("team/web", image.digest) == image.digest


@pytest.mark.parametrize("reference", ["2", "sha256:" + "0" * 64])
@pytest.mark.parametrize("repository", ["team/web", "team/never-pushed"])
def test_what_was_never_pushed_is_absent(
    client: RegistryClient, image: Pushed, repository: str, reference: str
) -> None:
    del image
    assert client.head(repository, reference) is None
    with pytest.raises(NotThere, match=f"{client.host} has no {repository}"):
        client.get_manifest(repository, reference)


@pytest.mark.parametrize("media_type", [OCI_IMAGE, DOCKER_IMAGE])
def test_a_manifest_is_given_byte_for_byte(client: RegistryClient, host: str, media_type: str) -> None:
    pushed = push_image(host, "team/bytes", "1", media_type=media_type)
    manifest = client.get_manifest("team/bytes", "1")
    assert (manifest.content, manifest.media_type, manifest.digest) == (
        pushed.content,
        pushed.media_type,
        pushed.digest,
    )


def index_of(host: str, repository: str, *, media_type: str) -> Pushed:
    """An index as buildx makes it: attestations beside the platforms' images."""
    kind = OCI_IMAGE if media_type == OCI_INDEX else DOCKER_IMAGE
    attestation = push_image(host, repository, labels={"of": "attestation"}, media_type=kind)
    amd = push_image(host, repository, labels={"of": "amd64"}, media_type=kind)
    arm = push_image(host, repository, labels={"of": "arm64"}, media_type=kind)

    def entry(pushed: Pushed, os_name: str, architecture: str, **more: dict[str, str]) -> dict[str, object]:
        return {
            "mediaType": kind,
            "digest": pushed.digest,
            "size": len(pushed.content),
            "platform": {"os": os_name, "architecture": architecture},
            **more,
        }

    note = {"vnd.docker.reference.type": "attestation-manifest"}
    listed = [
        entry(attestation, "unknown", "unknown", annotations=note),
        entry(arm, "linux", "arm64"),
        entry(amd, "linux", "amd64"),
    ]
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": listed}
    return push_manifest(host, repository, "multi", document, media_type=media_type)


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_gives_the_labels_of_the_platform_and_never_of_an_attestation(
    client: RegistryClient, host: str, media_type: str
) -> None:
    repository = "team/multi-" + ("oci" if media_type == OCI_INDEX else "docker")
    index = index_of(host, repository, media_type=media_type)
    assert client.head(repository, "multi") == index.digest

    def label(architecture: str) -> str:
        config = client.image_config(repository, "multi", wanted=Platform(architecture=architecture))
        return str(config["config"]["Labels"]["of"])

    assert [label("amd64"), label("arm64"), label("s390x")] == ["amd64", "arm64", "amd64"]
    assert len(client.get_manifest(repository, "multi").children) == 3


def test_labels_of_an_image(client: RegistryClient, image: Pushed) -> None:
    assert client.labels("team/web", image.digest) == {"a": "b"}


@pytest.mark.parametrize("kind", ["image", "index"])
def test_the_same_bytes_under_a_new_tag_keep_the_digest(client: RegistryClient, host: str, kind: str) -> None:
    repository = f"team/retag-{kind}"
    pushed = (
        push_image(host, repository, "multi") if kind == "image" else index_of(host, repository, media_type=OCI_INDEX)
    )
    manifest = client.get_manifest(repository, "multi")
    assert client.put_manifest(repository, "latest", manifest) == pushed.digest
    assert client.head(repository, "latest") == pushed.digest
    assert sorted(client.tags(repository)) == ["latest", "multi"]


def test_tags_of_an_unknown_repository_are_none(client: RegistryClient) -> None:
    assert client.tags("team/never-pushed") == ()


def test_tags_come_from_every_page(through: RegistryClient, front: Front) -> None:
    def page(handler: Handler) -> None:
        second = "last=b" in handler.path
        # A proxy that does not know its outer name gives links with the inner one.
        link = {} if second else {"Link": '<http://inner.invalid:1/v2/team/web/tags/list?n=2&last=b>; rel="next"'}
        names = ["c"] if second else ["a", "b"]
        handler.answer(200, {"Content-Type": "application/json"} | link, json.dumps({"tags": names}).encode())

    front.always = page
    assert through.tags("team/web") == ("a", "b", "c")


def test_pages_in_a_circle_end(through: RegistryClient, front: Front) -> None:
    front.always = says(200, '{"tags": ["a"]}', Link='</v2/team/web/tags/list?last=a>; rel="next"')
    with pytest.raises(OnevmError, match="in a circle"):
        through.tags("team/web")
    assert len(front.seen) == 2


def test_deleting_takes_the_manifest_and_every_tag_on_it(client: RegistryClient, host: str) -> None:
    pushed = push_image(host, "team/gone", "1")
    client.put_manifest("team/gone", "2", client.get_manifest("team/gone", "1"))
    assert client.delete("team/gone", pushed.digest)
    assert client.head("team/gone", "1") is None
    assert client.head("team/gone", "2") is None
    assert not client.delete("team/gone", pushed.digest)


def test_a_tag_is_not_deleted(client: RegistryClient, image: Pushed) -> None:
    with pytest.raises(ValueError, match="1"):
        client.delete("team/web", "1")
    assert client.head("team/web", "1") == image.digest


@pytest.mark.parametrize("answer", [error(405, "UNSUPPORTED"), error(400, "UNSUPPORTED"), says(405, "")])
def test_a_registry_that_allows_no_deletion_says_how_to_mend_it(
    through: RegistryClient, front: Front, image: Pushed, answer: Behaviour
) -> None:
    front.always = answer
    with pytest.raises(DeletionForbidden, match="REGISTRY_STORAGE_DELETE_ENABLED"):
        through.delete("team/web", image.digest)
    assert len(front.seen) == 1


def test_check_accepts_a_registry(client: RegistryClient) -> None:
    client.check()


@pytest.mark.parametrize("behaviour", [says(200, HTML, "text/html"), says(404, HTML, "text/html")])
def test_check_refuses_what_is_no_registry(through: RegistryClient, front: Front, behaviour: Behaviour) -> None:
    front.always = behaviour
    with pytest.raises(CouldNotAsk, match="a web page: Sign in"):
        through.check()
