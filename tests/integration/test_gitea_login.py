"""A registry that asks for a login as Gitea does; behind it is a real one.

It has a Bearer challenge for everything (`scope="*"`), a Basic one beside it, and a token server below its own address:
https://github.com/go-gitea/gitea, routers/api/packages/container/container.go.
"""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tasks.adapters.login import login
from tasks.adapters.registry import RegistryClient
from tasks.core.errors import OnevmError
from tasks.core.model import Registry
from tests.integration.registries import (
    PASSWORD,
    USER,
    Front,
    Handler,
    error,
    forward,
    push_image,
    running_front,
    running_registry,
    says,
)

pytestmark = pytest.mark.engine

TOKEN = "a.token.of-gitea"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Gitea:
    """Answers as Gitea; `scopes` are those that tokens were asked for."""

    def __init__(self) -> None:
        self.scopes: list[str] = []

    def __call__(self, handler: Handler) -> None:
        where = urlsplit(handler.path)
        given = handler.headers.get("Authorization")
        if where.path == "/v2/token":
            self.scopes += parse_qs(where.query).get("scope", [""])
            answer = says(200, json.dumps({"token": TOKEN})) if given == BASIC else error(401, "UNAUTHORIZED")
            answer(handler)
        elif given in {f"Bearer {TOKEN}", BASIC}:
            forward(handler)
        else:
            self.challenge(handler)

    def challenge(self, handler: Handler) -> None:
        realm = f"http://{handler.server.front.host}/v2/token"
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="container_registry",scope="*"')
        handler.send_header("WWW-Authenticate", 'Basic realm="Gitea Container Registry"')
        handler.send_header("Content-Length", "0")
        handler.end_headers()


@pytest.fixture
def gitea(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with running_registry(tmp_path / "registry") as backend, running_front(backend) as front:
        push_image(backend, "team/notes-web", "1")
        front.always = Gitea()
        yield front


def settings(front: Front) -> Registry:
    return Registry(url=f"{front.host}/team", username=USER, password_env="REGISTRY_TOKEN")


def test_questions_are_asked_with_one_token_for_everything(gitea: Front) -> None:
    with RegistryClient.of(settings(gitea)) as client:
        assert client.head("team/notes-web", "1")
        assert client.head("team/notes-web", "2") is None
    assert isinstance(gitea.always, Gitea)
    assert set(gitea.always.scopes) == {"*"}


def test_docker_s_own_commands_have_the_login_of_the_run(gitea: Front) -> None:
    inspect = ["docker", "buildx", "imagetools", "inspect", f"{gitea.host}/team/notes-web:1"]
    assert subprocess.run(inspect, capture_output=True, timeout=60, check=False).returncode != 0
    with login(settings(gitea)) as environment:
        done = subprocess.run(inspect, env=os.environ | environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_wrong_token_is_named_and_taken_for_no_absence(gitea: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "another")
    with RegistryClient.of(settings(gitea)) as client, pytest.raises(OnevmError, match="refuses the login") as caught:
        client.head("team/notes-web", "1")
    assert "REGISTRY_TOKEN" in str(caught.value)
