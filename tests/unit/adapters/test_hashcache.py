"""The hash cache on a real file: right whatever happens to it, and quick when nothing does."""

import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.adapters import hashcache
from tasks.adapters.hashcache import HashCache
from tasks.core.context import Entry, is_fresh, list_input
from tasks.core.errors import OnevmError

REAL = "real content"
PLANTED = "f" * 64


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def settled(path: Path, text: str = REAL) -> Entry:
    """Write a file and wait until another write must leave another time."""
    path.write_text(text)
    while is_fresh(path.stat().st_ctime_ns, time.time_ns()):
        os.sched_yield()
    (entry,) = list_input(str(path))
    return entry


def hash_of(cache: Path, entry: Entry) -> str:
    with HashCache(cache) as hashes:
        return hashes.sha256([entry])[0]


def plant(cache: Path, entry: Entry) -> None:
    """Let the cache hold a hash that no reading would give, to tell remembering from reading."""
    with HashCache(cache) as hashes:
        name = os.fsencode(entry.location)
        row = hashcache._STAMP.pack(*entry.stamp) + bytes.fromhex(PLANTED)
        hashes._pending[name] = (row, hashcache._check(name, row))


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    entry = settled(tmp_path / "file")
    plant(tmp_path / "cache", entry)
    assert hash_of(tmp_path / "cache", entry) == PLANTED


def _rewrite(path: Path) -> None:
    path.write_text("other contnt")


def _replace(path: Path) -> None:
    other = path.with_name("new")
    other.write_text("other contnt")
    other.rename(path)


def _rewrite_keeping_mtime(path: Path) -> None:
    status = path.stat()
    path.write_text("other contnt")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [_rewrite, _replace, _rewrite_keeping_mtime])
def test_a_changed_file_of_the_same_size_is_read_again(tmp_path: Path, change: Callable[[Path], None]) -> None:
    plant(tmp_path / "cache", settled(tmp_path / "file"))
    change(tmp_path / "file")
    (entry,) = list_input(str(tmp_path / "file"))
    assert hash_of(tmp_path / "cache", entry) == sha("other contnt")


@pytest.mark.parametrize(("since_written_ns", "remembered"), [(0, False), (3_600_000_000_000, True)])
def test_a_file_is_remembered_only_if_a_later_write_must_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, since_written_ns: int, remembered: bool
) -> None:
    entry = settled(tmp_path / "file")
    monkeypatch.setattr("tasks.adapters.hashcache.time.time_ns", lambda: entry.ctime_ns + since_written_ns)
    with HashCache(tmp_path / "cache") as hashes:
        hashes.sha256([entry])
        assert bool(hashes._pending) == remembered


def test_a_file_rewritten_as_fast_as_can_be_is_never_taken_for_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with HashCache(tmp_path / "cache") as hashes:
        for number in range(100, 400):
            path.write_text(str(number))
            assert hashes.sha256(list_input(str(path))) == [sha(str(number))]


def test_hashes_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    entries = [settled(tmp_path / str(number), str(number)) for number in (3, 1, 2)]
    for _ in range(2):
        with HashCache(tmp_path / "cache") as hashes:
            assert hashes.sha256(entries) == [sha("3"), sha("1"), sha("2")]


def test_more_files_than_one_query_takes(tmp_path: Path) -> None:
    entries = []
    for number in range(1203):
        (tmp_path / str(number)).write_text(str(number))
        entries += list_input(str(tmp_path / str(number)))
    settled(tmp_path / "last")  # so that the others are, too
    for _ in range(2):
        with HashCache(tmp_path / "cache") as hashes:
            assert hashes.sha256(entries) == [sha(str(number)) for number in range(1203)]
    with contextlib.closing(sqlite3.connect(tmp_path / "cache")) as database, database:
        assert database.execute("SELECT count(*) FROM files").fetchone() == (1203,)
    database.close()


def _garbage(cache: Path) -> None:
    cache.write_bytes(b"no database at all" * 1000)


def _cut(cache: Path) -> None:
    cache.write_bytes(cache.read_bytes()[:5000])


def _empty(cache: Path) -> None:
    cache.write_bytes(b"")


def _scribble(cache: Path) -> None:
    data = bytearray(cache.read_bytes())
    data[4096:] = bytes(byte ^ 0x55 for byte in data[4096:])
    cache.write_bytes(data)


def _flip_a_hash(cache: Path) -> None:
    data = cache.read_bytes()
    wanted = bytes.fromhex(PLANTED)
    assert wanted in data
    cache.write_bytes(data.replace(wanted, b"e" * len(wanted)))


def _folder(cache: Path) -> None:
    cache.unlink()
    cache.mkdir()


def _other_schema(cache: Path) -> None:
    with contextlib.closing(sqlite3.connect(cache)) as database, database:
        database.execute("PRAGMA user_version = 99")
    database.close()


@pytest.mark.parametrize("harm", [_garbage, _cut, _empty, _scribble, _flip_a_hash, _folder, _other_schema, Path.unlink])
def test_a_damaged_cache_costs_time_and_no_correctness(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    cache, entry = tmp_path / "cache", settled(tmp_path / "file")
    plant(cache, entry)
    harm(cache)
    assert hash_of(cache, entry) == sha(REAL)
    assert hash_of(cache, entry) == sha(REAL)


def test_a_damaged_cache_is_replaced_and_works_again(tmp_path: Path) -> None:
    cache, entry = tmp_path / "cache", settled(tmp_path / "file")
    _garbage(cache)
    hash_of(cache, entry)
    plant(cache, entry)
    assert hash_of(cache, entry) == PLANTED


def test_a_locked_cache_costs_time_only(tmp_path: Path) -> None:
    cache, entry = tmp_path / "cache", settled(tmp_path / "file")
    plant(cache, entry)
    other = sqlite3.connect(cache, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert hash_of(cache, entry) == sha(REAL)
    finally:
        other.close()
    assert hash_of(cache, entry) == PLANTED


def test_a_cache_that_cannot_be_made_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_text("")
    assert hash_of(tmp_path / "in-the-way/cache", settled(tmp_path / "file")) == sha(REAL)


def test_nothing_is_opened_before_it_is_needed(tmp_path: Path) -> None:
    with HashCache(tmp_path / "folder/cache") as hashes:
        assert hashes.sha256([]) == []
    assert not (tmp_path / "folder").exists()


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    entry = settled(tmp_path / "file")
    (tmp_path / "file").unlink()
    with pytest.raises(OnevmError, match="file is gone"):
        hash_of(tmp_path / "cache", entry)


WORKER = """
import sys
from pathlib import Path
from tasks.adapters.hashcache import HashCache
from tasks.core.context import list_input
for _ in range(20):
    with HashCache(Path(sys.argv[1])) as hashes:
        for name in sys.argv[2:]:
            print(hashes.sha256(list_input(name))[0])
"""


def test_processes_can_share_one_cache(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(20)]
    for path in paths:
        settled(path, path.name)
    argv = [sys.executable, "-c", WORKER, str(tmp_path / "cache"), *map(str, paths)]
    workers = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for worker in workers:
        out, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0
        assert out.split() == [sha(path.name) for path in paths] * 20
    with contextlib.closing(sqlite3.connect(tmp_path / "cache")) as database, database:
        assert database.execute("SELECT count(*) FROM files").fetchone() == (20,)
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
