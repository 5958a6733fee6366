"""The files of a build context, as BuildKit would see them.

A context is everything below a folder that its ignore file does not leave out, the Dockerfile and the ignore
file included: BuildKit reads those two separately, and delivers them to `COPY . /` like any other file.
Directories count, empty ones too; symlinks are not followed.
"""

import os
import stat
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from tasks.core.errors import OnevmError
from tasks.core.ignore import IgnoreRules, Verdicts

Kind = Literal["file", "directory", "symlink", "other"]

_by_name = attrgetter("name")
_EXECUTABLE = 0o111
_FINE_TICK_NS = 50_000_000
_COARSE_TICK_NS = 2_000_000_000
_MOST_LINKS = 40


class Entry(NamedTuple):
    """One thing in a context.

    Attributes:
        path: relative to the folder, with `/`; bytes that are no UTF-8 as `os.fsdecode` gives them.
        kind: what it is; a device, a pipe or a socket (which arrives as an empty file) is `other`.
        executable: whether any execute bit of a file is set.
        target: where a symlink points, or what sort of `other` this is; else empty.
        location: where to read it from, absolute.
        size, mtime_ns, ctime_ns, inode: what `lstat` says; all 0 for a directory.
    """

    path: str
    kind: Kind
    executable: bool
    target: str
    location: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @property
    def stamp(self) -> tuple[int, int, int, int]:
        """What differs, as far as `lstat` can tell, when the content does."""
        return (self.size, self.mtime_ns, self.ctime_ns, self.inode)


def list_context(root: str, rules: IgnoreRules) -> list[Entry]:
    """List what arrives of the folder `root`, parents before children, in an order of its own.

    Raises:
        OnevmError: if the folder, or a folder in it, cannot be read; the message names it.
        ConfigurationError: if BuildKit would refuse the ignore file.
    """
    return [entry for found, path in walk(root, rules) if (entry := _entry(found, path))]


def list_input(path: str) -> list[Entry]:
    """List a file (as one entry whose path is empty) or everything in a folder; no ignore file holds there.

    Raises:
        OnevmError: if it, or a folder in it, is gone or cannot be read; the message names it.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 (Path is slow here)
    except OSError as error:
        raise unreadable(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        return list_context(path, IgnoreRules())
    return [_described("", path, status, "")]


Stamps = tuple[list[str], list[str], list[int], list[int], list[int], list[int], list[int]]


def stamps(root: str, rules: IgnoreRules | None) -> Stamps:
    """Return what `lstat` says of each entry: folders, files, then mode, size, inode, mtime and ctime (ns).

    Args:
        root: a context, or with `rules` None an input as in `list_input`.
        rules: the context's ignore rules.

    Raises:
        OnevmError: as `list_context`.
    """
    folders: list[str] = []
    paths: list[str] = []
    modes: list[int] = []
    sizes: list[int] = []
    inodes: list[int] = []
    mtimes: list[int] = []
    ctimes: list[int] = []
    if rules is None and not os.path.isdir(root):  # noqa: PTH112 (Path is slow here)
        (only,) = list_input(root)
        return [], [""], [only.executable], [only.size], [only.inode], [only.mtime_ns], [only.ctime_ns]
    for found, path in walk(root, rules or IgnoreRules()):
        if found.is_dir(follow_symlinks=False):
            folders.append(path)
            continue
        try:
            status = found.stat(follow_symlinks=False)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                continue
            raise unreadable(found.path, error) from error
        paths.append(path)
        modes.append(status.st_mode)
        sizes.append(status.st_size)
        inodes.append(status.st_ino)
        mtimes.append(status.st_mtime_ns)
        ctimes.append(status.st_ctime_ns)
    return folders, paths, modes, sizes, inodes, mtimes, ctimes


def is_fresh(ctime_ns: int, now_ns: int) -> bool:
    """Whether a file was written so shortly before `now_ns` that the next write could leave the same time.

    File systems count in ticks of some milliseconds, old ones in seconds; those show in the digits.
    """
    tick = _FINE_TICK_NS if ctime_ns % 1_000_000 else _COARSE_TICK_NS
    return ctime_ns >= now_ns - tick


def walk(root: str, rules: IgnoreRules) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Yield what arrives of a folder and its relative path, without asking for more than `scandir` says."""
    if rules.has_exceptions:
        return _walk_with_exceptions(root, "", rules, rules.nothing, [])
    return _walk(root, rules)


def ignore_rules(context: str, dockerfile: str | None) -> IgnoreRules:
    """Read the ignore file that holds for a context.

    Args:
        context: the folder.
        dockerfile: absolute path of the Dockerfile; `<dockerfile>.dockerignore` wins over the context's own
            `.dockerignore`, even if it is empty. None for an inline Dockerfile or a named context.

    Raises:
        ConfigurationError: if BuildKit would refuse the file.
    """
    candidates = [(context, ".dockerignore")]
    if dockerfile:
        folder, name = os.path.split(dockerfile)
        candidates.insert(0, (folder, name + ".dockerignore"))
    for folder, name in candidates:
        text = _read_inside(folder, name)
        if text is not None:
            return IgnoreRules(text, name=os.path.join(folder, name))  # noqa: PTH118 (Path is slow here)
    return IgnoreRules()


def _walk(root: str, rules: IgnoreRules) -> Iterator[tuple[os.DirEntry[str], str]]:
    excludes = rules.excludes if rules.patterns else None
    folders = [(root, "")]
    while folders:
        folder, prefix = folders.pop()
        for found in _scan(folder, inner=bool(prefix)):
            path = prefix + found.name
            if excludes and excludes(path):
                continue
            yield found, path
            if found.is_dir(follow_symlinks=False):
                folders.append((found.path, path + "/"))


def _walk_with_exceptions(
    folder: str,
    prefix: str,
    rules: IgnoreRules,
    verdicts: Verdicts,
    waiting: list[tuple[os.DirEntry[str], str]],
) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Walk where an excluded directory still arrives if something below it is taken back.

    `waiting` are the excluded directories on the way down, outermost first.
    """
    for found in _scan(folder, inner=bool(prefix), excluded=bool(waiting)):
        path = prefix + found.name
        excluded, below = rules.judge(path, verdicts)
        directory = found.is_dir(follow_symlinks=False)
        if excluded and (not directory or rules.prunes(path)):
            continue
        if not excluded:
            yield from waiting
            waiting.clear()
            yield found, path
        if directory:
            if excluded:
                waiting.append((found, path))
            yield from _walk_with_exceptions(found.path, path + "/", rules, below, waiting)
            if waiting and waiting[-1][0] is found:
                waiting.pop()


def _scan(folder: str, *, inner: bool = False, excluded: bool = False) -> list[os.DirEntry[str]]:
    """Read one folder; one inside a context may have gone, and an excluded one may be closed to us."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=_by_name)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        if (inner and gone) or (excluded and isinstance(error, PermissionError)):
            return []
        raise unreadable(folder, error) from error


def _entry(found: os.DirEntry[str], path: str) -> Entry | None:
    """Describe one thing; None if it went away since its folder was read, as BuildKit does."""
    location = found.path
    if found.is_dir(follow_symlinks=False):
        return Entry(path, "directory", False, "", location, 0, 0, 0, 0)
    try:
        status = found.stat(follow_symlinks=False)
        link = os.readlink(location) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115 (a hot loop)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(location, error) from error
    return _described(path, location, status, link)


def _described(path: str, location: str, status: os.stat_result, link: str) -> Entry:
    mode = status.st_mode
    kind: Kind = "file" if stat.S_ISREG(mode) else "symlink" if stat.S_ISLNK(mode) else "other"
    return Entry(
        path,
        kind,
        kind == "file" and bool(mode & _EXECUTABLE),
        _device(status) if kind == "other" else link,
        location,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )


def _device(status: os.stat_result) -> str:
    if stat.S_ISFIFO(status.st_mode):
        return "pipe"
    if stat.S_ISSOCK(status.st_mode):
        return "socket"
    letter = "block" if stat.S_ISBLK(status.st_mode) else "character"
    return f"{letter} {os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def _read_inside(folder: str, name: str) -> bytes | None:
    """Read a file as BuildKit reads an ignore file: None if it is missing or no file.

    Symlinks are followed inside the folder only, as if it were the root of the file system.
    """
    root = Path(folder)
    parts = [name]
    inside: list[str] = []
    for _ in range(_MOST_LINKS * 10):
        if not parts:
            break
        part = parts.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            inside[-1:] = []
            continue
        place = root.joinpath(*inside, part)
        if place.is_symlink():
            target = str(place.readlink())
            inside = [] if target.startswith("/") else inside
            parts = target.split("/") + parts
        else:
            inside.append(part)
    try:
        return root.joinpath(*inside).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise unreadable(str(root / name), error) from error


def unreadable(location: str, error: OSError) -> OnevmError:
    """Return the error for a file or folder of a build that is gone or cannot be read."""
    gone = isinstance(error, FileNotFoundError)
    shown = os.fsencode(location).decode(errors="backslashreplace")
    return OnevmError(
        f"{shown} is gone" if gone else f"cannot read {shown}",
        detail=error.strerror or str(error),
        next_step=(
            "put it back, or start again once nothing writes to the files of the build"
            if gone
            else "give it read permission, remove it, or name it in .dockerignore"
        ),
    )
