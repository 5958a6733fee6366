"""The checkout's own index is its user's: it is read, and neither written nor locked."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import git
import pytest

from tasks.adapters.git import Checkout


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[git.Repo]:
    with git.Repo.init(tmp_path / "shop") as made, made.config_writer() as config:
        config.set_value("user", "name", "A")
        config.set_value("user", "email", "a@example.com")
    yield made
    made.close()


def commit(repository: git.Repo, text: str) -> str:
    (Path(repository.working_dir) / "file").write_text(text)
    repository.git.add("file")
    repository.git.commit("-qm", text)
    return str(repository.git.rev_parse("HEAD"))


def test_commits_are_written_out_side_by_side_while_somebody_holds_the_index(
    repository: git.Repo, tmp_path: Path
) -> None:
    commits = {str(number): commit(repository, str(number)) for number in range(8)}
    Path(repository.git_dir, "index.lock").touch()
    checkout = Checkout(Path(repository.working_dir))

    def written(text: str) -> str:
        folder = tmp_path / text
        folder.mkdir()
        checkout.export(commits[text], folder)
        return (folder / "file").read_text()

    with ThreadPoolExecutor(len(commits)) as pool:
        assert list(pool.map(written, commits)) == list(commits)


def test_looking_for_changes_does_not_write_the_index(repository: git.Repo) -> None:
    commit(repository, "same")
    index = Path(repository.git_dir, "index")
    os.utime(Path(repository.working_dir) / "file", (1, 1))
    before = index.read_bytes(), index.stat().st_mtime_ns
    assert Checkout(Path(repository.working_dir)).uncommitted == frozenset()
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before
