"""Why a service is stale, with real repositories."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.core.build import BuildDefinition
from tasks.core.contents import ReadEveryTime
from tasks.core.model import Stack
from tasks.core.release import ReleasedService
from tasks.steps.inputs import Sources
from tasks.steps.why import stale


@pytest.fixture
def shop(tmp_path: Path, plain_git: None) -> Path:
    del plain_git
    path = tmp_path / "shop"
    path.mkdir()
    git(path, "init", "-q")
    return path


def git(path: Path, *args: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", *identity, *args], cwd=path, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(path: Path, **files: str) -> str:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git(path, "add", "-A")
    git(path, "commit", "-q", "--allow-empty", "-m", "work")
    return git(path, "rev-parse", "HEAD")


def start(shop: Path) -> str:
    return commit(shop, **{"web/Dockerfile": "FROM scratch", "web/app.py": "1", "web/lib.py": "1", "README": "1"})


def sources(shop: Path, **more: str) -> Sources:
    web = BuildDefinition(
        stack="shop",
        service="web",
        context=str(shop / "web"),
        dockerfile=shop / "web" / "Dockerfile",
        args=tuple(more.items()),
    )
    base = replace(web, service="base", context=str(shop / "base"), dockerfile=shop / "base" / "Dockerfile", args=())
    app = replace(web, service="app", contexts=(("base", "target:base"),), bases=("base",))
    stack = Stack(name="shop", path=shop, compose=("compose.yaml",), host="local")
    return Sources(stack, {"web": web, "base": base, "app": app}, ReadEveryTime())


def released(revision: str, key: str = "another") -> ReleasedService:
    return ReleasedService(image="r/shop-web@sha256:00", content_key=key, revision=revision)


def reason(shop: Path, known: ReleasedService | None, **more: str) -> str:
    found = sources(shop, **more)
    return stale(found, found.keyed("web"), known)


def test_a_service_that_never_ran_was_never_deployed(shop: Path) -> None:
    start(shop)
    assert reason(shop, None) == "never deployed"
    assert reason(shop, ReleasedService(image="redis@sha256:00", external=True)) == "never deployed"


def test_the_image_that_runs_may_be_gone_from_the_registry(shop: Path) -> None:
    sha = start(shop)
    key = sources(shop).keyed("web").key
    assert reason(shop, released(sha, key)) == "its image is in no registry"


def test_changed_inputs_are_named_and_other_files_are_not(shop: Path) -> None:
    sha = start(shop)
    commit(shop, **{"web/app.py": "2", "README": "2", "new/file": "1"})
    assert reason(shop, released(sha)) == "web/app.py changed"


def test_a_few_are_named_and_the_rest_counted(shop: Path) -> None:
    sha = start(shop)
    commit(shop, **{f"web/{name}": "2" for name in "edcba"})
    assert reason(shop, released(sha)) == "web/a, web/b, web/c and 2 more changed"


def test_uncommitted_changes_count(shop: Path) -> None:
    sha = start(shop)
    (shop / "web" / "app.py").write_text("2")
    (shop / "web" / "untracked").touch()
    (shop / "README").write_text("2")
    assert reason(shop, released(sha)) == "web/app.py, web/untracked changed"


def test_a_removed_file_is_a_change(shop: Path) -> None:
    sha = start(shop)
    (shop / "web" / "lib.py").unlink()
    assert reason(shop, released(sha)) == "web/lib.py changed"
    commit(shop)
    assert reason(shop, released(sha)) == "web/lib.py changed"


def test_another_build_definition_without_a_changed_file_is_said_to_be_one(shop: Path) -> None:
    sha = start(shop)
    commit(shop, README="2")
    assert reason(shop, released(sha), ARG="x") == "its build definition changed"


def test_a_removed_file_that_was_no_input_is_not_named(shop: Path) -> None:
    sha = start(shop)
    (shop / "README").unlink()
    commit(shop)
    assert reason(shop, released(sha), ARG="x") == "its build definition changed"


def test_a_commit_that_is_not_here_is_named(shop: Path) -> None:
    start(shop)
    unknown = "0123456" + "0" * 33
    assert reason(shop, released(unknown)) == (
        "changed files unknown: commit 0123456, from which it runs, is not in this clone"
    )
    assert reason(shop, released("")) == "changed files unknown: from an unknown commit"


def test_what_is_uncommitted_is_named_even_then(shop: Path) -> None:
    start(shop)
    (shop / "web" / "app.py").write_text("2")
    assert reason(shop, released("0" * 40)) == "web/app.py changed"


def test_changed_inputs_of_a_base_are_named(shop: Path) -> None:
    start(shop)
    sha = commit(shop, **{"base/Dockerfile": "FROM scratch", "base/old": "1"})
    (shop / "base" / "old").unlink()
    commit(shop, **{"base/Dockerfile": "FROM scratch\n"})
    found = sources(shop)
    assert stale(found, found.keyed("app"), released(sha)) == "base/Dockerfile, base/old changed"
    assert stale(found, found.keyed("web"), released(sha)) == "its build definition changed"
