"""The repositories that a stack's inputs are in: its own checkout's, its submodules, and other checkouts beside it."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tasks.adapters.git import Checkout
from tasks.adapters.git_top import top_of
from tasks.core.build import BuildDefinition
from tasks.core.errors import OnevmError


class Repositories:
    """The repositories of one stack.

    Args:
        own: the stack's checkout.
        definitions: its built services by name.
    """

    def __init__(self, own: Checkout, definitions: Mapping[str, BuildDefinition]) -> None:
        self.own = own
        self._definitions = definitions
        self._tops: dict[str, str | None] = {}
        self._checkouts: dict[str, Checkout] = {}
        self._others: dict[str, tuple[Checkout, ...]] = {}
        self._differing: dict[Checkout, frozenset[Path]] = {}

    def others(self, definition: BuildDefinition) -> tuple[Checkout, ...]:
        """Return the repositories besides the stack's own in which a build reads, submodules among them."""
        if definition.name not in self._others:
            tops = {top_of(folder, self._tops) for folder in _folders(definition)} - {str(self.own.top), None}
            self._others[definition.name] = tuple(self._checkout(top) for top in sorted(filter(None, tops)))
        return self._others[definition.name]

    def _checkout(self, top: str) -> Checkout:
        if top not in self._checkouts:
            self._checkouts[top] = Checkout(Path(top))
        return self._checkouts[top]

    def own_roots(self, definition: BuildDefinition) -> tuple[str, ...]:
        """Return the places that a build reads in the stack's own repository."""
        return self._roots_in(self.own.top, definition)

    def _roots_in(self, top: Path, definition: BuildDefinition) -> tuple[str, ...]:
        return tuple(root for root in roots(definition) if top_of(root, self._tops) == str(top))

    def nowhere(self, definition: BuildDefinition) -> tuple[str, ...]:
        """Return the places that a build reads and that are in no repository."""
        return tuple(root for root in roots(definition) if top_of(root, self._tops) is None)

    def name(self, other: Checkout) -> str:
        """Return a repository's name in releases and messages: its top, relative to the own one's."""
        return os.path.relpath(other.top, self.own.top)

    def missing(self, definition: BuildDefinition) -> tuple[Path, ...]:
        """Return the submodules around or in the places that a build reads, which are not checked out."""
        if not self.own.missing_submodules:
            return ()
        places = [Path(root) for root in roots(definition)]
        return tuple(
            folder
            for folder in sorted(self.own.missing_submodules)
            if any(folder.is_relative_to(place) or place.is_relative_to(folder) for place in places)
        )

    def submodule_at(self, revision: str, other: Checkout) -> str:
        """Return the commit at which a revision of the own checkout has another repository; empty if it has not."""
        return self.own.gitlink(revision, other.top) if other.top.is_relative_to(self.own.top) else ""

    def uncommitted(self, definition: BuildDefinition) -> frozenset[Path]:
        """Return what differs from the commits of the repositories a build reads in; what it reads is not asked."""
        found = self.own.uncommitted
        for other in self.others(definition):
            if other not in self._differing:
                # Only where builds read: it may be anything, a home folder even.
                read = {root for d in self._definitions.values() for root in self._roots_in(other.top, d)}
                self._differing[other] = other.uncommitted_in(sorted(read))
            found |= self._differing[other]
        return found

    def moved(self, definition: BuildDefinition) -> frozenset[Path]:
        """Return the submodules in which a build reads and that are not at the commit which the own one names."""
        found = set()
        for other in self.others(definition):
            meant = self.submodule_at("HEAD", other)
            if meant and meant != other.head.sha:
                found.add(other.top)
        return frozenset(found)

    def commits(self, definitions: Iterable[BuildDefinition]) -> dict[str, str]:
        """Return the commits of the other repositories in which builds read, by name; without those that have none."""
        found = {}
        for other in dict.fromkeys(other for definition in definitions for other in self.others(definition)):
            try:
                found[self.name(other)] = other.head.sha
            except OnevmError:
                continue
        return found


def _folders(definition: BuildDefinition) -> Iterator[str]:
    """Yield what `roots` has, but for files that are asked for by the thousand their folder alone."""
    if not definition.is_remote:
        yield definition.context
    yield from (value for _, value in definition.contexts if value[:1] == "/")
    yield from map(str, definition.inputs)
    if definition.dockerfile and not definition.is_remote:
        folder = os.path.dirname(str(definition.dockerfile))  # noqa: PTH120 (Path is slow here)
        if folder != definition.context:
            yield folder


def roots(definition: BuildDefinition) -> list[str]:
    """Return the folders and files of this machine that a build reads, whatever is ignored there."""
    found = [definition.context, *(value for _, value in definition.contexts), *map(str, definition.inputs)]
    if definition.dockerfile:
        # buildx also takes `dockerfile` where there is no `Dockerfile`.
        found += [str(definition.dockerfile), str(definition.dockerfile.parent / "dockerfile")]
    return [path for path in found if path[:1] == "/"]
