"""Checkouts in every state that git can leave them in: the right plan, or a clear word."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Ran, Running, Shop

pytestmark = pytest.mark.engine


@dataclass
class Past:
    """A shop with services b and c, and what happened to it.

    c is built with a submodule, `shared`; b with a folder of another repository, `common`, beside the checkout.

    Attributes:
        shop: it stands at the commit that runs.
        hub: its bare repository, which clones come from. The submodule's is `shared.git` beside it.
        first: the first commit, pushed; after it b changed: that is what runs.
        runs: the commit that runs.
    """

    shop: Shop
    hub: Path
    first: str
    runs: str

    def clone(self, folder: Path, *how: str, hub: Path | None = None, submodules: bool = True) -> Shop:
        """Return a clone with its submodule, as CI makes it; one without particulars is a copy, which is faster."""
        plain = self.hub.with_name("plain")
        if not how and not hub and submodules and plain.exists():
            shop = self.shop
            clone = Shop(folder, services=shop.services, registry=shop.registry, name=shop.name, root=shop.root)
            shutil.copytree(plain / self.shop.name / "repo", clone.repo, symlinks=True)
        else:
            clone = self.shop.cloned(folder, *how, hub=hub or self.hub)
        shutil.copytree(self.shop.folder / "common", clone.folder / "common")
        clone.configure(more=with_common(clone))
        if submodules and not (clone.repo / "shared" / ".git").exists():
            depth = ["--depth=1"] if "--depth=1" in how else []
            clone.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", *depth)
        return clone

    def own_hub(self, folder: Path) -> Path:
        """Return a hub that a test may rewrite."""
        return Path(shutil.copytree(self.hub, folder / "hub.git"))


def with_common(shop: Shop) -> str:
    return f'[stacks.{shop.name}.services.b]\ninputs = ["../common/lib"]'


@pytest.fixture(scope="module")
def past(make_shared_shop: MakeShop, tmp_path_factory: pytest.TempPathFactory) -> Past:
    shop = make_shared_shop("bc")
    hub = tmp_path_factory.mktemp("hubs") / "hub.git"
    shared = hub.with_name("shared.git")
    inner = shop.folder / "inner"
    shutil.copytree(shop.repo / "shared", inner)
    # Else where the submodule's repository is would be part of what is built.
    (inner / ".dockerignore").write_text(".git\n")
    for args in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "Share")):
        shop.git("-C", str(inner), *args)
    shop.git("clone", "-q", "--bare", str(inner), str(shared))
    shop.git("rm", "-rq", "shared")
    shop.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{shared}", "shared")
    common = shop.folder / "common"
    for file in ("lib/code", "other/code"):
        shop.write(f"../common/{file}", "1\n")
    for args in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "Have something in common")):
        shop.git("-C", str(common), *args)
    shop.configure(more=with_common(shop))
    first = shop.commit("Open")
    shop.doit("push").ok()
    shop.write("b/version", "b 2\n")
    runs = shop.commit("Change b")
    shop.doit("deploy").ok()
    shop.git("clone", "-q", "--bare", str(shop.repo), str(hub))
    shop.git("remote", "add", "origin", f"file://{hub}")
    found = Past(shop, hub, first, runs)
    found.clone(hub.with_name("plain"))
    return found


@dataclass(frozen=True)
class Expected:
    """What a plan says: operations besides tags, subjects of commits, changed files of stale services."""

    does: tuple[str, ...] = ()
    new: tuple[str, ...] | None = ()
    undone: tuple[str, ...] | None = ()
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: str = ""
    dirty: bool = False


@dataclass(frozen=True)
class Refused:
    """What is said instead of a plan."""

    words: tuple[str, ...]


Arrange = Callable[[Past, Path], Shop]
Case = tuple[Arrange, Expected | Refused]
B_BACK = {"b": ("b/version",)}
BUILD_B = ("build b", "push b", "recreate b")


def words_only(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    clone.write("README", "Words\n")
    clone.commit("Say more")
    return clone


def shallow(past: Past, folder: Path) -> Shop:
    hub = past.own_hub(folder)
    writer = past.clone(folder / "writer", hub=hub)
    writer.write("b/version", "b 3\n")
    writer.commit("Change b again")
    writer.write("README", "Words\n")
    writer.commit("Say more")
    writer.git("push", "-q", "origin", "main")
    return past.clone(folder, "--depth=1", hub=hub)


def rewritten(past: Past, folder: Path) -> Path:
    """Rewrite a hub's branch: what runs is not in it any more."""
    hub = past.own_hub(folder)
    writer = past.clone(folder / "writer", hub=hub)
    writer.git("reset", "-q", "--hard", past.first)
    writer.write("b/version", "b 3\n")
    writer.commit("Change b otherwise")
    writer.git("push", "-q", "--force", "origin", "main")
    return hub


def force_pushed(past: Past, folder: Path) -> Shop:
    """The hub still has what runs, but on no branch."""
    return past.clone(folder, hub=rewritten(past, folder))


def shallow_and_gone(past: Past, folder: Path) -> Shop:
    hub = rewritten(past, folder)
    past.shop.git("-C", str(hub), "gc", "-q", "--prune=now")
    return past.clone(folder, "--depth=1", hub=hub)


def rebased(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    clone.git("checkout", "-q", "-b", "upstream", past.first)
    clone.write("README", "Words\n")
    clone.commit("Say more")
    clone.git("checkout", "-q", "main")
    clone.git("rebase", "-q", "upstream")
    return clone


def reverted(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    clone.git("revert", "--no-edit", "HEAD")
    return clone


def merged(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    clone.git("checkout", "-q", "-b", "side", past.first)
    clone.write("c/version", "c 2\n")
    clone.commit("Change c")
    clone.git("checkout", "-q", "main")
    clone.git("merge", "-q", "--no-ff", "-m", "Merge side", "side")
    return clone


def on_another_branch(past: Past, folder: Path) -> Shop:
    clone = merged(past, folder)
    clone.git("checkout", "-q", "side")
    return clone


def detached(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    clone.git("checkout", "-q", "--detach", past.first)
    return clone


def in_a_worktree(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    main = clone.repo.rename(clone.folder / "main")
    past.shop.git("-C", str(main), "worktree", "add", "-q", "-b", "tree", str(clone.repo), past.runs)
    clone.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    clone.write("b/version", "b 3\n")
    clone.commit("Change b in a worktree")
    return clone


def with_its_repository_elsewhere(past: Past, folder: Path) -> Shop:
    return past.clone(folder, f"--separate-git-dir={folder / 'elsewhere'}")


def with_a_newer_submodule(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder, "--depth=1")
    (clone.repo / "shared" / "shared.txt").write_text("more to share\n")
    (clone.repo / "shared" / "other.txt").write_text("more\n")
    clone.git("-C", "shared", "add", "-A")
    clone.git("-C", "shared", "commit", "-qm", "Share more")
    clone.commit("Take what is newer")
    return clone


def with_an_edited_submodule(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    (clone.repo / "shared" / "shared.txt").write_text("not committed\n")
    return clone


def with_a_submodule_at_another_commit(past: Past, folder: Path) -> Shop:
    clone = with_an_edited_submodule(past, folder)
    clone.git("-C", "shared", "commit", "-qam", "Share otherwise")
    return clone


def with_a_change_in_another_repository(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    for file in ("lib/code", "lib/more", "other/code"):
        clone.write(f"../common/{file}", "2\n")
    clone.git("-C", "../common", "add", "-A")
    clone.git("-C", "../common", "commit", "-qm", "Have more in common")
    return clone


def with_an_edit_in_another_repository(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    for file in ("lib/code", "other/code"):
        clone.write(f"../common/{file}", "2\n")
    return clone


def without_its_submodule(past: Past, folder: Path) -> Shop:
    return past.clone(folder, submodules=False)


def without_a_commit(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    shutil.rmtree(clone.repo / ".git")
    clone.git("init", "-q")
    return clone


def without_a_repository(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    shutil.rmtree(clone.repo / ".git")
    return clone


def led_nowhere(past: Past, folder: Path) -> Shop:
    """A worktree that was copied to where its repository is not; above it is another repository, which is not meant."""
    clone = past.clone(folder)
    shutil.rmtree(clone.repo / ".git")
    (clone.repo / ".git").write_text("gitdir: /nowhere/.git/worktrees/tree\n")
    past.shop.git("-C", str(clone.folder), "init", "-q")
    return clone


def of_another_owner(past: Past, folder: Path) -> Shop:
    clone = past.clone(folder)
    clone.env["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"  # git's own switch for its tests of this
    return clone


CASES: dict[str, Case] = {
    "words only": (words_only, Expected(new=("Say more",))),
    "a force-push": (
        force_pushed,
        Expected(BUILD_B, ("Change b otherwise",), ("Change b",), B_BACK),
    ),
    "a shallow clone whose base is gone": (
        shallow_and_gone,
        Expected(BUILD_B, None, None, {"b": ()}, "is not in this clone, and origin does not give it: "),
    ),
    "a rebase": (rebased, Expected((), ("Change b", "Say more"), ("Change b",))),
    "a revert": (reverted, Expected(("recreate b",), ('Revert "Change b"',), (), B_BACK)),
    "a merge": (
        merged,
        Expected(("build c", "push c", "recreate c"), ("Merge side", "Change c"), (), {"c": ("c/version",)}),
    ),
    "another branch": (
        on_another_branch,
        Expected(
            ("build c", "push c", "recreate b", "recreate c"),
            ("Change c",),
            ("Change b",),
            {**B_BACK, "c": ("c/version",)},
        ),
    ),
    "a detached HEAD at an older commit": (detached, Expected(("recreate b",), (), ("Change b",), B_BACK)),
    "a worktree": (in_a_worktree, Expected(BUILD_B, ("Change b in a worktree",), (), B_BACK)),
    "a repository elsewhere": (with_its_repository_elsewhere, Expected()),
    "a newer submodule": (
        with_a_newer_submodule,
        Expected(
            ("build c", "push c", "recreate c"),
            ("Take what is newer",),
            (),
            {"c": ("shared/other.txt", "shared/shared.txt")},
        ),
    ),
    "an edited submodule": (
        with_an_edited_submodule,
        Expected(("build c", "push c", "recreate c"), (), (), {"c": ("shared/shared.txt",)}, dirty=True),
    ),
    "a submodule at another commit": (
        with_a_submodule_at_another_commit,
        Expected(("build c", "push c", "recreate c"), (), (), {"c": ("shared", "shared/shared.txt")}, dirty=True),
    ),
    "a change in another repository": (
        with_a_change_in_another_repository,
        Expected(BUILD_B, files={"b": ("../common/lib/code", "../common/lib/more")}),
    ),
    "an edit in another repository": (
        with_an_edit_in_another_repository,
        Expected(BUILD_B, files={"b": ("../common/lib/code",)}, dirty=True),
    ),
    "a submodule that is not there": (
        without_its_submodule,
        Refused(("is built from submodule shared, which is not checked out", "submodule update --init shared")),
    ),
    "no commit yet": (without_a_commit, Refused(("has no commit yet", "commit something"))),
    "no repository": (without_a_repository, Refused(("is not in a git repository", "git init"))),
    "a .git file that leads nowhere": (
        led_nowhere,
        Refused((".git does not lead to a git repository", "/nowhere/.git/worktrees/tree", "clone it again")),
    ),
    "another owner": (of_another_owner, Refused(("it belongs to another user", "safe.directory"))),
}


@pytest.fixture(scope="module")
def plans(past: Past, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Plan every checkout, a few at a time."""
    found: dict[str, Ran] = {}
    running: dict[str, Running] = {}
    for name, (arrange, _) in CASES.items():
        running[name] = arrange(past, tmp_path_factory.mktemp("case")).start("plan", "format=json", env=OWN_GIT)
        if len(running) > (os.cpu_count() or 1):
            first = next(iter(running))
            found[first] = running.pop(first).wait()
    return found | {name: run.wait() for name, run in running.items()}


# Settings of this machine's user must not make a difference.
OWN_GIT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}


@pytest.mark.parametrize("name", CASES)
def test_a_checkout_gets_the_right_plan_or_a_clear_word(plans: dict[str, Ran], past: Past, name: str) -> None:
    ran, expected = plans[name], CASES[name][1]
    if isinstance(expected, Refused):
        assert ran.code == 1, ran
        assert ran.out == ""
        assert all(words in ran.err for words in expected.words), ran.err
        assert "next:" in ran.err
        assert "Traceback" not in ran.err
        return
    (stack,) = ran.ok().json["stacks"]
    assert stack["current_sha"] == past.runs
    assert tuple(sorted(f"{op['verb']} {op['service']}" for op in stack["operations"] if op["verb"] != "tag")) == (
        expected.does
    )
    assert (subjects(stack, "commits"), subjects(stack, "undone")) == (expected.new, expected.undone)
    assert bool(stack["commits_unknown"]) == (expected.new is None)
    stale = {service["service"]: service for service in stack["stale"]}
    assert {service: tuple(found["files"]) for service, found in stale.items()} == dict(expected.files)
    assert {found["since"] for found in stale.values()} <= ({""} if expected.unknown else {past.runs})
    assert all(expected.unknown in found["text"] for found in stale.values())
    assert all(bool(found["unknown"]) == bool(expected.unknown) for found in stale.values())
    assert stack["dirty"] == expected.dirty
    causes = {op["service"]: op["cause"] for op in stack["operations"] if op["verb"] in {"build", "recreate"}}
    assert causes == {service: found["text"] for service, found in stale.items()}


def subjects(stack: dict[str, Any], what: str) -> tuple[str, ...] | None:
    """Return the subjects of commits; check that they are counted."""
    found, count = stack[what], stack[f"{what.removesuffix('s')}_count"]
    if found is None:
        assert count is None
        return None
    assert count == len(found)
    return tuple(commit.partition(" ")[2] for commit in found)


def test_a_release_names_the_commits_of_the_other_repositories_it_was_built_from(past: Past) -> None:
    inputs = {name: service["inputs"] for name, service in past.shop.current["services"].items()}
    assert inputs == {
        "b": {"../common": past.shop.git("-C", "../common", "rev-parse", "HEAD")},
        "c": {"shared": past.shop.git("-C", "shared", "rev-parse", "HEAD")},
    }


def test_a_plan_changes_nothing_in_a_shallow_clone_but_for_the_commit_it_fetched(past: Past, tmp_path: Path) -> None:
    clone = shallow(past, tmp_path)
    before = state(clone)
    (first,) = clone.doit("plan", "format=json", env=OWN_GIT).ok().json["stacks"]
    assert [(one["service"], one["files"], one["unknown"]) for one in first["stale"]] == [("b", ["b/version"], "")]
    assert first["stale"][0]["since"] == past.runs
    # That says nothing of the commits in between, and none are claimed.
    assert (first["commits"], first["commit_count"]) == (None, None)
    assert "does not reach back to commit" in first["commits_unknown"]
    assert state(clone) == before
    clone.git("cat-file", "-e", past.runs)
    # It is fetched once: the hub may go away.
    shutil.rmtree(tmp_path / "hub.git")
    said = clone.doit("plan", env=OWN_GIT).ok().out
    assert "commits since then unknown: the history of this shallow clone" in said
    assert "b/version changed" in said


def state(clone: Shop) -> tuple[str, ...]:
    return tuple(
        clone.git(*args)
        for args in (
            ("for-each-ref",),
            ("log", "--format=%H"),
            ("status", "--porcelain", "--untracked-files=all"),
            ("ls-files", "--stage"),
            ("config", "--list", "--local"),
        )
    )
