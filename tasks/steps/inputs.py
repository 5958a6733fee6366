"""The content keys of services, and what is uncommitted in them."""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from tasks.adapters import halves
from tasks.adapters.git import Commit
from tasks.adapters.memory import Memory
from tasks.core import keys
from tasks.core.build import BuildDefinition
from tasks.core.contents import ContentHashes
from tasks.core.errors import OnevmError
from tasks.core.inputs import Inputs, Signature, changed_since, places, read_inputs, signature
from tasks.core.model import Stack
from tasks.steps import checkouts
from tasks.steps.repositories import Repositories, roots

MANY_SERVICES = 50  # so many are worth a second process


class Keyed(Struct, frozen=True, kw_only=True):
    """A built service with its key.

    Attributes:
        definition: what is built.
        read: what was read from disk; None if the key was remembered.
        manifest: what the key is made of; None likewise.
        key: the content key.
        uncommitted: its inputs that differ from the commit, relative to the checkout's top. Inputs in another
            repository differ from that one's commit; a submodule also by standing at another commit.
    """

    definition: BuildDefinition
    read: Inputs | None
    manifest: keys.Manifest | None
    key: str
    uncommitted: tuple[str, ...]

    @property
    def name(self) -> str:
        """`<stack>.<service>`."""
        return self.definition.name

    @property
    def inputs(self) -> Inputs:
        """What was read from disk.

        Raises:
            ValueError: nothing was: the key was remembered, and is good for looking only.
        """
        if self.read is None:
            raise ValueError(self.name)
        return self.read


class Sources:
    """One stack's checkout: commit and keys, each computed once.

    Args:
        stack: the stack.
        definitions: its built services by name.
        hashes: hashes of file contents.
        memory: keys of earlier runs.
    """

    def __init__(
        self,
        stack: Stack,
        definitions: Mapping[str, BuildDefinition],
        hashes: ContentHashes,
        memory: Memory | None = None,
    ) -> None:
        self.stack = stack
        self.checkout = checkouts.checkout(stack)
        self.repositories = Repositories(self.checkout, definitions)
        self.hashes = hashes
        self._definitions = definitions
        self._memory = memory
        self._keyed: dict[str, Keyed] = {}
        self._glanced: dict[str, Keyed] = {}
        self._seen: dict[str, Signature] = {}

    @cached_property
    def commit(self) -> Commit:
        """The commit that is checked out."""
        return self.checkout.head

    def keyed(self, service: str) -> Keyed:
        """Return a service with its key; those that it starts from are keyed first."""
        if service not in self._keyed:
            definition = self._definitions[service]
            self._refuse_missing(definition)
            bases = {base: self.keyed(base).key for base in definition.bases}
            inputs = read_inputs(definition, self.hashes)
            # The checkout is asked early: what is written in between would pass for committed.
            self.checkout.notice(max((e.ctime_ns for source in inputs.sources for e in source.entries), default=0))
            manifest = keys.manifest(definition, files=inputs, base_keys=bases)
            self._keyed[service] = Keyed(
                definition=definition,
                read=inputs,
                manifest=manifest,
                key=manifest.key,
                uncommitted=tuple(sorted({*self._uncommitted(inputs), *self._of_bases(definition)})),
            )
        return self._keyed[service]

    def look_at(self, services: Iterable[str]) -> None:
        """Look at the files of services that will be glanced at, and of those that they start from, on all processors.

        Raises:
            OnevmError: a file or folder is gone or cannot be read.
        """
        wanted = [name for service in services for name in self._read_by(service)]
        known = {*self._keyed, *self._glanced, *self._seen}
        new = [self._definitions[name] for name in dict.fromkeys(wanted) if name not in known]
        if self._memory is None or len(new) < MANY_SERVICES:
            return
        for definition, text in zip(new, halves.ask(_signed, new, at_least=MANY_SERVICES), strict=True):
            digest, _, settled = text.partition(" ")
            self._seen[definition.service] = Signature(digest, settled=bool(settled))

    def glanced(self, service: str) -> Keyed:
        """Return a service with its key, remembered if nothing that it follows from has changed since.

        For looking only: what is to be built is read with `keyed`, or nobody could tell whether it changed meanwhile.
        """
        if service not in self._glanced:
            self._glanced[service] = self._keyed.get(service) or self._remembered(service) or self.keyed(service)
        return self._glanced[service]

    def _remembered(self, service: str) -> Keyed | None:
        """Return a service with its remembered key; None if it is not known, or something in it is uncommitted."""
        definition = self._definitions[service]
        self._refuse_missing(definition)
        bases = [self.glanced(base) for base in definition.bases]
        if self._memory is None or self._may_differ(definition):
            return None
        # Before anything is read: what changes from here on leaves another signature.
        seen = self._seen.pop(service, None) or signature(definition)
        stamp = " ".join([seen.digest, keys.recipe(definition), *(f"{base.name}={base.key}" for base in bases)])
        key = self._memory.recall(definition.name, stamp)
        if key is None:
            keyed = self.keyed(service)
            known = {base.name: base.key for base in bases}
            same = all(self.keyed(base).key == known[self.keyed(base).name] for base in definition.bases)
            if seen.settled and same:
                self._memory.learn(definition.name, stamp, keyed.key)
            return keyed
        uncommitted = tuple(sorted({path for base in bases for path in base.uncommitted}))
        return Keyed(definition=definition, read=None, manifest=None, key=key, uncommitted=uncommitted)

    def _refuse_missing(self, definition: BuildDefinition) -> None:
        """Refuse to build from the empty folder of a submodule: the image would be named by a commit that has more."""
        for folder in self.repositories.missing(definition):
            if self.was_read(definition, folder) or any(folder in Path(root).parents for root in roots(definition)):
                name = os.path.relpath(folder, self.checkout.top)
                raise OnevmError(
                    f"{definition.name} is built from submodule {name}, which is not checked out",
                    next_step=f"git -C {self.checkout.top} submodule update --init {name}; if the build does not need "
                    "it, leave it out in .dockerignore",
                )

    def _may_differ(self, definition: BuildDefinition) -> bool:
        differing = self.repositories.uncommitted(definition)
        if any(_is_below(str(path), definition) for path in differing):
            return True
        return bool(self.repositories.moved(definition))

    def with_bases(self, keyed: Keyed) -> Iterator[Keyed]:
        """Yield a service, and those that it starts from."""
        yield keyed
        for base in keyed.definition.bases:
            yield from self.with_bases(self.keyed(base))

    def commits(self, keyed: Keyed) -> dict[str, str]:
        """Return the commits of the repositories besides the stack's own that a service's inputs are in, by name."""
        return self.repositories.commits(self._definitions[name] for name in self._read_by(keyed.definition.service))

    def _read_by(self, service: str) -> Iterator[str]:
        yield service
        for base in self._definitions[service].bases:
            yield from self._read_by(base)

    def _of_bases(self, definition: BuildDefinition) -> Iterable[str]:
        return (path for base in definition.bases for path in self.keyed(base).uncommitted)

    def _uncommitted(self, inputs: Inputs) -> Iterable[str]:
        yield from (os.path.relpath(top, self.checkout.top) for top in self.repositories.moved(inputs.definition))
        differing = self.repositories.uncommitted(inputs.definition)
        if not differing:
            return
        there = {entry.location for source in inputs.sources for entry in source.entries}
        for path in differing:
            if str(path) in there or (not os.path.lexists(path) and self.was_read(inputs.definition, path)):
                yield os.path.relpath(path, self.checkout.top)

    def was_read(self, definition: BuildDefinition, path: Path) -> bool:
        """Whether a file that is gone was an input, as far as today's ignore rules tell."""
        for place in places(definition):
            if str(path) == place.root:
                return True
            if path.is_relative_to(place.root):
                below = path.relative_to(place.root).as_posix()
                if place.rules is None or not place.rules.excludes(below):
                    return True
        return False

    def files_uncommitted(self) -> tuple[str, ...]:
        """Return the Compose and travelling files that differ from the commit."""
        stack = self.stack
        own = [stack.path / name for name in (*stack.compose, *stack.files)]
        return tuple(
            sorted(
                os.path.relpath(path, self.checkout.top)
                for path in self.checkout.uncommitted
                if any(path == mine or path.is_relative_to(mine) for mine in own)
            )
        )

    def changed_meanwhile(self, keyed: Keyed) -> list[str]:
        """Return the inputs that changed since the key was computed from them, absolute paths."""
        return changed_since(keyed.inputs, self.hashes)


def _signed(definition: BuildDefinition) -> str:
    seen = signature(definition)
    return f"{seen.digest} {'settled' if seen.settled else ''}"


def _is_below(path: str, definition: BuildDefinition) -> bool:
    """Whether a path may be an input: it is in, or is, a place that the build reads, whatever is ignored there."""
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots(definition))
