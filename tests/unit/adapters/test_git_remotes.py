"""What a checkout knows of its remote, and of the work tree around it."""

import subprocess
from pathlib import Path

import pytest

from tasks.adapters.git import Checkout

WHO = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main", "shop")
    return tmp_path / "shop"


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *WHO, *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "work")
    return git(folder, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("refs", "expected"),
    [
        ({}, "work"),
        ({"refs/remotes/origin/main": ""}, "main"),
        ({"refs/remotes/origin/master": ""}, "master"),
        (
            {"refs/remotes/origin/main": "", "refs/remotes/origin/trunk": "", "refs/remotes/origin/HEAD": "trunk"},
            "trunk",
        ),
    ],
)
def test_the_default_branch_is_the_remote_s(repository: Path, refs: dict[str, str], expected: str) -> None:
    sha = commit(repository)
    git(repository, "checkout", "-q", "-b", "work")
    for ref, target in refs.items():
        if target:
            git(repository, "symbolic-ref", ref, f"refs/remotes/origin/{target}")
        else:
            git(repository, "update-ref", ref, sha)
    assert Checkout(repository).default_branch == expected


def test_a_detached_head_without_a_remote_has_the_usual_default_branch(repository: Path) -> None:
    commit(repository)
    git(repository, "checkout", "-q", "--detach")
    assert Checkout(repository).default_branch == "main"


def test_a_submodule_of_a_submodule_knows_the_outermost_work_tree(repository: Path, tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("middle", "outer")]
    inner = repository
    commit(inner)
    for place in places:
        git(tmp_path, "init", "-q", str(place))
        git(place, "submodule", "--quiet", "add", str(inner), "sub")
        commit(place)
        inner = place
    git(places[1], "submodule", "--quiet", "update", "--init", "--recursive")
    assert Checkout(places[1] / "sub" / "sub").outermost.top == places[1]
    assert Checkout(places[1]).outermost.top == places[1]
