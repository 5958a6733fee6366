"""Why a service is stale, with real repositories."""

import subprocess
from pathlib import Path

import pytest

from tasks.core.build import BuildDefinition
from tasks.core.contents import ReadEveryTime
from tasks.core.model import Stack
from tasks.core.release import ReleasedService
from tasks.core.values import replace
from tasks.steps.inputs import Sources
from tasks.steps.why import Cause, stale


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


def cause(shop: Path, known: ReleasedService | None, *, service: str = "web", **more: str) -> Cause:
    found = sources(shop, **more)
    return stale(found, found.keyed(service), known, (known.revision,) if known and known.revision else ())


def reason(shop: Path, known: ReleasedService | None, *, service: str = "web", **more: str) -> str:
    return cause(shop, known, service=service, **more).text


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


def test_changed_inputs_of_a_base_are_named(shop: Path) -> None:
    start(shop)
    sha = commit(shop, **{"base/Dockerfile": "FROM scratch", "base/old": "1"})
    (shop / "base" / "old").unlink()
    commit(shop, **{"base/Dockerfile": "FROM scratch\n"})
    assert reason(shop, released(sha), service="app") == "base/Dockerfile, base/old changed"
    assert reason(shop, released(sha)) == "its build definition changed"


# What cannot be told is said


def test_the_changed_files_are_all_given_with_the_commit_they_were_compared_with(shop: Path) -> None:
    sha = start(shop)
    commit(shop, **{f"web/{name}": "2" for name in "edcba"})
    found = cause(shop, released(sha))
    assert (found.since, found.files, found.unknown) == (sha, tuple(f"web/{name}" for name in "abcde"), "")


def test_a_commit_that_is_nowhere_is_named_and_nothing_is_claimed(shop: Path) -> None:
    start(shop)
    unknown = "0123456" + "0" * 33
    found = cause(shop, released(unknown))
    assert found.text == (
        "changed files unknown: commit 0123456, from which it runs, is not in this clone, "
        "and it has no remote to fetch it from"
    )
    assert (found.since, found.files) == ("", ())
    assert found.unknown in found.text
    assert reason(shop, released("")) == "changed files unknown: it runs from an unknown commit"
    assert "not a full commit" in reason(shop, released("--upload-pack=touch x"))


def test_what_is_uncommitted_is_named_even_then(shop: Path) -> None:
    start(shop)
    (shop / "web" / "app.py").write_text("2")
    found = cause(shop, released("0" * 40))
    assert found.text.startswith("web/app.py changed; changed files unknown: ")
    assert found.files == ("web/app.py",)


def shallow(shop: Path, *more: str) -> Path:
    """Return a clone of the newest commit alone."""
    clone = shop.parent / "clone"
    git(shop, "clone", "-q", "--depth=1", *more, f"file://{shop}", str(clone))
    return clone


def test_a_shallow_clone_fetches_the_commit_that_runs_alone(shop: Path) -> None:
    sha = start(shop)
    commit(shop, README="2")
    commit(shop, **{"web/app.py": "2", "README": "3"})
    clone = shallow(shop)
    before = git(clone, "for-each-ref"), git(clone, "log", "--format=%H"), git(clone, "status", "--porcelain")
    assert cause(clone, released(sha)) == Cause(text="web/app.py changed", since=sha, files=("web/app.py",))
    assert (git(clone, "for-each-ref"), git(clone, "log", "--format=%H"), git(clone, "status", "--porcelain")) == before
    # Of three commits two are there now.
    assert git(clone, "rev-list", "--all", sha, "--count") == "2"
    # Once had, it is not asked for again.
    git(clone, "remote", "set-url", "origin", "file:///nowhere")
    assert reason(clone, released(sha)) == "web/app.py changed"


def test_a_commit_that_the_remote_has_not_either_is_unknown(shop: Path) -> None:
    start(shop)
    clone = shallow(shop)
    gone = "0123456" + "0" * 33
    assert "0123456, from which it runs, is not in this clone, and origin does not give it" in reason(
        clone, released(gone)
    )
    git(clone, "remote", "set-url", "origin", "file:///nowhere")
    assert "origin does not give it: '/nowhere' does not appear to be a git repository" in (
        reason(clone, released(gone))
    )


def test_a_whole_clone_stays_whole_when_it_fetches(shop: Path) -> None:
    first = start(shop)
    clone = shop.parent / "clone"
    git(shop, "clone", "-q", str(shop), str(clone))
    newer = commit(shop, **{"web/app.py": "2"})
    assert reason(clone, released(newer)) == "web/app.py changed"
    assert git(clone, "rev-parse", "--is-shallow-repository") == "false"
    assert git(clone, "rev-list", newer, "--count") == "2"
    assert git(clone, "rev-parse", "HEAD") == first


def test_the_surest_commit_is_taken_before_one_must_be_fetched(shop: Path) -> None:
    start(shop)
    sha = commit(shop, **{"web/app.py": "2"})
    found = sources(shop)
    assert stale(found, found.keyed("web"), released("0" * 40), (sha, "0" * 40)).since == sha
    assert stale(found, found.keyed("web"), released("0" * 40), ("0" * 40, sha)).since == sha


def test_what_runs_uncommitted_is_said(shop: Path) -> None:
    sha = start(shop)
    assert reason(shop, released(f"{sha}-dirty")) == f"it runs uncommitted changes to {sha[:7]}"
    commit(shop, **{"web/app.py": "2"})
    assert reason(shop, released(f"{sha}-dirty")) == f"web/app.py changed; it runs uncommitted changes to {sha[:7]}"


def test_a_file_that_git_ignores_may_be_the_cause(shop: Path) -> None:
    (shop / ".gitignore").write_text("*.log\ncache/\n")
    sha = start(shop)
    (shop / "x.log").touch()
    assert reason(shop, released(sha)) == "its build definition changed"
    (shop / "web" / "x.log").touch()
    (shop / "web" / "cache").mkdir()
    (shop / "web" / "cache" / "y").touch()
    assert reason(shop, released(sha)) == (
        "its build definition changed, or what git does not track did: web/cache, web/x.log"
    )


def test_the_repository_itself_may_be_the_cause(shop: Path) -> None:
    sha = start(shop)
    found = of_shared(with_input(shop, shop), released(sha))
    assert found.text == "its build definition changed, or what git does not track did: .git"


def test_an_edited_compose_file_is_named_with_the_definition(shop: Path) -> None:
    sha = start(shop)
    commit(shop, **{"compose.yaml": "services: {}"})
    assert reason(shop, released(sha), ARG="x") == "its build definition changed (compose.yaml)"


# Inputs in other repositories


def beside(shop: Path, name: str = "shared") -> Path:
    path = shop.parent / name
    path.mkdir()
    git(path, "init", "-q")
    return path


def with_input(shop: Path, *paths: Path) -> Sources:
    web = sources(shop).keyed("web").definition
    stack = Stack(name="shop", path=shop, compose=("compose.yaml",), host="local")
    return Sources(stack, {"web": replace(web, inputs=paths)}, ReadEveryTime())


def of_shared(found: Sources, known: ReleasedService) -> Cause:
    return stale(found, found.keyed("web"), known, (known.revision,))


def test_a_changed_input_in_another_repository_is_named(shop: Path) -> None:
    sha, shared = start(shop), beside(shop)
    before = commit(shared, **{"lib/code.py": "1", "lib/old.py": "1", "other/x": "1"})
    found = with_input(shop, shared / "lib")
    assert found.commits(found.keyed("web")) == {"../shared": before}
    known = replace(released(sha), inputs={"../shared": before})
    (shared / "lib" / "old.py").unlink()
    commit(shared, **{"lib/code.py": "2", "other/x": "2"})
    assert of_shared(with_input(shop, shared / "lib"), known) == Cause(
        text="../shared/lib/code.py, ../shared/lib/old.py changed",
        since=sha,
        files=("../shared/lib/code.py", "../shared/lib/old.py"),
    )


def test_an_uncommitted_input_in_another_repository_is_uncommitted(shop: Path) -> None:
    start(shop)
    shared = beside(shop)
    commit(shared, **{"lib/code.py": "1", "other/x": "1"})
    (shared / "other" / "x").write_text("2")
    assert with_input(shop, shared / "lib").keyed("web").uncommitted == ()
    (shared / "lib" / "code.py").write_text("2")
    (shared / "lib" / "new.py").write_text("2")
    found = with_input(shop, shared / "lib")
    assert found.keyed("web").uncommitted == ("../shared/lib/code.py", "../shared/lib/new.py")


def test_another_repository_that_the_release_does_not_know_is_unknown(shop: Path) -> None:
    sha, shared = start(shop), beside(shop)
    commit(shared, **{"lib/code.py": "1"})
    assert of_shared(with_input(shop, shared / "lib"), released(sha)).text == (
        "changed files unknown: in ../shared: the release does not name its commit"
    )
    known = replace(released(sha), inputs={"../shared": "0123456" + "0" * 33})
    assert "commit 0123456 of ../shared is not in that clone, and it has no remote" in (
        of_shared(with_input(shop, shared / "lib"), known).text
    )


def test_an_input_in_no_repository_is_unknown(shop: Path) -> None:
    sha = start(shop)
    plain = shop.parent / "plain"
    plain.mkdir()
    (plain / "file").touch()
    found = of_shared(with_input(shop, plain), released(sha))
    assert found.text == "changed files unknown: ../plain is in no git repository"


@pytest.fixture
def with_submodule(shop: Path) -> Path:
    inner = beside(shop, "inner")
    commit(inner, **{"lib/code.py": "1", "other/x": "1"})
    git(shop, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{inner}", "libs")
    return shop / "libs"


def test_a_submodule_is_compared_with_the_commit_that_the_running_one_names(shop: Path, with_submodule: Path) -> None:
    sha = start(shop)
    commit(with_submodule, **{"lib/code.py": "2", "other/x": "2"})
    commit(shop)
    found = of_shared(with_input(shop, with_submodule / "lib"), released(sha))
    assert (found.files, found.unknown) == (("libs/lib/code.py",), "")
    # Around the whole submodule it is the submodule that changed.
    assert of_shared(with_input(shop, shop), released(sha)).files == ("libs",)


def test_a_shallow_clone_of_a_submodule_fetches_the_commit_that_runs_too(shop: Path, with_submodule: Path) -> None:
    sha = start(shop)
    commit(with_submodule, **{"lib/code.py": "2", "other/x": "2"})
    git(with_submodule, "push", "-q", "origin", "HEAD:newer")
    commit(shop)
    clone = shallow(shop)
    update = ("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--depth=1")
    git(clone, *update)
    assert git(clone / "libs", "rev-list", "--count", "HEAD") == "1"
    found = of_shared(with_input(clone, clone / "libs" / "lib"), released(sha))
    assert (found.files, found.unknown) == (("libs/lib/code.py",), "")


def test_a_submodule_at_another_commit_or_with_changes_is_uncommitted(shop: Path, with_submodule: Path) -> None:
    start(shop)
    around, inside = shop, with_submodule / "lib"
    assert with_input(shop, around).keyed("web").uncommitted == ()
    assert with_input(shop, inside).keyed("web").uncommitted == ()
    (with_submodule / "lib" / "code.py").write_text("2")
    assert with_input(shop, around).keyed("web").uncommitted == ("libs",)
    assert with_input(shop, inside).keyed("web").uncommitted == ("libs/lib/code.py",)
    commit(with_submodule, **{"other/x": "2"})
    assert with_input(shop, around).keyed("web").uncommitted == ("libs",)
    assert with_input(shop, inside).keyed("web").uncommitted == ("libs",)
