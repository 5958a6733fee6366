"""The commits between two, with real repositories: counted where history tells, and unknown where it does not."""

import subprocess
from pathlib import Path

import pytest

from tasks.adapters.git import Checkout
from tasks.steps.commits import MOST, Commits, between


@pytest.fixture
def shop(tmp_path: Path, plain_git: None) -> Path:
    del plain_git
    path = tmp_path / "shop"
    path.mkdir()
    git(path, "init", "-q", "-b", "main")
    return path


def git(path: Path, *args: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(["git", *identity, *args], cwd=path, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(path: Path, subject: str) -> str:
    git(path, "commit", "-q", "--allow-empty", "-m", subject)
    return git(path, "rev-parse", "HEAD")


def shallow(shop: Path, depth: int) -> Path:
    clone = shop.parent / f"depth{depth}"
    git(shop, "clone", "-q", f"--depth={depth}", f"file://{shop}", str(clone))
    return clone


def named(sha: str, subject: str) -> str:
    return f"{sha[:7]} {subject}"


def test_between_a_commit_and_itself_is_nothing_wherever_it_is(shop: Path) -> None:
    commit(shop, "one")
    assert between(Checkout(shop), "0" * 40, "0" * 40) == Commits()


def test_commits_are_told_in_both_directions(shop: Path) -> None:
    base = commit(shop, "base")
    old = commit(shop, "old")
    git(shop, "reset", "-q", "--hard", base)
    one, two = commit(shop, "one"), commit(shop, "two")
    assert between(Checkout(shop), old, two) == Commits(
        new=(named(two, "two"), named(one, "one")), new_count=2, undone=(named(old, "old"),), undone_count=1
    )
    assert between(Checkout(shop), two, base) == Commits(undone=(named(two, "two"), named(one, "one")), undone_count=2)


def test_many_are_counted_and_the_newest_shown(shop: Path) -> None:
    base = commit(shop, "base")
    shas = [commit(shop, str(number)) for number in range(MOST + 3)]
    found = between(Checkout(shop), base, "HEAD")
    assert (found.new_count, len(found.new)) == (MOST + 3, MOST)
    assert found.new[0] == named(shas[-1], str(MOST + 2))


def test_a_shallow_clone_counts_what_its_history_reaches(shop: Path) -> None:
    shas = [commit(shop, str(number)) for number in range(5)]
    clone = Checkout(shallow(shop, 3))
    assert between(clone, shas[2], shas[4]).new_count == 2
    assert between(clone, shas[3], shas[4]).new_count == 1
    found = between(clone, shas[1], shas[4])
    assert (found.new_count, found.new) == (0, ())
    assert found.unknown == f"commit {shas[1][:7]} is not in this clone, and it is a shallow one"
    # Fetched alone, it is there, but what lies between is not.
    assert clone.fetch(shas[1]) == ""
    assert "does not reach back to commit" in between(clone, shas[1], shas[4]).unknown


def test_a_merge_whose_other_side_is_cut_off_is_not_counted_short(shop: Path) -> None:
    base = commit(shop, "base")
    git(shop, "checkout", "-q", "-b", "side")
    for number in range(5):
        commit(shop, f"side {number}")
    git(shop, "checkout", "-q", "main")
    git(shop, "merge", "-q", "--no-ff", "-m", "merge", "side")
    clone = Checkout(shallow(shop, 3))
    # The first parent is what runs and is here; of the five commits on the side only some are.
    assert clone.has(base)
    assert "does not reach back" in between(clone, base, "HEAD").unknown
    assert between(Checkout(shop), base, "HEAD").new_count == 6


def test_a_whole_clone_fetches_what_is_newer_and_counts_it(shop: Path) -> None:
    commit(shop, "one")
    clone = shop.parent / "clone"
    git(shop, "clone", "-q", str(shop), str(clone))
    newer = commit(shop, "two")
    assert between(Checkout(clone), newer, "HEAD") == Commits(undone=(named(newer, "two"),), undone_count=1)
    assert not (clone / ".git" / "FETCH_HEAD").exists()


def test_a_commit_that_is_nowhere_is_unknown(shop: Path) -> None:
    commit(shop, "one")
    found = between(Checkout(shop), "0123456" + "0" * 33, "HEAD")
    assert found.unknown == "commit 0123456 is not in this clone, and it has no remote to fetch it from"


def test_without_a_repository_it_is_unknown(tmp_path: Path) -> None:
    assert "is not in a git repository" in between(Checkout(tmp_path), "0" * 40, "1" * 40).unknown
