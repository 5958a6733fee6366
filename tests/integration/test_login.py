"""The login of one run, with the real docker command and a real registry that wants a password."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters.engine import Engine
from tasks.adapters.login import login
from tasks.adapters.registry import RegistryClient
from tasks.adapters.retry import CouldNotAsk, Patience
from tasks.adapters.temporary import PREFIX, sweep
from tasks.core.errors import OnevmError
from tasks.core.model import Registry
from tests.integration.registries import (
    PASSWORD,
    USER,
    error,
    push_image,
    running_front,
    running_registry,
    says,
)

pytestmark = pytest.mark.engine

QUICK = Patience(sleep=lambda _: None)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("guarded")
    more = f"auth: {{htpasswd: {{realm: fixture, path: {folder}/htpasswd}}}}\n"
    with running_registry(folder, more) as host:
        push_image(host, "team/web", "1", auth=(USER, PASSWORD))
        yield host


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, with a Docker folder, and a temporary folder of the test's own."""
    folder = tmp_path / "home/.docker"
    folder.mkdir(parents=True)
    place = tmp_path / "tmp"
    place.mkdir()
    for name in ("DOCKER_CONFIG", "BUILDX_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    return folder


def settings(host: str) -> Registry:
    return Registry(url=f"{host}/team", username=USER, password_env="REGISTRY_TOKEN")


def left() -> list[str]:
    return [name.name for name in Path(tempfile.gettempdir()).iterdir() if PREFIX in name.name]


def docker(*args: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"BUILDX_BAKE_ENTITLEMENTS_FS": "0"} | env
    return subprocess.run(["docker", *args], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_docker_commands_of_the_run_are_logged_in(guarded: str) -> None:
    inspect = ("buildx", "imagetools", "inspect", f"{guarded}/team/web:1")
    assert docker(*inspect, env={}).returncode != 0
    with login(settings(guarded)) as environment:
        found = docker(*inspect, env=dict(environment))
        assert found.returncode == 0, found.stderr
    assert docker(*inspect, env=dict(environment)).returncode != 0


def bake(host: str, name: str, folder: Path) -> None:
    """Bake an image of one file, and push it, with the login of a run."""
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    file = folder / "bake.json"
    file.write_text(json.dumps({"target": {"default": {"context": str(folder), "tags": [name]}}}))
    with login(settings(host)) as environment:
        done = docker("buildx", "bake", "--push", "-f", str(file), env=dict(environment))
    assert done.returncode == 0, done.stderr


def test_a_bake_of_the_run_can_push(guarded: str, tmp_path: Path) -> None:
    name = f"{guarded}/team/pushed:1"
    try:
        bake(guarded, name, tmp_path)
        with RegistryClient.of(settings(guarded)) as client:
            assert client.head("team/pushed", "1")
    finally:
        docker("image", "rm", "--force", name, env={})


@pytest.fixture
def pushed(guarded: str, tmp_path: Path) -> Iterator[str]:
    """Give the name of an image in the registry, which this machine's engine has not."""
    name = f"{guarded}/team/to-pull:1"
    bake(guarded, name, tmp_path)
    docker("image", "rm", "--force", name, env={})
    yield name
    docker("image", "rm", "--force", name, env={})


def test_the_engine_pulls_with_the_login_of_the_run(guarded: str, pushed: str) -> None:
    with pytest.raises(OnevmError, match="docker pull"):
        Engine().pull(pushed, {})
    with login(settings(guarded)) as environment:
        Engine().pull(pushed, environment)
    assert Engine().image(pushed)


@pytest.mark.parametrize("helper", [False, True])
def test_the_engine_pulls_with_the_users_own_login(guarded: str, pushed: str, user: Path, helper: bool) -> None:
    if helper:
        program = user / "docker-credential-fixture"
        answer = json.dumps({"ServerURL": guarded, "Username": USER, "Secret": PASSWORD})
        program.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{answer}'\n")
        program.chmod(0o755)
        (user / "config.json").write_text(json.dumps({"credHelpers": {guarded: "fixture"}}))
        path = f"{user}:{os.environ['PATH']}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", path)
            Engine().pull(pushed, {})
    else:
        told = subprocess.run(
            ["docker", "login", "--username", USER, "--password-stdin", guarded],
            input=PASSWORD,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr
        Engine().pull(pushed, {})
    assert Engine().image(pushed)


def test_the_folder_is_private_and_goes_away(guarded: str) -> None:
    with login(settings(guarded)) as environment:
        folder = Path(environment["DOCKER_CONFIG"])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o600
        assert left() == [folder.name]
    assert left() == []


@pytest.mark.parametrize("leaving", [RuntimeError("x"), SystemExit(143), KeyboardInterrupt()])
def test_the_folder_goes_away_however_the_run_ends(guarded: str, leaving: BaseException) -> None:
    with pytest.raises(type(leaving)), login(settings(guarded)):
        raise leaving
    assert left() == []


HOLDER = """
import signal, sys
from tasks.adapters.login import login
from tasks.adapters.temporary import PREFIX, sweep
from tasks.core.model import Registry
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
with login(Registry(url=sys.argv[1], username=sys.argv[2], password_env="REGISTRY_TOKEN")):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_run(guarded: str) -> Iterator[subprocess.Popen[str]]:
    """Another run that is logged in right now."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, f"{guarded}/team", USER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout
        assert child.stdout.readline() == "in\n"
        yield child
        child.kill()


def test_a_terminated_run_leaves_nothing(other_run: subprocess.Popen[str]) -> None:
    assert len(left()) == 1
    other_run.send_signal(signal.SIGTERM)
    assert other_run.wait(20) == 143
    assert left() == []


def test_what_a_killed_run_leaves_goes_with_the_next(other_run: subprocess.Popen[str], guarded: str) -> None:
    other_run.kill()
    other_run.wait(20)
    assert len(left()) == 1
    with login(Registry(url=guarded)):
        assert left() == []


def test_a_run_that_lives_keeps_its_folder(other_run: subprocess.Popen[str]) -> None:
    assert other_run.poll() is None
    sweep()
    assert len(left()) == 1


def test_a_link_in_the_temporary_folder_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (Path(tempfile.gettempdir()) / f"{PREFIX}link").symlink_to(precious)
    sweep()
    assert [found.name for found in precious.iterdir()] == ["file"]


def test_the_users_config_keeps_working_and_stays_as_it_is(guarded: str, user: Path) -> None:
    config = {
        "auths": {"other.example.com": {"auth": "eDp5"}, guarded: {"auth": "b2xkOm9sZA=="}},
        "credHelpers": {"ghcr.io": "some", guarded: "missing"},
        "credsStore": "missing",
        "proxies": {"default": {"noProxy": "127.0.0.1"}},
    }
    text = json.dumps(config)
    (user / "config.json").write_text(text)
    (user / "cli-plugins").mkdir()
    (user / "cli-plugins/docker-x").touch()
    with login(settings(guarded)) as environment:
        folder = Path(environment["DOCKER_CONFIG"])
        found = json.loads((folder / "config.json").read_text())
        assert found["proxies"] == config["proxies"]
        assert found["credsStore"] == "missing"
        assert found["credHelpers"]["ghcr.io"] == "some"
        assert found["auths"]["other.example.com"] == {"auth": "eDp5"}
        assert found["auths"][guarded]["auth"] != "b2xkOm9sZA=="
        assert (folder / "cli-plugins/docker-x").exists()
        assert environment["BUILDX_CONFIG"] == str(user / "buildx")
    assert (user / "config.json").read_text() == text
    assert (user / "cli-plugins/docker-x").exists()


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_the_users_credential_store_never_gets_the_password(
    guarded: str, user: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    program = tmp_path / "docker-credential-fixture"
    program.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\ncat >>{tmp_path}/asked\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    store = "fixture" if key == "credsStore" else {guarded: "fixture"}
    (user / "config.json").write_text(json.dumps({key: store}))
    with login(settings(guarded)) as environment:
        inspect = ("buildx", "imagetools", "inspect", f"{guarded}/team/web:1")
        found = docker(*inspect, env=dict(environment))
        assert found.returncode == 0, found.stderr
    asked = tmp_path / "asked"
    assert PASSWORD not in (asked.read_text() if asked.exists() else "")
    assert "store" not in (asked.read_text() if asked.exists() else "")


def test_the_password_is_on_no_command_line_and_in_no_environment(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.run(["which", "docker"], capture_output=True, text=True, check=True).stdout.strip()
    recorder = tmp_path / "docker"
    recorder.write_text(f'#!/bin/sh\necho "$0 $@" >>{tmp_path}/seen\nexec {real} "$@"\n')
    recorder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with login(settings(guarded)) as environment:
        assert PASSWORD not in str(dict(environment))
    seen = (tmp_path / "seen").read_text()
    assert seen.count("login") == 1
    assert "--password-stdin" in seen
    assert PASSWORD not in seen


def test_without_a_user_name_the_users_own_config_is_used(guarded: str) -> None:
    with login(Registry(url=guarded)) as environment:
        assert environment == {}
        assert left() == []


def test_a_missing_variable_is_named_with_exit_code_3(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REGISTRY_TOKEN")
    with pytest.raises(OnevmError, match=r"\$REGISTRY_TOKEN is not set") as caught, login(settings(guarded)):
        pass
    assert caught.value.exit_code == 3
    assert left() == []


def test_a_refused_login_names_registry_user_and_next_step(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "wr0ng-p4ssword")
    slept: list[float] = []
    with pytest.raises(OnevmError) as caught, login(settings(guarded), patience=Patience(sleep=slept.append)):
        pass
    text = str(caught.value)
    assert f"{guarded} refuses the login of {USER} (from $REGISTRY_TOKEN)" in text
    assert "unauthorized" in text.lower()
    assert "next: check registry.username" in text
    assert "wr0ng" not in "".join(traceback.format_exception(caught.value))
    assert slept == []
    assert left() == []


def test_passing_trouble_is_survived(guarded: str) -> None:
    with running_front(guarded) as front:
        front.script = [says(503), error(500, "UNKNOWN")]
        with login(settings(front.host), patience=QUICK) as environment:
            assert front.host in (Path(environment["DOCKER_CONFIG"]) / "config.json").read_text()


def test_lasting_trouble_is_not_taken_for_a_refusal() -> None:
    with running_front() as front:
        front.always = says(503)
        expected = pytest.raises(CouldNotAsk, match=f"docker login {front.host} as {USER}")
        with expected, login(settings(front.host), patience=QUICK):
            pass
    assert left() == []
