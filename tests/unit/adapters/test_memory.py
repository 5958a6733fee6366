"""Remembered keys: known again, and never wrong, whatever happens to the file."""

from pathlib import Path

import pytest

from tasks.adapters.memory import Memory


def learn(path: Path, **keys: str) -> None:
    with Memory(path) as memory:
        for name, key in keys.items():
            memory.learn(name, f"stamp of {name}", key)


def recall(path: Path, name: str) -> str | None:
    with Memory(path) as memory:
        return memory.recall(name, f"stamp of {name}")


def test_what_was_learnt_is_known_in_the_next_run_and_runs_add_up(tmp_path: Path) -> None:
    path = tmp_path / "cache/keys"
    learn(path, a="1", b="2")
    learn(path, b="3", c="4")
    assert [recall(path, name) for name in "abcd"] == ["1", "3", "4", None]


def test_another_stamp_is_not_known(tmp_path: Path) -> None:
    learn(tmp_path / "keys", a="1")
    with Memory(tmp_path / "keys") as memory:
        assert memory.recall("a", "another") is None
        assert memory.recall("a", "stamp of a") == "1"


@pytest.mark.parametrize("at", range(0, 90, 7))
def test_a_damaged_file_knows_nothing_and_is_written_anew(tmp_path: Path, at: int) -> None:
    path = tmp_path / "keys"
    learn(path, a="1", b="2")
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 0x41
    path.write_bytes(content)
    assert recall(path, "a") is None
    learn(path, a="1")
    assert recall(path, "a") == "1"


@pytest.mark.parametrize("length", [0, 10, 40, 70])
def test_half_a_file_knows_nothing(tmp_path: Path, length: int) -> None:
    path = tmp_path / "keys"
    learn(path, a="1", b="2")
    path.write_bytes(path.read_bytes()[:length])
    assert recall(path, "a") is None


def test_a_place_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    learn(tmp_path / "file/keys", a="1")
    (tmp_path / "keys").mkdir()
    learn(tmp_path / "keys", a="1")
    assert recall(tmp_path / "keys", "a") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "keys"]


def test_nothing_is_written_where_nothing_was_learnt(tmp_path: Path) -> None:
    assert recall(tmp_path / "cache/keys", "a") is None
    assert list(tmp_path.iterdir()) == []
