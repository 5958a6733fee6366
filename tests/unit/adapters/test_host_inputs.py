"""What Compose reads besides a release's own files; the script runs in this machine's own shell."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from tasks.adapters import host_inputs
from tasks.adapters.transport import Local

PROJECT = PurePosixPath("/srv/shop/project")


def read_there(text: str) -> tuple[str, ...]:
    return host_inputs.read_there({"compose.yaml": text.encode()}, ["compose.yaml"], PROJECT)


def test_the_files_are_those_that_services_name_and_the_projects_own() -> None:
    text = """
services:
  a: {env_file: a.env}
  b:
    env_file: [own/b.env, {path: /etc/b.env, required: false}]
    label_file: [labels]
  c: {image: c}
"""
    expected = ["/srv/shop/project/.env", "a.env", "own/b.env", "/etc/b.env", "labels"]
    assert read_there(text) == tuple(str(PROJECT / path) for path in expected)


def test_without_such_files_there_is_the_projects_own() -> None:
    assert read_there("services: {a: {image: a}}") == ("/srv/shop/project/.env",)


@pytest.mark.parametrize(
    "text",
    [
        "include: [other.yaml]",
        "services: {a: {extends: {service: b}}, b: {image: b}}",
        "services: {a: {env_file: '${WHERE}/a.env'}}",
        "services: {a: {env_file: ~/a.env}}",
        "services: {a: {env_file: {a: b}}}",
        "services: {a: {env_file: [}}",
        "x-env: &env {env_file: a.env}\nservices: {a: {image: a}}",
        "services: {a: {image: a, environment: {HERE: $PWD}}}",
        "services: {a: {image: a, environment: [SSH_CONNECTION]}}",
    ],
)
def test_what_cannot_be_told_from_the_files_is_not_remembered(text: str) -> None:
    assert read_there(text) == ()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder with a Compose plugin and two files, and an environment of its own."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("COLOUR", "red")
    plugin = tmp_path / "config" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("one")
    for name in ("a.env", "b.env"):
        (tmp_path / name).write_text(f"NAME={name}\n")
    return tmp_path


def asked(machine: Path) -> list[str]:
    """Return the hashes of two stacks: one reads the first file and one that is not there, the other the second."""
    return host_inputs.ask(Local(), [f"{machine}/a.env", f"{machine}/absent"], [f"{machine}/b.env"])


def test_it_is_the_same_as_long_as_nothing_changes(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asked(machine)
    assert all(before)
    assert len(set(before)) == 2
    monkeypatch.setenv("SSH_CONNECTION", "another")
    monkeypatch.setenv("XDG_SESSION_ID", "another")
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", "sh -c 'one\nanother'")
    monkeypatch.chdir(machine)
    assert asked(machine) == before


CHANGES: dict[str, tuple[Callable[[Path], object], list[bool]]] = {
    "a file of one": (lambda m: (m / "a.env").write_text("NAME=other\n"), [True, False]),
    "a file that comes": (lambda m: (m / "absent").write_text(""), [True, False]),
    "a file that goes": (lambda m: (m / "b.env").unlink(), [False, True]),
    "Compose": (lambda m: (m / "config/cli-plugins/docker-compose").write_text("three"), [True, True]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_whoever_reads_what_changes_gets_another(machine: Path, name: str) -> None:
    change, expected = CHANGES[name]
    before = asked(machine)
    change(machine)
    after = asked(machine)
    assert all(after)
    assert [old != new for old, new in zip(before, after, strict=True)] == expected


def test_a_variable_of_the_environment_counts_for_all(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asked(machine)
    monkeypatch.setenv("COLOUR", "blue")
    assert all(old != new for old, new in zip(before, asked(machine), strict=True))


def test_a_folder_in_place_of_a_file_cannot_be_told(machine: Path) -> None:
    (machine / "a.env").unlink()
    (machine / "a.env").mkdir()
    assert [bool(stamp) for stamp in asked(machine)] == [False, True]


def test_a_file_that_uses_a_variable_of_the_session_cannot_be_told(machine: Path) -> None:
    (machine / "a.env").write_text("HERE=$PWD\n")
    assert [bool(stamp) for stamp in asked(machine)] == [False, True]


def test_further_files_from_the_environment_cannot_be_told(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_ENV_FILES", "more.env")
    assert asked(machine) == ["", ""]


def test_a_shell_that_cannot_hash_says_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = machine / "programs"
    programs.mkdir()
    for name in ("sh", "env", "grep", "sort", "stat"):
        (programs / name).symlink_to(next(p for p in map(Path, (f"/bin/{name}", f"/usr/bin/{name}")) if p.exists()))
    monkeypatch.setenv("PATH", str(programs))
    assert asked(machine) == ["", ""]
