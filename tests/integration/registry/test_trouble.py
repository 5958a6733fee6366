"""Trouble is never an absence."""

import email.utils
import time

import pytest

from tasks.adapters.registry import NotThere, RegistryClient
from tasks.adapters.retry import CouldNotAsk
from tasks.core.errors import OnevmError
from tests.integration.registries import (
    DOCKER_IMAGE,
    DOCKER_LIST,
    OCI_IMAGE,
    OCI_INDEX,
    Behaviour,
    Front,
    Handler,
    Pushed,
    cut,
    cut_in_the_body,
    error,
    flipped,
    forward,
    not_http,
    running_front,
    says,
    silent,
    trickle,
)
from tests.integration.registry.asking import HTML, Time

pytestmark = pytest.mark.engine


TROUBLE: dict[str, Behaviour] = {
    "too many requests": error(429, "TOOMANYREQUESTS"),
    "internal error": error(500, "UNKNOWN"),
    "bad gateway": says(502, HTML, "text/html"),
    "unavailable": says(503),
    "gateway time-out": says(504),
    "cut": cut,
    "cut in the body": cut_in_the_body,
    "another digest": flipped,
    "web page": says(200, HTML, "text/html"),
    "web page not found": says(404, HTML, "text/html"),
    "plain not found": says(404, "404 page not found", "text/plain"),
    "not found without a body": says(404),
    "not found in somebody else's JSON": says(404, '{"error": "MANIFEST_UNKNOWN"}'),
    "not found of something else": error(404, "UNKNOWN_ROUTE"),
    "wrong content type": says(200, '{"schemaVersion": 2, "config": {}}', "application/json"),
    "half a manifest": says(200, '{"schemaVersion"', OCI_IMAGE),
    "a manifest of nothing": says(200, "{}", OCI_IMAGE),
    "empty": says(200, "", OCI_IMAGE),
    "silence": silent,
    "trickle": trickle,
    "a redirect without end": lambda handler: handler.answer(307, {"Location": handler.path}, b""),
    "not HTTP": not_http,
}


# HEAD has no body that could be wrong.
OF_BODIES = ("cut in the body", "another digest")
# The registry's own word for something else: final, asking again would not change it.
FINAL = "not found of something else"
PASSING = sorted(set(TROUBLE) - {FINAL})


@pytest.mark.parametrize(
    ("method", "name"),
    [("get_manifest", name) for name in TROUBLE] + [("head", name) for name in TROUBLE if name not in OF_BODIES],
)
def test_lasting_trouble_is_an_error_and_never_an_absence(
    through: RegistryClient, front: Front, clock: Time, method: str, name: str
) -> None:
    front.always = TROUBLE[name]
    final = name == FINAL
    with pytest.raises(OnevmError if final else CouldNotAsk) as caught:
        getattr(through, method)("team/web", "1")
    assert not isinstance(caught.value, NotThere)
    text = str(caught.value)
    assert "team/web:1" in text
    assert front.host in text
    assert "next:" in text
    if not final:
        assert clock.pauses == [0.5, 1, 2]


@pytest.mark.parametrize("name", TROUBLE)
def test_passing_trouble_is_survived_by_a_look(through: RegistryClient, front: Front, image: Pushed, name: str) -> None:
    # Twice: the first meets HEAD, the second the GET that some of it leads to.
    front.script = [TROUBLE[name]] * 2
    if name == FINAL:
        front.script = front.script[:1]
    assert through.head("team/web", "1") == image.digest


@pytest.mark.parametrize("name", PASSING)
def test_passing_trouble_is_survived_by_a_get(through: RegistryClient, front: Front, image: Pushed, name: str) -> None:
    front.script = [TROUBLE[name]] * 2
    assert through.get_manifest("team/web", "1").content == image.content


@pytest.mark.parametrize("name", [name for name in PASSING if name != "another digest"])
def test_passing_trouble_is_survived_by_a_list_of_tags(
    through: RegistryClient, front: Front, image: Pushed, name: str
) -> None:
    del image
    front.script = [TROUBLE[name]]
    found = through.tags("team/web")
    shaped = name in ("wrong content type", "a manifest of nothing")
    assert found == (() if shaped else ("1",))


def test_an_absence_needs_the_registrys_own_word(through: RegistryClient, front: Front) -> None:
    assert through.head("team/web", "nope") is None
    assert [seen.method for seen in front.seen] == ["HEAD", "GET"]


def test_one_request_is_enough_for_what_is_there(through: RegistryClient, front: Front) -> None:
    assert through.head("team/web", "1")
    assert [seen.method for seen in front.seen] == ["HEAD"]
    assert set(front.seen[0].accept.split(", ")) == {OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_LIST}


def test_a_registry_that_is_down_is_an_error(clock: Time) -> None:
    with running_front() as front:
        gone = front.host
    with (
        RegistryClient(gone, patience=clock.patience()) as client,
        pytest.raises(CouldNotAsk, match=r"Connection refused \(4 times\)") as caught,
    ):
        client.head("team/web", "1")
    assert "next:" in str(caught.value)


def test_a_config_that_is_not_its_digest_is_not_believed(through: RegistryClient, front: Front, image: Pushed) -> None:
    def wrong_config(handler: Handler) -> None:
        (says(200, '{"config": {"Labels": {"a": "evil"}}}') if "/blobs/" in handler.path else forward)(handler)

    front.always = wrong_config
    with pytest.raises(CouldNotAsk, match="bytes that are not sha256"):
        through.labels("team/web", image.digest)


@pytest.mark.parametrize("behaviour", [says(201, "", Docker_Content_Digest="sha256:" + "1" * 64), says(201)])
def test_another_digest_after_a_put_is_an_error(through: RegistryClient, front: Front, behaviour: Behaviour) -> None:
    manifest = through.get_manifest("team/web", "1")
    front.script = [behaviour]
    with pytest.raises(OnevmError, match="instead of sha256"):
        through.put_manifest("team/web", "never", manifest)


@pytest.mark.parametrize("name", ["cut", "unavailable", "bad gateway", "too many requests", "web page not found"])
def test_passing_trouble_is_survived_by_a_put(through: RegistryClient, front: Front, image: Pushed, name: str) -> None:
    manifest = through.get_manifest("team/web", "1")
    front.script = [TROUBLE[name]]
    tag = "put-" + name.replace(" ", "-")
    assert through.put_manifest("team/web", tag, manifest) == image.digest


def test_a_put_that_the_registry_refuses_is_explained_in_its_words(client: RegistryClient, image: Pushed) -> None:
    del image
    manifest = client.get_manifest("team/web", "1")
    with pytest.raises(OnevmError, match="MANIFEST_BLOB_UNKNOWN"):
        client.put_manifest("team/without-its-blobs", "1", manifest)


# Waiting


def test_retry_after_is_honoured(through: RegistryClient, front: Front, clock: Time, image: Pushed) -> None:
    soon = email.utils.formatdate(time.time() + 9, usegmt=True)
    front.script = [error(429, "TOOMANYREQUESTS", Retry_After="7"), error(503, "UNKNOWN", Retry_After=soon)]
    assert through.head("team/web", "1") == image.digest
    assert clock.pauses[0] == 7
    assert 5 < clock.pauses[1] <= 9


def test_a_wait_past_the_limit_is_not_begun(through: RegistryClient, front: Front, clock: Time) -> None:
    front.always = error(429, "TOOMANYREQUESTS", Retry_After="3600")
    with pytest.raises(CouldNotAsk, match="3600 s"):
        through.head("team/web", "1")
    assert clock.pauses == []
