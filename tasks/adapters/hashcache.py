"""Remembers the hashes of files between runs, so that unchanged files are not read again.

A row counts only for the very same path, inode, size, mtime and ctime, and only if the file was not written so
shortly before it was read that another write could leave the same times. Whatever is wrong with the cache file
(gone, locked, full, read-only, damaged) costs time, never a wrong hash.
"""

import hashlib
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tasks.adapters.closing import Closing
from tasks.core.contents import sha256_of
from tasks.core.context import Entry, is_fresh

_SCHEMA_VERSION = 1
_BATCH = 500
_MOST_PENDING = 20_000
_LARGEST_BYTES = 512 * 1024 * 1024
_PATIENCE_SECONDS = 1.0
_CHECK_BYTES = 8

Row = tuple[object, object]
"""A stamp with a sha256 behind it, and a checksum of both: bytes, unless the cache is damaged."""


class HashCache(Closing):
    """The hashes of files, kept in one sqlite file that any number of processes may share.

    It is opened when the first hash is asked for, and written when it is closed.

    Args:
        path: the cache file; it and its folder are made when needed, and it may be deleted at any time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._database: sqlite3.Connection | None = None
        self._usable = True
        self._pending: dict[bytes, Row] = {}

    def sha256(self, entries: Sequence[Entry]) -> list[str]:
        """Return the hex sha256 of each file, reading only those that are new or changed.

        Raises:
            OnevmError: if a file is gone or cannot be read; it names the file.
        """
        if not entries:
            return []
        names = [os.fsencode(entry.location) for entry in entries]
        with self._guard:
            rows = self._rows(names)
            return [
                _remembered(rows.get(name), name, entry) or self._read(name, entry.location)
                for name, entry in zip(names, entries, strict=True)
            ]

    def close(self) -> None:
        """Write what was learnt, and let go of the file."""
        with self._guard:
            self._write()
            if self._database:
                self._database.close()
                self._database = None

    def _rows(self, names: Sequence[bytes]) -> dict[bytes, Row]:
        rows: dict[bytes, Row] = {}
        try:
            if database := self._open():
                for start in range(0, len(names), _BATCH):
                    part = names[start : start + _BATCH]
                    marks = ",".join("?" * len(part))
                    for name, row, check in database.execute(_SELECT + f"({marks})", part):
                        rows[name] = (row, check)
        except sqlite3.Error as error:
            self._give_up(error)
        if self._pending:
            rows |= {name: self._pending[name] for name in names if name in self._pending}
        return rows

    def _read(self, name: bytes, location: str) -> str:
        started_ns = time.time_ns()
        digest, status = sha256_of(location)
        if status and self._usable and not is_fresh(status.st_ctime_ns, started_ns):
            stamp = _STAMP.pack(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            row = stamp + bytes.fromhex(digest)
            self._pending[name] = (row, _check(name, row))
            if len(self._pending) >= _MOST_PENDING:
                self._write()
        return digest

    def _write(self) -> None:
        if not self._pending or not self._usable:
            return
        rows = [(name, row, check) for name, (row, check) in self._pending.items()]
        self._pending.clear()
        try:
            if database := self._open():
                database.execute("BEGIN IMMEDIATE")
                if self._path.stat().st_size > _LARGEST_BYTES:
                    database.execute("DELETE FROM files")
                database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)

    def _open(self) -> sqlite3.Connection | None:
        if self._database is None and self._usable:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._database = _connect(self._path)
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)
        return self._database

    def _give_up(self, error: Exception) -> None:
        """Do without the cache for the rest of the run; throw it away if it is damaged."""
        self._usable = False
        if self._database:
            self._database.close()
            self._database = None
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            for leftover in (self._path, self._path.with_name(self._path.name + "-journal")):
                try:
                    leftover.unlink(missing_ok=True)
                except OSError:
                    return


_STAMP = struct.Struct("<QqqQ")
_SELECT = "SELECT path, row, checksum FROM files WHERE path IN "


def _remembered(found: Row | None, name: bytes, entry: Entry) -> str | None:
    """Return the hash that a row holds for a file, if the row is whole and the file is as it was."""
    if found is None:
        return None
    row, check = found
    stamp = _STAMP.pack(entry.size, entry.mtime_ns, entry.ctime_ns, entry.inode)
    if not isinstance(row, bytes) or row[: _STAMP.size] != stamp or check != _check(name, row):
        return None
    return row[_STAMP.size :].hex()


def _check(name: bytes, row: bytes) -> bytes:
    return hashlib.blake2b(name + row, digest_size=_CHECK_BYTES).digest()


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA synchronous = OFF")  # lost with the power, at worst: rows are checked
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version != _SCHEMA_VERSION:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DROP TABLE IF EXISTS files")
            database.execute("CREATE TABLE files (path BLOB PRIMARY KEY, row BLOB, checksum BLOB) WITHOUT ROWID")
            database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database
