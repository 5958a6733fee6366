"""A stack's checkout: its commit, what is uncommitted, and what happened between two commits."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.core.errors import OnevmError

# A git hook leaves them to the programs it starts; they would name its repository, not ours.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """One commit: full sha, commit date in ISO 8601 with its zone, first line of the message."""

    sha: str
    date: str
    subject: str = ""


class Checkout:
    """A git work tree, read only.

    Args:
        path: a folder in it; need not be its top.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _repository(self) -> Any:
        from git import Repo
        from git.exc import InvalidGitRepositoryError, NoSuchPathError

        for name in _OF_A_HOOK:
            os.environ.pop(name, None)
        try:
            return Repo(self.path, search_parent_directories=True)
        except (InvalidGitRepositoryError, NoSuchPathError):
            msg = f"{self.path} is not in a git repository"
            raise OnevmError(
                msg, next_step="run `git init` and commit there, or mend the stack's `path` in services.toml"
            ) from None

    def _git(self, command: str, *args: str) -> str:
        from git.exc import GitCommandError

        try:
            return str(getattr(self._repository.git, command)(*args, strip_newline_in_stdout=False))
        except GitCommandError as error:
            text = str(error.stderr).strip()
            if "dubious ownership" in text:
                msg = f"git refuses {self.path}: it belongs to another user"
                raise OnevmError(
                    msg, next_step=f"git config --global --add safe.directory {self.top_or_path}"
                ) from None
            msg = f"git {command.replace('_', '-')} failed in {self.path}"
            raise OnevmError(msg, detail=text, next_step="see what `git status` says there") from None

    @property
    def top_or_path(self) -> Path:
        """The top of the work tree, or the folder we were given if there is none."""
        top = self._repository.working_tree_dir
        return Path(top) if top else self.path

    @cached_property
    def top(self) -> Path:
        """The top of the work tree."""
        return self.top_or_path

    @cached_property
    def head(self) -> Commit:
        """The commit that is checked out.

        Raises:
            OnevmError: there is no commit yet.
        """
        try:
            self._git("rev_parse", "--verify", "--quiet", "HEAD^{commit}")
        except OnevmError as error:
            if "dubious" in str(error) or "another user" in str(error):
                raise
            msg = f"{self.top} has no commit yet"
            raise OnevmError(msg, next_step="commit something: images are tagged with the commit") from None
        return self.commit("HEAD")

    def commit(self, revision: str) -> Commit:
        """Return the commit that a revision names."""
        sha, date, subject = self._git("log", "-1", "--format=%H%x00%cI%x00%s", revision, "--").split("\0", 2)
        return Commit(sha=sha, date=date, subject=subject.strip())

    @cached_property
    def origin(self) -> str:
        """The URL of the remote `origin` without user and password, or an empty string."""
        from urllib.parse import urlsplit, urlunsplit

        try:
            url = self._git("config", "--get", "remote.origin.url").strip()
        except OnevmError:
            return ""
        parts = urlsplit(url)
        user, at, place = parts.netloc.rpartition("@")
        if parts.scheme in {"http", "https"} and place:
            return urlunsplit((parts.scheme, place, parts.path, "", ""))
        return urlunsplit(parts._replace(netloc=user.partition(":")[0] + at + place)) if parts.scheme and at else url

    @cached_property
    def default_branch(self) -> str:
        """The default branch of the remote `origin`, as far as this clone knows; else the one that is checked out."""
        found = self._reads("symbolic_ref", "--quiet", "refs/remotes/origin/HEAD").removeprefix("refs/remotes/origin/")
        for name in ("main", "master"):
            if not found and self._reads("rev_parse", "--verify", "--quiet", f"refs/remotes/origin/{name}"):
                found = name
        return found or self._reads("symbolic_ref", "--quiet", "HEAD").removeprefix("refs/heads/") or "main"

    @cached_property
    def outermost(self) -> "Checkout":
        """The work tree that this one is a submodule of, at whatever depth; itself if it is none."""
        around = self._reads("rev_parse", "--show-superproject-working-tree")
        return Checkout(Path(around)).outermost if around else self

    def _reads(self, command: str, *args: str) -> str:
        """Return what git says, or an empty string if it says that there is none."""
        try:
            return self._git(command, *args).strip()
        except OnevmError:
            return ""

    @cached_property
    def uncommitted(self) -> frozenset[Path]:
        """Absolute paths that differ from the commit, untracked files included, ignored ones not."""
        fields = iter(self._git("status", "--porcelain", "-z", "--untracked-files=all").split("\0"))
        paths: set[Path] = set()
        for field in fields:
            if len(field) > 3:  # noqa: PLR2004 - two letters of state, a space, a path
                paths.add(self.top / field[3:])
                if set("RC") & set(field[:2]):
                    paths.add(self.top / next(fields))
        return frozenset(paths)

    def has(self, sha: str) -> bool:
        """Whether the commit is in this clone."""
        try:
            self._git("cat_file", "-e", f"{sha}^{{commit}}")
        except OnevmError:
            return False
        return True

    def changed_between(self, base: str, head: str) -> tuple[Path, ...]:
        """Return the absolute paths that differ between two commits (two-dot, renames as both names)."""
        text = self._git("diff", "--name-only", "--no-renames", "-z", base, head, "--")
        return tuple(self.top / name for name in text.split("\0") if name)

    def commits_between(self, base: str, head: str, limit: int = 20) -> tuple[Commit, ...]:
        """Return up to `limit` commits that `head` has and `base` has not, newest first."""
        text = self._git("log", f"--max-count={limit}", "--format=%H%x00%cI%x00%s", f"{base}..{head}", "--")
        return tuple(
            Commit(sha=sha, date=date, subject=subject)
            for sha, date, subject in (line.split("\0", 2) for line in text.split("\n") if line)
        )

    def export(self, sha: str, folder: Path) -> None:
        """Write the files of a commit below an existing folder, as a checkout would have them.

        Not with `git archive`: that leaves out and fills in what `.gitattributes` says for archives.

        Raises:
            OnevmError: the commit is not in this clone.
        """
        from tasks.adapters import temporary

        git = self._repository.git
        with (
            temporary.folder("index") as index,
            git.custom_environment(GIT_INDEX_FILE=f"{index}/index"),
        ):
            self._git("read_tree", sha)
            self._git("checkout_index", "--all", f"--prefix={folder.absolute()}/")
