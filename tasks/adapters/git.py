"""A stack's checkout: its commit, what is uncommitted, and what happened between two commits."""

import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct

from tasks.adapters import later
from tasks.adapters.git_top import refuse_dead_end, top_of
from tasks.adapters.process import CommandFailed, run
from tasks.core.context import is_fresh
from tasks.core.errors import OnevmError

FETCH_SECONDS = 30
# The first `git status` of a large work tree reads all of it.
QUICK_SECONDS = 600
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_NOT_GIVEN = ("not our ref", "unadvertised object", "find remote ref")
# A git hook leaves them to the programs it starts; they would name its repository, not ours.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")
# `git status` would take the index's lock to save what it learned: another's `git commit` then fails, and
# whoever kills git leaves a lock that every later command stumbles over (git(1), GIT_OPTIONAL_LOCKS).
_NO_LOCK = {"GIT_OPTIONAL_LOCKS": "0"}
# Its words are looked at (GitPython does the same).
_PLAIN = {"LANGUAGE": "C", "LC_ALL": "C"}
_MOST_ARGUMENTS = 1000
# Two threads that load a package whose modules need each other may see half of it.
_loading = threading.Lock()


class Commit(Struct, frozen=True, kw_only=True):
    """One commit: full sha, commit date in ISO 8601 with its zone, first line of the message."""

    sha: str
    date: str
    subject: str = ""


class Checkout:
    """A git work tree, read only, but for commits that are fetched.

    Args:
        path: a folder in it; need not be its top.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._refused: dict[str, str] = {}
        self._unreachable = ""
        # Not `cached_property`: until Python 3.12 all checkouts would wait for each other.
        self._asking = threading.RLock()
        self._head: Commit | None = None
        self._uncommitted: frozenset[Path] | None = None
        self._asked_ns = 0

    def begin(self) -> None:
        """Begin to ask for what is uncommitted, and for the commit; whoever needs them waits, or sees why not."""
        later.begun(lambda: (self.uncommitted, self.head))

    @cached_property
    def _repository(self) -> Any:
        top = self.top
        with _loading:
            from git import Repo
            from git.exc import InvalidGitRepositoryError

        try:
            return Repo(top)
        except InvalidGitRepositoryError:
            raise self._none() from None

    def _git(self, command: str, *args: str, env: Mapping[str, str] | None = None) -> str:
        repository = self._repository
        from git.exc import GitCommandError

        try:
            run = getattr(repository.git, command)
            return str(run(*args, strip_newline_in_stdout=False, env={**_NO_LOCK, **(env or {})}))
        except GitCommandError as error:
            raise self._explained(command.replace("_", "-"), _said(str(error.stderr))) from None

    def _quick(self, command: str, *args: str) -> str:
        """Return what git says, without GitPython: it takes 60 ms to load, and every build and deploy asks this."""
        try:
            arguments = ["git", command, *args]
            env = {**_NO_LOCK, **_PLAIN}
            done = run(arguments, timeout=QUICK_SECONDS, env=env, cwd=self.top, errors="surrogateescape")
        except CommandFailed as failed:
            raise self._explained(command, failed.stderr.strip()) from None
        return done.stdout

    def _explained(self, command: str, words: str) -> OnevmError:
        if "dubious ownership" in words:
            what = f"git refuses {self.path}: it belongs to another user"
            return OnevmError(what, next_step=f"git config --global --add safe.directory {self.top}")
        if "not a git repository" in words:
            return self._none()
        what = f"git {command} failed in {self.path}"
        return OnevmError(what, detail=words, next_step="see what `git status` says there")

    def _none(self) -> OnevmError:
        next_step = "run `git init` and commit there, or mend the stack's `path` in services.toml"
        return OnevmError(f"{self.path} is not in a git repository", next_step=next_step)

    @cached_property
    def top(self) -> Path:
        """The top of the work tree.

        Raises:
            OnevmError: the folder is in none.
        """
        for name in _OF_A_HOOK:
            os.environ.pop(name, None)
        refuse_dead_end(self.path)
        found = top_of(str(self.path.absolute()), {}) if self.path.is_dir() else None
        if found is None:
            raise self._none()
        return Path(found)

    @property
    def head(self) -> Commit:
        """The commit that is checked out.

        Raises:
            OnevmError: there is no commit yet.
        """
        with self._asking:
            if self._head is None:
                try:
                    self._head = self.commit("HEAD")
                except OnevmError as error:
                    if "another user" in error.what:
                        raise
                    msg = f"{self.top} has no commit yet"
                    raise OnevmError(msg, next_step="commit something: images are tagged with the commit") from None
            return self._head

    def commit(self, revision: str) -> Commit:
        """Return the commit that a revision names."""
        sha, date, subject = self._quick("log", "-1", "--format=%H%x00%cI%x00%s", revision, "--").split("\0", 2)
        return Commit(sha=sha, date=date, subject=subject.strip())

    @cached_property
    def origin(self) -> str:
        """The URL of the remote `origin` without user and password, or an empty string."""
        from urllib.parse import urlsplit, urlunsplit

        url = self._setting("remote.origin.url")
        parts = urlsplit(url)
        user, at, place = parts.netloc.rpartition("@")
        if parts.scheme in {"http", "https"} and place:
            return urlunsplit((parts.scheme, place, parts.path, "", ""))
        return urlunsplit(parts._replace(netloc=user.partition(":")[0] + at + place)) if parts.scheme and at else url

    def heads(self) -> dict[str, str]:
        """Return the branch by commit: the branches of this clone, and those that its remotes have now.

        Raises:
            OnevmError: a remote cannot be asked.
        """
        text = self._git("for_each_ref", "--format=%(objectname) %(refname)", "refs/heads")
        for remote in self._git("remote").split():
            command = ["git", "ls-remote", "--heads", "--", remote]
            try:
                text += run(command, timeout=FETCH_SECONDS, env=self._silence(), cwd=self.top).stdout
            except CommandFailed as failed:
                raise OnevmError(
                    f"the branches of {remote} of {self.top} cannot be asked for",
                    detail=_first_line(failed.stderr) or failed.what,
                    next_step="see what `git ls-remote` says there, or leave branches=1 away",
                ) from None
        refs = (line.split(maxsplit=1) for line in text.splitlines())
        return {sha: name.removeprefix("refs/heads/") for sha, name in refs}

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

    @property
    def uncommitted(self) -> frozenset[Path]:
        """Absolute paths that differ from the commit, untracked files included, ignored ones not."""
        with self._asking:
            if self._uncommitted is None:
                self._asked_ns = time.time_ns()
                self._uncommitted = self.uncommitted_in(())
            return self._uncommitted

    def notice(self, ctime_ns: int) -> None:
        """Ask once more what is uncommitted if a file was written since that was asked.

        Args:
            ctime_ns: when the file was, in nanoseconds since 1970, as `lstat` says.
        """
        with self._asking:
            if is_fresh(ctime_ns, self._asked_ns):
                self._uncommitted = None

    def uncommitted_in(self, paths: Iterable[str]) -> frozenset[Path]:
        """Return what differs from the commit in and below some absolute paths; everywhere if there are none."""
        options = ("--porcelain", "-z", "--untracked-files=all", "--ignore-submodules=none")
        text = self._quick("status", *options, "--", *map(_literal, paths))
        fields = iter(text.split("\0"))
        found: set[Path] = set()
        for field in fields:
            if len(field) > 3:  # noqa: PLR2004 - two letters of state, a space, a path
                found.add(self.top / field[3:])
                if set("RC") & set(field[:2]):
                    found.add(self.top / next(fields))
        return frozenset(found)

    def has(self, sha: str) -> bool:
        """Whether the commit is in this clone."""
        if sha.startswith("-"):
            return False
        try:
            self._quick("cat-file", "-e", f"{sha}^{{commit}}")
        except OnevmError:
            return False
        return True

    def times(self, shas: Sequence[str]) -> dict[str, float]:
        """Return when commits were made, in seconds since 1970; those that are not in this clone are left out."""
        found: dict[str, float] = {}
        for start in range(0, len(shas), _MOST_ARGUMENTS):
            some = shas[start : start + _MOST_ARGUMENTS]
            text = self._git("rev_list", "--no-walk", "--ignore-missing", "--timestamp", *some, "--")
            found |= {sha: float(time) for time, sha in (line.split() for line in text.splitlines())}
        return found

    def changed_between(self, base: str, head: str) -> tuple[Path, ...]:
        """Return the absolute paths that differ between two commits (two-dot, renames as both names)."""
        options = ("--name-only", "--no-renames", "--no-relative", "--ignore-submodules=none", "-z")
        text = self._quick("diff", *options, base, head, "--")
        return tuple(self.top / name for name in text.split("\0") if name)

    def ignored(self, paths: Iterable[str]) -> tuple[Path, ...]:
        """Return what git ignores in and below some absolute paths; a folder that is ignored whole stands for all."""
        options = ("--others", "--ignored", "--exclude-standard", "--directory", "-z")
        text = self._quick("ls-files", *options, "--", *map(_literal, paths))
        return tuple(self.top / name for name in text.split("\0") if name)

    @cached_property
    def missing_submodules(self) -> frozenset[Path]:
        """The submodules of the checkout that were not checked out themselves: empty folders, as git leaves them."""
        modules = self.top / ".gitmodules"
        if not modules.exists():
            return frozenset()
        try:
            text = self._git("config", "--file", str(modules), "-z", "--get-regexp", r"^submodule\..*\.path$")
        except OnevmError:
            return frozenset()
        folders = [self.top / entry.partition("\n")[2] for entry in text.split("\0") if entry]
        return frozenset(f for f in folders if not (f / ".git").exists() and self.gitlink("HEAD", f))

    def gitlink(self, revision: str, folder: Path) -> str:
        """Return the commit at which a revision has a submodule; empty if it has none in that folder."""
        name = folder.relative_to(self.top).as_posix()
        kind, _, sha = self._git("ls_tree", "-z", revision, "--", name).partition("\t")[0].partition(" commit ")
        return sha if kind == "160000" else ""

    def commits_between(self, base: str, head: str, limit: int = 20) -> tuple[Commit, ...]:
        """Return up to `limit` commits that `head` has and `base` has not, newest first."""
        text = self._quick("log", f"--max-count={limit}", "--format=%H%x00%cI%x00%s", f"{base}..{head}", "--")
        return tuple(
            Commit(sha=sha, date=date, subject=subject)
            for sha, date, subject in (line.split("\0", 2) for line in text.split("\n") if line)
        )

    def apart(self, base: str, head: str) -> tuple[int, int] | None:
        """Count the commits that only `base` has, and those that only `head` has.

        Returns:
            Both counts; None if history that this shallow clone lacks would be needed to tell.
        """
        between = f"{base}...{head}"
        counts = self._quick("rev-list", "--left-right", "--count", between, "--").split()
        if ends := self._history_ends:
            # Behind a commit that is cut off there may be more, or the place where the two meet.
            listed = self._quick("rev-list", between, "--").split()
            if not ends.isdisjoint(listed):
                return None
        return int(counts[0]), int(counts[1])

    @property
    def _history_ends(self) -> frozenset[str]:
        """The commits of a shallow clone that are without their parents."""
        file = self.top / self._quick("rev-parse", "--git-path", "shallow").rstrip("\n")
        try:
            return frozenset(file.read_text().split())
        except OSError:
            return frozenset()

    @property
    def is_shallow(self) -> bool:
        """Whether the clone lacks history."""
        return bool(self._history_ends)

    def fetch(self, sha: str) -> str:
        """Fetch a commit that is not in this clone, and nothing else: no tag, no branch, no submodule.

        A shallow clone gets the commit alone. Another one gets its missing history too, or it would become shallow.

        Returns:
            Why it is not to be had, empty if it is here now.
        """
        if not _SHA.fullmatch(sha):
            return "that is not a full commit"
        if sha not in self._refused:
            self._refused[sha] = self._unreachable or self._fetched(sha)
        return self._refused[sha]

    def _fetched(self, sha: str) -> str:
        remotes = self._git("remote").split()
        if not remotes:
            return "it has no remote to fetch it from"
        remote = "origin" if "origin" in remotes else remotes[0]
        options = ["--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", "--no-auto-maintenance"]
        options += ["--depth=1"] if self.is_shallow else []
        try:
            run(["git", "fetch", *options, remote, sha], timeout=FETCH_SECONDS, env=self._silence(), cwd=self.top)
        except CommandFailed as failed:
            why = f"{remote} does not give it: {_first_line(failed.stderr) or failed.what}"
            if not any(words in failed.stderr for words in _NOT_GIVEN):
                self._unreachable = why
            return why
        return "" if self.has(sha) else f"{remote} does not give it"

    def _silence(self) -> dict[str, str]:
        """Return the variables with which git asks no question: nobody would see it."""
        env = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        if "GIT_SSH_COMMAND" not in os.environ and "GIT_SSH" not in os.environ and not self._setting("core.sshCommand"):
            env["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
        return env

    def _setting(self, name: str) -> str:
        try:
            return self._quick("config", "--get", name).strip()
        except OnevmError:
            return ""

    def export(self, sha: str, folder: Path) -> None:
        """Write the files of a commit below an existing folder, as a checkout would have them.

        Not with `git archive`: that leaves out and fills in what `.gitattributes` says for archives.

        Raises:
            OnevmError: the commit is not in this clone.
        """
        from tasks.adapters import temporary

        with temporary.folder("index") as index:
            # With the command: an environment of the repository's is that of other threads' commands, too.
            own = {"GIT_INDEX_FILE": f"{index}/index"}
            self._git("read_tree", sha, env=own)
            self._git("checkout_index", "--all", f"--prefix={folder.absolute()}/", env=own)


def _literal(path: str) -> str:
    """Return a path so that git takes no character of it for a pattern (gitglossary(7), "pathspec")."""
    return f":(literal){path}"


def _said(text: str) -> str:
    """Return git's words as GitPython gives them, without its frame."""
    return text.strip().removeprefix("stderr: '").removesuffix("'").strip()


def _first_line(stderr: str) -> str:
    """Return the first of git's lines, which says most, without a login that may stand in a URL."""
    line = next(iter(stderr.strip().splitlines()), "").removeprefix("fatal: ").removeprefix("error: ")
    return re.sub(r"://[^/@\s]*@", "://", line)
