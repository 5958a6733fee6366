"""A checkout is read from real repositories, however odd."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.adapters.git import Checkout
from tasks.adapters.git_top import top_of
from tasks.core.errors import OnevmError

DATE = "2026-01-02T03:04:05+02:00"


@pytest.fixture(autouse=True)
def _own_git_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "gitconfig").write_text("[user]\nname = A\nemail = a@example.com\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    git(path, "init", "-q", str(path), cwd=tmp_path)
    return path


def git(path: Path, *args: str, cwd: Path | None = None) -> str:
    dates = {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *args],
        cwd=cwd or path,
        env=os.environ | dates,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def commit(path: Path, subject: str = "work", **files: str) -> str:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git(path, "add", "-A")
    git(path, "commit", "-q", "--allow-empty", "-m", subject)
    return git(path, "rev-parse", "HEAD")


def uncommitted(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in Checkout(path).uncommitted}


def test_the_head_is_a_full_commit_with_its_date(repository: Path) -> None:
    sha = commit(repository, "First things first\n\nand more")
    head = Checkout(repository).head
    assert (head.sha, head.date, head.subject) == (sha, DATE, "First things first")
    assert len(sha) == 40


def test_a_detached_head_is_a_head(repository: Path) -> None:
    first = commit(repository, a="1")
    commit(repository, a="2")
    git(repository, "checkout", "-q", "--detach", first)
    assert Checkout(repository).head.sha == first


def test_a_folder_below_the_top_is_the_same_checkout(repository: Path) -> None:
    sha = commit(repository, **{"services/web/x": "1"})
    below = Checkout(repository / "services" / "web")
    assert (below.head.sha, below.top) == (sha, repository)
    (repository / "new").touch()
    assert below.uncommitted == {repository / "new"}


def test_a_worktree_has_its_own_head_and_changes(repository: Path, tmp_path: Path) -> None:
    first = commit(repository, a="1")
    commit(repository, a="2")
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"), first)
    (tmp_path / "tree" / "new").touch()
    tree = Checkout(tmp_path / "tree")
    assert (tree.head.sha, tree.top) == (first, tmp_path / "tree")
    assert tree.uncommitted == {tmp_path / "tree" / "new"}
    assert Checkout(repository).uncommitted == frozenset()


def test_a_repository_without_a_commit_is_explained(repository: Path) -> None:
    with pytest.raises(OnevmError, match="has no commit yet"):
        _ = Checkout(repository).head


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_a_repository_is_explained(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "plain"
    if there:
        path.mkdir()
    with pytest.raises(OnevmError, match=f"{path} is not in a git repository"):
        _ = Checkout(path).head


@pytest.mark.parametrize("question", ["head", "uncommitted"])
def test_a_checkout_of_another_owner_is_explained(
    repository: Path, monkeypatch: pytest.MonkeyPatch, question: str
) -> None:
    commit(repository)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")  # git's own switch for its tests of this
    with pytest.raises(OnevmError, match="it belongs to another user") as caught:
        getattr(Checkout(repository), question)
    assert f"safe.directory {repository}" in caught.value.next_step


def test_a_repository_that_is_broken_says_what_git_says(repository: Path) -> None:
    commit(repository, a="1")
    (repository / ".git" / "index").write_bytes(b"nonsense")
    with pytest.raises(OnevmError, match=r"git status failed in .*\n.*index"):
        _ = Checkout(repository).uncommitted


def test_a_hook_of_another_repository_does_not_lead_astray(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = commit(repository, a="1")
    hooked = tmp_path / "hooked"
    git(hooked, "init", "-q", str(hooked), cwd=tmp_path)
    commit(hooked, "another", b="1")
    monkeypatch.setenv("GIT_DIR", str(hooked / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(hooked))
    monkeypatch.setenv("GIT_INDEX_FILE", str(hooked / ".git" / "index"))
    assert Checkout(repository).head.sha == sha
    assert Checkout(repository).top == repository
    assert Checkout(repository).uncommitted == frozenset()


def test_nothing_is_uncommitted_in_a_fresh_clone(repository: Path) -> None:
    commit(repository, a="1")
    assert uncommitted(repository) == set()


def test_what_differs_from_the_commit_is_listed(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    commit(repository, changed="1", staged="1", removed="1", gone="1", kept="1", both="1")
    (repository / "changed").write_text("2")
    (repository / "staged").write_text("2")
    (repository / "both").write_text("2")
    (repository / "new").write_text("2")
    git(repository, "add", "staged", "new", "both")
    (repository / "both").write_text("3")
    git(repository, "rm", "-q", "removed")
    (repository / "gone").unlink()
    (repository / "folder").mkdir()
    (repository / "folder" / "untracked").touch()
    (repository / "x.log").touch()
    assert uncommitted(repository) == {"changed", "staged", "new", "removed", "gone", "folder/untracked", "both"}


def test_what_differs_is_looked_for_in_the_places_asked_for_alone(repository: Path) -> None:
    commit(repository, **{"in/ab/x": "1", "in/a*/x": "1", "out": "1"})
    for name in ("in/ab/x", "in/a*/x", "in/a*/new", "out"):
        (repository / name).write_text("2")
    place = repository / "in" / "a*"
    assert Checkout(repository).uncommitted_in([str(place)]) == {place / "x", place / "new"}
    assert len(Checkout(repository).uncommitted_in([])) == 4


def test_a_changed_mode_is_a_change(repository: Path) -> None:
    commit(repository, script="#!/bin/sh\n")
    (repository / "script").chmod(0o755)
    assert uncommitted(repository) == {"script"}


def test_a_renamed_file_differs_under_both_names(repository: Path) -> None:
    commit(repository, a="1\n" * 50, z="1")
    git(repository, "mv", "a", "b")
    (repository / "z").write_text("2")
    assert uncommitted(repository) == {"a", "b", "z"}


def test_a_file_renamed_in_the_work_tree_alone_differs_under_both_names(repository: Path) -> None:
    commit(repository, a="1\n" * 50, z="1")
    (repository / "a").rename(repository / "b")
    (repository / "z").write_text("2")
    git(repository, "add", "--intent-to-add", "b")
    assert uncommitted(repository) == {"a", "b", "z"}


ODD = [
    "a b",
    " leading",
    "trailing ",
    'quo"te',
    "back\\slash",
    "tab\there",
    "new\nline",
    "ümläut",
    "🎈",
    "-dash",
    "R x",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_taken_as_they_are(repository: Path, name: str) -> None:
    (repository / name).write_text("1")
    assert uncommitted(repository) == {name}
    first = commit(repository)
    (repository / name).write_text("2")
    assert uncommitted(repository) == {name}
    second = commit(repository)
    assert Checkout(repository).changed_between(first, second) == (repository / name,)


def test_a_name_that_is_no_utf8_is_taken_as_it_is(repository: Path) -> None:
    path = Path(os.fsdecode(bytes(repository) + b"/caf\xe9"))
    path.touch()
    assert Checkout(repository).uncommitted == {path}


SETTINGS = [
    "color.ui=always",
    "core.quotePath=true",
    "format.pretty=oneline",
    "log.date=relative",
    "log.showSignature=true",
    "diff.ignoreSubmodules=all",
    "diff.relative=true",
    "diff.renames=copies",
    "status.branch=true",
    "status.relativePaths=true",
    "status.renames=copies",
    "status.short=false",
    "status.showUntrackedFiles=no",
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_users_settings_do_not_matter(repository: Path, setting: str) -> None:
    sha = commit(repository, "sübject", **{"folder/a": "1", "b": "1"})
    git(repository, "config", *setting.split("="))
    (repository / "ü").touch()
    (repository / "b").write_text("2")
    below = Checkout(repository / "folder")
    assert below.uncommitted == {repository / "ü", repository / "b"}
    assert (below.head.sha, below.head.date, below.head.subject) == (sha, DATE, "sübject")


def test_a_changed_submodule_is_listed_as_its_folder(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    git(inner, "init", "-q", str(inner), cwd=tmp_path)
    commit(inner, x="1")
    git(repository, "submodule", "--quiet", "add", str(inner), "libs/inner")
    commit(repository)
    assert uncommitted(repository) == set()
    (repository / "libs" / "inner" / "x").write_text("2")
    assert uncommitted(repository) == {"libs/inner"}
    assert Checkout(repository / "libs" / "inner").top == repository / "libs" / "inner"


def test_a_repository_in_a_repository_is_listed_as_its_folder(repository: Path) -> None:
    commit(repository)
    nested = repository / "nested"
    git(nested, "init", "-q", str(nested), cwd=repository)
    commit(nested, x="1")
    assert uncommitted(repository) == {"nested"}


def test_a_shallow_clone_knows_its_head_and_not_what_was_before(repository: Path, tmp_path: Path) -> None:
    first = commit(repository, a="1")
    second = commit(repository, a="2")
    git(repository, "clone", "-q", "--depth=1", f"file://{repository}", str(tmp_path / "clone"), cwd=tmp_path)
    clone = Checkout(tmp_path / "clone")
    assert clone.head.sha == second
    assert clone.has(second)
    assert not clone.has(first)
    with pytest.raises(OnevmError, match="git diff failed"):
        clone.changed_between(first, second)


def test_a_fetched_commit_comes_alone_and_leaves_no_trace(repository: Path, tmp_path: Path) -> None:
    first = commit(repository, a="1")
    for number in "2345":
        commit(repository, a=number)
    git(repository, "tag", "v1", first)
    git(repository, "clone", "-q", "--depth=2", f"file://{repository}", str(tmp_path / "clone"), cwd=tmp_path)
    path = tmp_path / "clone"
    before = git(path, "for-each-ref"), git(path, "log", "--format=%H"), sorted(file.name for file in path.iterdir())
    clone = Checkout(path)
    assert clone.is_shallow
    assert clone.fetch(first) == ""
    assert clone.has(first)
    assert clone.changed_between(first, "HEAD") == (path / "a",)
    assert (
        git(path, "for-each-ref"),
        git(path, "log", "--format=%H"),
        sorted(f.name for f in path.iterdir()),
    ) == before
    assert not (path / ".git" / "FETCH_HEAD").exists()


def test_a_fetch_that_fails_says_why_once(repository: Path) -> None:
    commit(repository, a="1")
    assert Checkout(repository).fetch("0" * 40) == "it has no remote to fetch it from"
    assert Checkout(repository).fetch("--upload-pack=x") == "that is not a full commit"
    git(repository, "remote", "add", "upstream", f"https://user:hunter2@127.0.0.1:{unused()}/shop.git")
    checkout = Checkout(repository)
    why = checkout.fetch("0" * 40)
    assert why.startswith("upstream does not give it: unable to access 'https://127.0.0.1:")
    # Nobody is there: another commit is not asked for.
    git(repository, "remote", "set-url", "upstream", str(repository))
    assert checkout.fetch("1" * 40) == why
    # That one does not have it: another may be there.
    checkout = Checkout(repository)
    assert "not our ref" in checkout.fetch("0" * 40)
    assert "1" * 40 in checkout.fetch("1" * 40)


def unused() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_commit_of_a_submodule_is_what_the_revision_names(repository: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    git(inner, "init", "-q", str(inner), cwd=tmp_path)
    old = commit(inner, x="1")
    first = commit(repository, **{"libs/own/y": "1"})
    git(repository, "submodule", "--quiet", "add", str(inner), "libs/in ner")
    second = commit(repository)
    checkout = Checkout(repository)
    folder = repository / "libs" / "in ner"
    assert (checkout.gitlink(first, folder), checkout.gitlink(second, folder)) == ("", old)
    assert checkout.gitlink(second, repository / "libs") == ""
    assert checkout.gitlink(second, repository / "libs" / "own") == ""
    assert checkout.missing_submodules == frozenset()
    git(repository, "clone", "-q", str(repository), str(tmp_path / "clone"), cwd=tmp_path)
    assert Checkout(tmp_path / "clone").missing_submodules == {tmp_path / "clone" / "libs" / "in ner"}


def test_what_git_ignores_is_listed_below_the_places_asked_for(repository: Path) -> None:
    (repository / ".gitignore").write_text("*.log\ncache/\n")
    commit(repository, **{"web/a": "1", "api/a": "1"})
    for name in ("web/x.log", "web/cache/y", "api/z.log", "web/new"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).touch()
    found = Checkout(repository).ignored([str(repository / "web")])
    assert set(found) == {repository / "web" / "x.log", repository / "web" / "cache"}


def test_the_top_of_a_repository_is_found_without_git(repository: Path, tmp_path: Path) -> None:
    commit(repository, **{"libs/own/y": "1"})
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "tree"))
    (repository / "libs" / ".git").mkdir()  # empty: git passes it over
    (tmp_path / "plain").mkdir()
    known: dict[str, str | None] = {}
    for _ in range(2):
        assert top_of(str(repository / "libs" / "own" / "y"), known) == str(repository)
        assert top_of(str(tmp_path / "tree" / "libs"), known) == str(tmp_path / "tree")
        assert top_of(str(tmp_path / "plain"), known) is None


@pytest.mark.parametrize("text", ["gitdir: /nowhere\n", "nonsense", ""])
def test_a_git_file_that_leads_nowhere_is_not_passed_over(repository: Path, text: str) -> None:
    """GitPython would take the repository above."""
    commit(repository, **{"vendored/x": "1"})
    (repository / "vendored" / ".git").write_text(text)
    with pytest.raises(OnevmError, match=r"vendored/\.git does not lead to a git repository"):
        _ = Checkout(repository / "vendored").head


@pytest.mark.parametrize("sha", ["0" * 40, "nonsense", "", "HEAD~5", "--help", "--batch-check"])
def test_a_commit_that_is_not_here_is_not_had(repository: Path, sha: str) -> None:
    commit(repository)
    assert not Checkout(repository).has(sha)


def test_a_tree_is_no_commit(repository: Path) -> None:
    commit(repository, a="1")
    assert not Checkout(repository).has(git(repository, "rev-parse", "HEAD^{tree}"))


def test_a_rename_between_commits_is_both_names(repository: Path) -> None:
    first = commit(repository, a="1\n" * 50, c="1")
    git(repository, "mv", "a", "b")
    second = commit(repository, "renamed")
    changed = Checkout(repository).changed_between(first, second)
    assert set(changed) == {repository / "a", repository / "b"}
    assert Checkout(repository).changed_between(first, first) == ()


def test_commits_between_two_are_newest_first(repository: Path) -> None:
    first = commit(repository, "one")
    second = commit(repository, "two")
    third = commit(repository, "three")
    checkout = Checkout(repository)
    assert [c.sha for c in checkout.commits_between(first, third)] == [third, second]
    assert [c.subject for c in checkout.commits_between(first, "HEAD")] == ["three", "two"]
    assert [c.subject for c in checkout.commits_between(first, "HEAD", limit=1)] == ["three"]
    assert checkout.commits_between(third, first) == ()


@pytest.mark.parametrize("subject", ["a\u2028b", "a\x0bb", "a\x85b", "a\x1cb", '"quoted"', "x" * 500, "%H%n%s"])
def test_a_commits_subject_may_be_anything(repository: Path, subject: str) -> None:
    first = commit(repository, "first")
    commit(repository, subject)
    checkout = Checkout(repository)
    assert [c.subject for c in checkout.commits_between(first, "HEAD")] == [subject]
    assert checkout.head.subject == subject


def test_a_branch_or_file_named_like_the_other_is_no_matter(repository: Path) -> None:
    first = commit(repository, HEAD="1", main="1")
    second = commit(repository, HEAD="2")
    checkout = Checkout(repository)
    assert checkout.head.sha == second
    assert checkout.changed_between(first, "HEAD") == (repository / "HEAD",)
    assert len(checkout.commits_between(first, "main")) == 1


ORIGINS = [
    ("https://example.com/shop.git", "https://example.com/shop.git"),
    ("https://user:hunter2@example.com/shop.git", "https://example.com/shop.git"),
    ("https://hunter2@example.com:8443/a/shop.git", "https://example.com:8443/a/shop.git"),
    ("https://example.com/shop.git?token=hunter2#x", "https://example.com/shop.git"),
    ("http://user:hunter2@[::1]:3000/shop.git", "http://[::1]:3000/shop.git"),
    ("git@example.com:team/shop.git", "git@example.com:team/shop.git"),
    ("ssh://git@example.com/shop.git", "ssh://git@example.com/shop.git"),
    ("ssh://git:hunter2@example.com:22/shop.git", "ssh://git@example.com:22/shop.git"),
    ("/srv/shop.git", "/srv/shop.git"),
]


@pytest.mark.parametrize(("url", "shown"), ORIGINS)
def test_the_origin_is_shown_without_a_password(repository: Path, url: str, shown: str) -> None:
    git(repository, "remote", "add", "origin", url)
    assert Checkout(repository).origin == shown


def test_a_checkout_without_an_origin_has_none(repository: Path) -> None:
    assert Checkout(repository).origin == ""


def test_a_commit_is_written_out_as_a_checkout_would_have_it(repository: Path, tmp_path: Path) -> None:
    """Also what `git archive` would leave out or fill in."""
    (repository / ".gitattributes").write_text("compose.yaml export-ignore\nversion export-subst\n")
    first = commit(repository, **{"compose.yaml": "services: {}\n", "web/ü": "1", "version": "$Format:%H$"})
    (repository / "web" / "ü").chmod(0o755)
    (repository / "link").symlink_to("compose.yaml")
    second = commit(repository, version="2")
    (repository / "uncommitted").touch()
    checkout = Checkout(repository)
    for sha, version in ((first, "$Format:%H$"), (second, "2")):
        folder = tmp_path / sha
        folder.mkdir()
        checkout.export(sha, folder)
        assert (folder / "compose.yaml").read_text() == "services: {}\n"
        assert (folder / "version").read_text() == version
        assert (folder / "web" / "ü").read_text() == "1"
        assert not (folder / "uncommitted").exists()
    assert os.access(tmp_path / second / "web" / "ü", os.X_OK)
    assert (tmp_path / second / "link").readlink() == Path("compose.yaml")
    assert (repository / "version").read_text() == "2"
    assert uncommitted(repository) == {"uncommitted"}


def test_a_commit_that_is_not_here_cannot_be_written_out(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    with pytest.raises(OnevmError, match="git read-tree failed"):
        Checkout(repository).export("0" * 40, tmp_path)


def test_the_heads_are_the_branches_here_and_those_of_the_remotes_now(repository: Path, tmp_path: Path) -> None:
    first = commit(repository, a="1")
    git(repository, "branch", "old")
    clone = tmp_path / "clone"
    git(repository, "clone", "-q", str(repository), str(clone), cwd=tmp_path)
    git(clone, "checkout", "-q", "-b", "mine")
    mine = commit(clone, a="2")
    git(clone, "checkout", "-q", "main")
    theirs = commit(repository, a="3")
    git(repository, "branch", "-D", "old")
    assert Checkout(clone).heads() == {first: "main", mine: "mine", theirs: "main"}, "main is here and there"
    assert Checkout(repository).heads() == {theirs: "main"}


def test_a_remote_that_cannot_be_asked_is_no_remote_without_branches(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    git(repository, "remote", "add", "origin", str(tmp_path / "gone"))
    with pytest.raises(OnevmError, match="the branches of origin"):
        Checkout(repository).heads()


def test_the_times_of_commits_are_told_as_far_as_they_are_here(repository: Path) -> None:
    sha = commit(repository)
    assert Checkout(repository).times([sha, "0" * 40, "1" * 64]) == {sha: 1767315845.0}
    assert Checkout(repository).times([]) == {}


def test_what_every_build_asks_is_asked_without_gitpython(repository: Path) -> None:
    first = commit(repository, web="1")
    second = commit(repository, web="2")
    (repository / "new").write_text("")
    asking = (
        "import sys\nfrom pathlib import Path\nfrom tasks.adapters.git import Checkout\n"
        "found = Checkout(Path(sys.argv[1]))\n"
        "print(found.head.sha, found.has(sys.argv[2]), found.origin == '', [p.name for p in found.uncommitted],\n"
        "      [p.name for p in found.changed_between(sys.argv[2], 'HEAD')], 'git' in sys.modules)\n"
    )
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", asking, str(repository), first]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [second, "True", "True", "['new']", "['web']", "False"]
