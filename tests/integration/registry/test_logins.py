"""Logins: of services.toml, of Docker, of a credential helper."""

import base64
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.adapters.registry import RegistryClient
from tasks.core.errors import OnevmError
from tests.integration.registries import (
    PASSWORD,
    USER,
    Front,
    Pushed,
    error,
    running_front,
)
from tests.integration.registry.asking import Time, docker_config, everything_about, settings

pytestmark = pytest.mark.engine


def test_the_password_of_the_named_variable_is_used(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD + "\n")
    with RegistryClient.of(settings(guarded)) as client:
        client.check()
        assert client.head("team/web", "1")
        assert client.head("team/web", "nope") is None


def test_a_missing_variable_is_named_with_exit_code_3(guarded: str) -> None:
    with RegistryClient.of(settings(guarded)) as client:
        asks: tuple[Callable[[], object], ...] = (client.check, lambda: client.head("team/web", "1"))
        for ask in asks:
            with pytest.raises(OnevmError, match=r"\$REGISTRY_TOKEN is not set") as caught:
                ask()
            assert caught.value.exit_code == 3


def test_a_refused_password_is_explained_once_and_not_shown(
    guarded: str, monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "wr0ng-p4ssword")
    with running_front(guarded) as front:
        with (
            RegistryClient(front.host, settings(front.host), patience=clock.patience()) as client,
            pytest.raises(OnevmError) as caught,
        ):
            client.head("team/web", "1")
        assert len(front.seen) == 2
    text = str(caught.value)
    assert f"{front.host} refuses the login of ci (from $REGISTRY_TOKEN)" in text
    assert "next: check registry.username" in text
    assert "wr0ng" not in everything_about(caught)
    assert base64.b64encode(b"ci:wr0ng-p4ssword").decode() not in everything_about(caught)
    assert clock.pauses == []


def test_no_login_where_one_is_wanted_says_how_to_log_in(guarded: str) -> None:
    with (
        RegistryClient(guarded) as client,
        pytest.raises(OnevmError, match="refuses anonymous access") as caught,
    ):
        client.head("team/web", "1")
    assert f"docker login {guarded}" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_no_absence_and_not_asked_again(
    through: RegistryClient, front: Front, clock: Time, status: int
) -> None:
    front.always = error(status, "DENIED")
    asks: list[Callable[[], object]] = [
        lambda: through.head("team/web", "1"),
        lambda: through.tags("team/web"),
        through.check,
    ]
    for ask in asks:
        with pytest.raises(OnevmError, match="refuses"):
            ask()
    assert clock.pauses == []


def test_a_password_that_the_server_repeats_is_masked(
    guarded: str, monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with (
        running_front(guarded) as front,
        RegistryClient(front.host, settings(front.host), patience=clock.patience()) as client,
    ):
        assert client.head("team/web", "1")
        for status in (403, 500):
            front.always = error(status, f"no {PASSWORD} no {basic} {'x' * 350} {PASSWORD} {'x' * 1000}")
            with pytest.raises(OnevmError) as caught:
                client.get_manifest("team/web", "1")
            assert "no *** no ***" in str(caught.value)
            assert PASSWORD[:9] not in everything_about(caught)
            assert len(str(caught.value)) < 1000
            assert basic not in everything_about(caught)


def test_dockers_own_login_is_used(guarded: str) -> None:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    docker_config(auths={f"https://{guarded}/v1/": {"auth": auth}})
    with RegistryClient(guarded) as client:
        assert client.head("team/web", "1")


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_dockers_credential_helper_is_asked(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    helper(
        tmp_path, monkeypatch, f'read host; echo "$host" >{tmp_path}/asked; echo \'{{"Username": "{USER}",'
        f' "Secret": "{PASSWORD}"}}\'',
    )  # fmt: skip
    docker_config(**{key: "fixture" if key == "credsStore" else {guarded: "fixture"}})
    with RegistryClient(guarded) as client:
        assert client.head("team/web", "1")
    assert (tmp_path / "asked").read_text() == f"{guarded}\n"


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "docker-credential-fixture"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_helper_without_this_login_leaves_it_anonymous(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    docker_config(credsStore="fixture")
    with RegistryClient(guarded) as client, pytest.raises(OnevmError, match="anonymous"):
        client.head("team/web", "1")


@pytest.mark.parametrize("script", [None, "echo keychain is locked >&2; exit 1", "echo nonsense"])
def test_a_helper_that_fails_is_named(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    if script:
        helper(tmp_path, monkeypatch, script)
    docker_config(credsStore="fixture")
    with RegistryClient(guarded) as client, pytest.raises(OnevmError, match="docker-credential-fixture") as caught:
        client.head("team/web", "1")
    assert "next:" in str(caught.value)


def test_a_registry_that_asks_for_nothing_is_given_nothing(host: str, image: Pushed) -> None:
    docker_config(credsStore="a-helper-that-is-not-installed")
    with RegistryClient(host) as client:
        assert client.head("team/web", "1") == image.digest


def test_a_broken_docker_config_is_named_without_its_content(guarded: str) -> None:
    docker_config()
    (Path.home() / ".docker/config.json").write_text('{"auths": {"x": {"auth": "c2VjcmV0" "}}')
    with RegistryClient(guarded) as client, pytest.raises(OnevmError, match=r"config\.json") as caught:
        client.head("team/web", "1")
    assert "c2VjcmV0" not in everything_about(caught)
