"""Tasks that stand for others, asked through doit itself."""

from pathlib import Path

import pytest
from doit.dependency import Dependency, SqliteDB
from doit.task import Task

from tasks.steps import freshness
from tasks.steps.freshness import AsFreshAs


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dependency:
    monkeypatch.setattr(freshness, "_known", {})
    return Dependency(SqliteDB, str(tmp_path / "doit.sqlite"))


def tasks(tmp_path: Path, *names: str) -> dict[str, Task]:
    found = {}
    for name in names:
        (tmp_path / name).write_text("1")
        found[name] = Task(name, None, file_dep=[str(tmp_path / name)])
    return found


def test_a_task_for_others_is_fresh_when_all_of_them_are(tmp_path: Path, records: Dependency) -> None:
    all_of = tasks(tmp_path, "a", "b")
    both = Task("both", None, uptodate=[AsFreshAs(["a", "b"])])
    records.save_success(all_of["a"])
    assert records.get_status(both, all_of).status == "run"
    records.save_success(all_of["b"])
    freshness._known.clear()
    assert records.get_status(both, all_of).status == "up-to-date"


def test_a_task_for_one_other_names_the_same_changed_file(tmp_path: Path, records: Dependency) -> None:
    all_of = tasks(tmp_path, "a")
    more = tmp_path / "a"
    alias = Task("alias", None, file_dep=[str(more)], uptodate=[AsFreshAs(["a"])])
    records.save_success(all_of["a"])
    assert records.get_status(alias, all_of, get_log=True).status == "up-to-date"
    more.write_text("22")
    freshness._known.clear()
    found = records.get_status(alias, all_of, get_log=True)
    assert found.status == "run"
    assert found.reasons["changed_file_dep"] == [str(more)]
