"""Why a service is stale: `git diff` explains, the content key decides."""

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tasks.adapters.git import Checkout
from tasks.core.release import ReleasedService
from tasks.steps.inputs import Keyed, Sources

MOST_FILES = 3
_GIT = "/.git/"


class Cause(Struct, frozen=True, kw_only=True):
    """Why a service's image is not the one that runs.

    Attributes:
        text: in one line.
        since: the commit that had its inputs as they run, and that they were compared with; empty if there is none.
        files: its inputs that changed since then, relative to the checkout's top, sorted.
        unknown: why there may be more of them, empty if these are all.
    """

    text: str
    since: str = ""
    files: tuple[str, ...] = ()
    unknown: str = ""

    def __str__(self) -> str:
        return self.text


def stale(sources: Sources, keyed: Keyed, released: ReleasedService | None, bases: Sequence[str] = ()) -> Cause:
    """Return why a service's image is not the one that runs: the changed files, as far as git can tell.

    Args:
        sources: its stack's checkout.
        keyed: the service.
        released: what runs now, None if nothing does.
        bases: commits that had its inputs as they run, the surest first. Missing ones are fetched.
    """
    if released is None or not released.content_key:
        return Cause(text="never deployed")
    if released.content_key == keyed.key:
        return Cause(text="its image is in no registry")
    return _Comparison(sources, keyed, released, bases).cause()


class _Comparison:
    """A service's inputs as they are against those that run."""

    def __init__(self, sources: Sources, keyed: Keyed, released: ReleasedService, bases: Sequence[str]) -> None:
        self.sources = sources
        self.top = sources.checkout.top
        self.read = list(sources.with_bases(sources.keyed(keyed.definition.service)))
        self.there = {entry.location for one in self.read for source in one.inputs.sources for entry in source.entries}
        self.released = released
        self.changed = set(self.read[0].uncommitted)
        self.unknown: list[str] = []
        self.base, self.dirty = self._own(bases)

    def cause(self) -> Cause:
        if self.base:
            self._compare(self.sources.checkout, self.base)
        for other in dict.fromkeys(o for one in self.read for o in self.sources.repositories.others(one.definition)):
            self._compare_other(other)
        self.unknown += [
            f"{os.path.relpath(path, self.top)} is in no git repository"
            for path in sorted({p for one in self.read for p in self.sources.repositories.nowhere(one.definition)})
        ]
        files = tuple(sorted(self.changed))
        parts = [f"{_few(files)} changed"] if files else []
        if self.dirty:
            parts.append(f"it runs uncommitted changes to {self.base[:7]}")
        if self.unknown:
            parts.append(f"changed files unknown: {'; '.join(self.unknown)}")
        if not parts:
            parts.append(self._without_changed_files())
        return Cause(text="; ".join(parts), since=self.base, files=files, unknown="; ".join(self.unknown))

    def _own(self, bases: Sequence[str]) -> tuple[str, bool]:
        """Return the commit to compare with, and whether it ran with uncommitted changes."""
        plain = [sha.removesuffix("-dirty") for sha in bases]
        if not plain:
            self.unknown.append("it runs from an unknown commit")
            return "", False
        base, why = _first(self.sources.checkout, plain)
        if not base:
            self.unknown.append(f"commit {plain[0][:7]}, from which it runs, is not in this clone, and {why}")
        return base, bool(base) and base not in bases

    def _compare(self, checkout: Checkout, base: str) -> None:
        for path in checkout.changed_between(base, "HEAD"):
            if str(path) in self.there or self._is_gone(path):
                self.changed.add(os.path.relpath(path, self.top))

    def _is_gone(self, path: Path) -> bool:
        return not os.path.lexists(path) and any(self.sources.was_read(one.definition, path) for one in self.read)

    def _compare_other(self, other: Checkout) -> None:
        repositories = self.sources.repositories
        name = repositories.name(other)
        meant = self.released.inputs.get(name) or (repositories.submodule_at(self.base, other) if self.base else "")
        base, why = _first(other, [meant]) if meant else ("", "the release does not name its commit")
        if base:
            self._compare(other, base)
        elif meant:
            self.unknown.append(f"commit {meant[:7]} of {name} is not in that clone, and {why}")
        else:
            self.unknown.append(f"in {name}: {why}")

    def _without_changed_files(self) -> str:
        """Return what is left as a cause: what git does not track, or what is not in a file of the inputs."""
        checkout = self.sources.checkout
        inside = [root for one in self.read for root in self.sources.repositories.own_roots(one.definition)]
        unseen = {str(path) for path in checkout.ignored(inside) if self._holds(str(path))}
        unseen |= {path[: f"{path}/".index(_GIT) + len(_GIT) - 1] for path in self.there if _GIT in f"{path}/"}
        untracked = sorted(os.path.relpath(path, self.top) for path in unseen)
        compose = {self.sources.stack.path / name for name in self.sources.stack.compose}
        edited = compose & {*checkout.changed_between(self.base, "HEAD"), *checkout.uncommitted}
        files = f" ({', '.join(sorted(os.path.relpath(path, self.top) for path in edited))})" if edited else ""
        definition = f"its build definition changed{files}"
        return f"{definition}, or what git does not track did: {_few(untracked)}" if untracked else definition

    def _holds(self, path: str) -> bool:
        return path in self.there or any(entry.startswith(f"{path}/") for entry in self.there)


def _first(checkout: Checkout, shas: Sequence[str]) -> tuple[str, str]:
    """Return the first commit that is in a clone, or can be had; else an empty string and why not."""
    for sha in shas:
        if checkout.has(sha):
            return sha, ""
    refused = ""
    for sha in shas:
        why = checkout.fetch(sha)
        if not why:
            return sha, ""
        refused = refused or why
    return "", refused


def _few(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - MOST_FILES} more" if len(paths) > MOST_FILES else ""
    return f"{', '.join(paths[:MOST_FILES])}{more}"
