"""Registries, a front that misbehaves, and clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters.registry import RegistryClient
from tests.integration.registries import (
    Front,
    Pushed,
    push_image,
    running_front,
    running_registry,
)
from tests.integration.registry.asking import AUTH, Time


@pytest.fixture(autouse=True)
def _no_login_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.delenv("REGISTRY_TOKEN", raising=False)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("plain")) as host:
        yield host


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("guarded")
    more = f"auth: {{htpasswd: {{realm: fixture, path: {folder}/htpasswd}}}}\n"
    with running_registry(folder, more) as host:
        push_image(host, "team/web", "1", auth=AUTH)
        yield host


@pytest.fixture(scope="module")
def image(host: str) -> Pushed:
    return push_image(host, "team/web", "1", labels={"a": "b"})


@pytest.fixture
def client(host: str) -> Iterator[RegistryClient]:
    with RegistryClient(host) as client:
        yield client


@pytest.fixture
def front(host: str, image: Pushed) -> Iterator[Front]:
    del image
    with running_front(host) as front:
        yield front


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def through(front: Front, clock: Time) -> Iterator[RegistryClient]:
    with RegistryClient(front.host, patience=clock.patience(), read=0.4) as client:
        yield client
