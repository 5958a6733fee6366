"""Tokens: fetched, kept, fetched anew, shown to nobody else."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tasks.adapters.registry import RegistryClient
from tasks.adapters.retry import CouldNotAsk
from tasks.core.errors import OnevmError
from tests.integration.registries import (
    OCI_INDEX,
    PASSWORD,
    Behaviour,
    Front,
    Issuer,
    cut,
    error,
    running_front,
    running_registry,
    says,
)
from tests.integration.registry.asking import HTML, Time, docker_config, everything_about, settings

pytestmark = pytest.mark.engine


@dataclass
class Tokened:
    """A registry that wants bearer tokens, and the server that gives them."""

    host: str
    issuer: Issuer
    tokens: Front


@pytest.fixture(scope="module")
def tokened_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokened]:
    folder = tmp_path_factory.mktemp("tokened")
    issuer = Issuer(folder)
    with running_front() as tokens:
        tokens.always = issuer
        with running_registry(folder, issuer.configuration(tokens.host)) as host:
            yield Tokened(host, issuer, tokens)


@pytest.fixture
def tokened(tokened_once: Tokened) -> Tokened:
    tokened_once.issuer.asked.clear()
    tokened_once.tokens.script.clear()
    tokened_once.issuer.identity_token = ""
    tokened_once.issuer.public = frozenset()
    return tokened_once


MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []},
).encode()


def pushed_with_token(client: RegistryClient, repository: str) -> str:
    from tasks.core.manifest import Manifest, digest_of

    manifest = Manifest(content=MANIFEST, media_type=OCI_INDEX, digest=digest_of(MANIFEST))
    return client.put_manifest(repository, "1", manifest)


def test_a_token_is_fetched_per_scope_and_used_again(tokened: Tokened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with RegistryClient.of(settings(tokened.host)) as client:
        client.check()
        digest = pushed_with_token(client, "team/a")
        pushed_with_token(client, "team/b")
        for _ in range(3):
            assert client.head("team/a", "1") == digest
            assert client.head("team/b", "1") == digest
            assert client.head("team/a", "nope") is None
    scopes = [asked.get("scope", "") for asked in tokened.issuer.asked]
    assert len(scopes) == 5
    assert "repository:team/a:pull" in scopes
    assert {asked["service"] for asked in tokened.issuer.asked} == {"fixture"}


def test_an_expired_token_is_fetched_anew(tokened: Tokened, monkeypatch: pytest.MonkeyPatch, clock: Time) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with RegistryClient(tokened.host, settings(tokened.host), patience=clock.patience()) as client:
        pushed_with_token(client, "team/expiry")
        client.head("team/expiry", "1")
        before = len(tokened.issuer.asked)
        clock.now += tokened.issuer.lifetime
        client.head("team/expiry", "1")
    assert len(tokened.issuer.asked) == before + 1


def test_a_token_that_the_registry_no_longer_takes_is_fetched_anew(
    tokened: Tokened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with running_front(tokened.host) as front, RegistryClient(front.host, settings(front.host)) as client:
        pushed_with_token(client, "team/revoked")
        assert client.head("team/revoked", "1")
        challenge = (
            f'Bearer realm="http://{tokened.tokens.host}/token",service="fixture",'
            'scope="repository:team/revoked:pull",error="invalid_token"'
        )
        front.script = [error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)]
        assert client.head("team/revoked", "1")


def test_public_images_need_no_login(tokened: Tokened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with RegistryClient.of(settings(tokened.host)) as client:
        digest = pushed_with_token(client, "team/public")
    tokened.issuer.public = frozenset({"team/public"})
    with RegistryClient(tokened.host) as client:
        assert client.head("team/public", "1") == digest
        with pytest.raises(OnevmError, match="refuses anonymous access"):
            client.head("team/private", "1")
        with pytest.raises(OnevmError, match="refuses anonymous access"):
            pushed_with_token(client, "team/public2")


def test_a_password_the_token_server_refuses_is_explained(tokened: Tokened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "wr0ng-p4ssword")
    with (
        RegistryClient.of(settings(tokened.host)) as client,
        pytest.raises(OnevmError, match="refuses the login of ci") as caught,
    ):
        client.check()
    assert tokened.tokens.host in str(caught.value)
    assert "wr0ng" not in everything_about(caught)
    assert len(tokened.issuer.asked) == 1


def test_an_identity_token_is_exchanged_and_shown_to_nobody_else(tokened: Tokened) -> None:
    tokened.issuer.identity_token = "1dentity-t0ken"
    docker_config(auths={tokened.host: {"identitytoken": "1dentity-t0ken"}})
    with running_front(tokened.host) as front, RegistryClient(tokened.host) as client:
        pushed_with_token(client, "team/identity")
        assert client.head("team/identity", "1")
        assert all("1dentity" not in str(seen) for seen in front.seen)
    assert {asked["method"] for asked in tokened.issuer.asked} == {"POST"}


@pytest.mark.parametrize(
    "behaviour", [cut, says(503), says(200, HTML, "text/html"), says(200, "{}"), says(404, HTML, "text/html")]
)
def test_trouble_at_the_token_server_is_asked_again_and_no_absence(
    tokened: Tokened, monkeypatch: pytest.MonkeyPatch, clock: Time, behaviour: Behaviour
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with RegistryClient(tokened.host, settings(tokened.host), patience=clock.patience()) as client:
        tokened.tokens.script = [behaviour]
        assert client.head("team/never-pushed", "1") is None
        tokened.tokens.script = [behaviour] * 4
        with pytest.raises(CouldNotAsk):
            client.head("team/never-pushed-either", "1")


def test_a_token_server_without_tls_does_not_get_the_password(
    through: RegistryClient, front: Front, clock: Time
) -> None:
    front.always = error(401, "UNAUTHORIZED", WWW_Authenticate='Bearer realm="http://192.0.2.1/token"')
    with pytest.raises(OnevmError, match=r"192\.0\.2\.1"):
        through.check()
    assert clock.pauses == []


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Bearer service="x"', "Bearer realm=x", "Bearer"])
def test_a_challenge_that_cannot_be_met_is_explained(through: RegistryClient, front: Front, challenge: str) -> None:
    front.always = error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
    with pytest.raises(OnevmError, match="refuses anonymous access"):
        through.check()
    assert len(front.seen) == 1
