"""The files of a build context, as BuildKit would see them.

A context is everything below a folder that its ignore file does not leave out, the Dockerfile and the ignore
file included: BuildKit reads those two separately, and delivers them to `COPY . /` like any other file.
Directories count, empty ones too; symlinks are not followed.
"""

import os
import stat
from collections.abc import Iterator
from operator import attrgetter
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
        kind: what it is. A device or a pipe is `other`; so is what arrives as an empty file: a socket, and a
            file that the ignore file both takes back and leaves out (see `IgnoreRules.empties`).
        executable: whether any execute bit is set, of anything but a directory or a symlink.
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


Batch = tuple[str, list[os.DirEntry[str]]]


def list_context(root: str, rules: IgnoreRules) -> list[Entry]:
    """List what arrives of the folder `root`, parents before children, in an order of its own.

    Raises:
        OnevmError: if the folder, or a folder in it, cannot be read; the message names it.
        ConfigurationError: if BuildKit would refuse the ignore file.
    """
    entries = [
        entry for prefix, batch in walk(root, rules) for found in batch if (entry := _entry(found, prefix + found.name))
    ]
    if rules.may_empty:
        return [_emptied(e) if e.kind == "file" and rules.empties(e.path) else e for e in entries]
    return entries


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


def stamps(root: str, rules: IgnoreRules | None) -> tuple[list[object], int]:
    """Return what `lstat` says of everything in a place, and the newest ctime in nanoseconds.

    Args:
        root: a context, or with `rules` None an input as in `list_input`.
        rules: the context's ignore rules.

    Raises:
        OnevmError: as `list_context`.
    """
    if rules is None:
        if not os.path.isdir(root):  # noqa: PTH112 (Path is slow here)
            (only,) = list_input(root)
            return [only.executable, *only.stamp], only.ctime_ns
        rules = IgnoreRules()
    facts: list[object] = []
    ctimes = [0]
    for prefix, batch in walk(root, rules):
        here: list[object] = []
        for found in batch:
            if found.is_dir(follow_symlinks=False):
                here.append(found.name)
                continue
            try:
                status = found.stat(follow_symlinks=False)
            except OSError as error:
                if isinstance(error, FileNotFoundError):
                    continue
                raise unreadable(found.path, error) from error
            ctime_ns = status.st_ctime_ns
            ctimes.append(ctime_ns)
            here.append((found.name, status.st_mode, status.st_size, status.st_ino, status.st_mtime_ns, ctime_ns))
        facts.append((prefix, here))
    return facts, max(ctimes)


def is_fresh(ctime_ns: int, now_ns: int) -> bool:
    """Whether a file was written so shortly before `now_ns` that the next write could leave the same time.

    File systems count in ticks of some milliseconds, old ones in seconds; those show in the digits.
    """
    tick = _FINE_TICK_NS if ctime_ns % 1_000_000 else _COARSE_TICK_NS
    return ctime_ns >= now_ns - tick


def walk(root: str, rules: IgnoreRules) -> Iterator[Batch]:
    """Yield what arrives of a folder, without asking for more than `scandir` says; parents come first.

    Yields:
        The relative path of a folder (empty or ending in `/`) and what arrives of it, sorted by name.
    """
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
            return IgnoreRules(text, name=f"{folder}/{name}")
    return IgnoreRules()


def _walk(root: str, rules: IgnoreRules) -> Iterator[Batch]:
    excludes = rules.excludes_child if rules.patterns else None
    folders = [(root, "")]
    while folders:
        folder, prefix = folders.pop()
        batch = _scan(folder, inner=bool(prefix))
        if excludes:
            batch = [found for found in batch if not excludes(prefix + found.name)]
        yield prefix, batch
        folders += [(found.path, f"{prefix}{found.name}/") for found in batch if found.is_dir(follow_symlinks=False)]


def _walk_with_exceptions(
    folder: str, prefix: str, rules: IgnoreRules, verdicts: Verdicts, waiting: list[Batch]
) -> Iterator[Batch]:
    """Walk where an excluded directory still arrives if something below it is taken back.

    `waiting` are the excluded directories on the way down, outermost first.
    """
    for found in _scan(folder, inner=bool(prefix), excluded=bool(waiting)):
        path = prefix + found.name
        excluded, below = rules.judge(path, verdicts)
        directory = found.is_dir(follow_symlinks=False)
        if excluded and (not directory or rules.prunes(path)):
            continue
        this = (prefix, [found])
        if excluded:
            waiting.append(this)
        else:
            yield from waiting
            waiting.clear()
            yield this
        if directory:
            yield from _walk_with_exceptions(found.path, path + "/", rules, below, waiting)
        if waiting and waiting[-1] is this:
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
        kind != "symlink" and bool(mode & _EXECUTABLE),
        _device(status) if kind == "other" else link,
        location,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
    )


def _emptied(entry: Entry) -> Entry:
    return entry._replace(kind="other", target="empty file")


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
    place = f"{folder}/{name}"
    try:
        status = os.lstat(place)
        if stat.S_ISLNK(status.st_mode):
            place = _resolved_inside(folder, name)
            status = os.lstat(place)
        if stat.S_ISREG(status.st_mode):
            with open(place, "rb") as file:  # noqa: PTH123 (Path is slow here)
                return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(place, error) from error
    if stat.S_ISSOCK(status.st_mode):
        return b""
    if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
        return None
    what = f"{folder}/{name} is no file, and BuildKit would wait for it without end"
    raise OnevmError(what, next_step="remove it")


def _resolved_inside(folder: str, name: str) -> str:
    parts = [name]
    inside: list[str] = []
    links = 0
    while parts and links < _MOST_LINKS:
        part = parts.pop(0)
        place = "/".join([folder, *inside, part])
        if part == "..":
            inside[-1:] = []
        elif part not in ("", ".") and os.path.islink(place):  # noqa: PTH114 (Path is slow here)
            links += 1
            target = os.readlink(place)  # noqa: PTH115 (Path is slow here)
            inside = [] if target.startswith("/") else inside
            parts = target.split("/") + parts
        elif part not in ("", "."):
            inside.append(part)
    return "/".join([folder, *inside, *parts])


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
