"""Tasks that stand for others, asked through doit itself."""

from pathlib import Path

import pytest
from doit.dependency import Dependency, SqliteDB
from doit.task import Stream, Task

from tasks.steps import freshness
from tasks.steps.freshness import AsFreshAs, There, Unchanged


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


def test_a_text_makes_a_task_stale_when_it_changes_and_only_then(records: Dependency) -> None:
    def status(text: str) -> str:
        task = Task("a", [lambda: None], uptodate=[Unchanged(text)])
        found: str = records.get_status(task, {}).status
        if found == "run":
            task.save_extra_values()
            records.save_success(task)
        return found

    assert [status(text) for text in ("1", "1", "2", "2", "1")] == ["run", "up-to-date", "run", "up-to-date", "run"]


def test_an_image_that_is_gone_makes_a_task_stale(records: Dependency) -> None:
    def status(there: str) -> str:
        task = Task("a", [lambda: {"key": "k"}], uptodate=[There(lambda values: values.get("key") == there)])
        found: str = records.get_status(task, {}).status
        if found == "run":
            task.execute(Stream(0))
            records.save_success(task)
        return found

    assert [status(there) for there in ("k", "k", "other")] == ["run", "up-to-date", "run"]
