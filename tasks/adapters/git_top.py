"""Where a repository begins, as git itself looks for it: upwards, for a `.git` folder or file. Starts no git."""

import os
import stat
from pathlib import Path

from tasks.core.errors import OnevmError


def top_of(path: str, known: dict[str, str | None]) -> str | None:
    """Return the top of the repository that an absolute path is in, None if it is in none.

    Args:
        path: a file or folder.
        known: what was found before, by folder.
    """
    if path not in known:
        above = os.path.dirname(path)  # noqa: PTH120 (Path is slow here)
        if _is_top(f"{path}/.git"):
            known[path] = path
        else:
            known[path] = top_of(above, known) if above != path else None
    return known[path]


def _is_top(dotgit: str) -> bool:
    try:
        kind = os.stat(dotgit).st_mode  # noqa: PTH116 (Path is slow here)
    except OSError:
        return False
    return (Path(dotgit) / "HEAD").exists() if stat.S_ISDIR(kind) else _led_to(Path(dotgit)) is not None


def _led_to(dotgit: Path) -> Path | None:
    """Return where a `.git` file leads (gitrepository-layout(5)); None if there is no repository."""
    text = dotgit.read_text(errors="surrogateescape")
    folder = dotgit.parent / text.removeprefix("gitdir:").strip()
    return folder if text.startswith("gitdir:") and (folder / "HEAD").exists() else None


def refuse_dead_end(path: Path) -> None:
    """Refuse a `.git` file that leads nowhere: GitPython would take the next repository above instead.

    Args:
        path: a folder in what should be a checkout.

    Raises:
        OnevmError: the nearest `.git` is such a file.
    """
    for folder in (path, *path.parents):
        dotgit = folder / ".git"
        if dotgit.is_file() and _led_to(dotgit) is None:
            raise OnevmError(
                f"{dotgit} does not lead to a git repository",
                detail=dotgit.read_text(errors="replace")[:200].strip(),
                next_step="it is a worktree or a submodule whose repository is gone or elsewhere: clone it again here",
            )
        if _is_top(str(dotgit)):
            return
