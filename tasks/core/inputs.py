"""Everything on disk that goes into a service's image, and whether it changed."""

import errno
import hashlib
import marshal
import os
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec import Struct

from tasks.core.build import BuildDefinition
from tasks.core.contents import ContentHashes
from tasks.core.context import Entry, ignore_rules, is_fresh, list_context, list_input, stamps, unreadable
from tasks.core.ignore import IgnoreRules

DOCKERFILE = "dockerfile"
_DETERMINISTIC = 2  # the last marshal format in which equal values give equal bytes


class Place(NamedTuple):
    """A folder or file that a build reads: its role, where it is, and which ignore rules hold there."""

    role: str
    root: str
    rules: IgnoreRules | None


class Source(Struct, frozen=True, kw_only=True):
    """What one place held: its entries and, for each, what stands in the content key."""

    role: str
    root: str
    entries: tuple[Entry, ...]
    values: tuple[str, ...]


class Inputs(Struct, frozen=True, kw_only=True):
    """Everything on disk that belongs to a content key, as it was when it was read.

    `taken_ns` is when reading started, in nanoseconds since 1970.
    """

    definition: BuildDefinition
    sources: tuple[Source, ...]
    taken_ns: int


class Signature(NamedTuple):
    """A digest of what `lstat` says of every input.

    Equal digests mean equal content only if `settled`: no input was written so shortly before that another
    write could leave the same times. Keep an unsettled one for nothing but to say "changed".
    """

    digest: str
    settled: bool


def read_inputs(definition: BuildDefinition, hashes: ContentHashes) -> Inputs:
    """Read every input of a build.

    Raises:
        OnevmError: if something is gone or cannot be read; it names the file.
        ConfigurationError: if BuildKit would refuse the ignore file.
    """
    taken_ns = time.time_ns()
    sources = []
    for place in places(definition):
        entries = _entries(place)
        values = tuple(_values(entries, hashes))
        sources.append(Source(role=place.role, root=place.root, entries=entries, values=values))
    return Inputs(definition=definition, sources=tuple(sources), taken_ns=taken_ns)


def changed_since(before: Inputs, hashes: ContentHashes) -> list[str]:
    """Return the inputs that are no longer what they were, as absolute paths, sorted.

    Only what `lstat` tells apart, or was written just before `before` was taken, is read again.
    """
    changed: set[str] = set()
    olds = {(source.role, source.root): source for source in before.sources}
    for place in places(before.definition):
        old = olds.pop((place.role, place.root), None)
        entries = _entries(place)
        if old is None:
            changed.add(place.root)
        elif entries != old.entries or any(is_fresh(entry.ctime_ns, before.taken_ns) for entry in entries):
            changed |= _differences(old, entries, before.taken_ns, hashes)
    changed.update(root for _, root in olds)
    return sorted(changed)


def signature(definition: BuildDefinition) -> Signature:
    """Look at every input without reading any: cheap enough to ask for a thousand services.

    Raises:
        OnevmError: if a folder is gone or cannot be read.
        ConfigurationError: if BuildKit would refuse the ignore file.
    """
    taken_ns = time.time_ns()
    facts = [
        (place.role, place.root, stamps(place.root, place.rules), _emptying(place)) for place in places(definition)
    ]
    newest = max((newest for _, _, (_, newest), _ in facts), default=0)
    digest = hashlib.blake2b(marshal.dumps(facts, _DETERMINISTIC), digest_size=16).hexdigest()
    return Signature(digest, settled=not is_fresh(newest, taken_ns))


def places(definition: BuildDefinition) -> Iterator[Place]:
    """Yield the places on this machine that a build reads, in a fixed order, each with a role of its own."""
    dockerfile = _dockerfile(definition)
    if dockerfile:
        yield Place(DOCKERFILE, dockerfile, None)
    if not definition.is_remote:
        yield Place("context", definition.context, ignore_rules(definition.context, dockerfile))
    for name, value in sorted(definition.contexts):
        if value.startswith("/"):
            yield Place(f"context {name}", value, ignore_rules(value, None))
    for position, path in enumerate(definition.inputs):
        yield Place(f"input {position}", str(path), None)


def _dockerfile(definition: BuildDefinition) -> str | None:
    """Return the Dockerfile's path; like buildx, take `dockerfile` where there is no `Dockerfile`."""
    if definition.dockerfile is None or definition.dockerfile_inline is not None:
        return None
    path = str(definition.dockerfile)
    if not os.path.exists(path):  # noqa: PTH110 (Path is slow here)
        if definition.is_remote:
            return None
        folder, name = os.path.split(path)
        if name == "Dockerfile" and os.path.exists(f"{folder}/dockerfile"):  # noqa: PTH110 (Path is slow here)
            return f"{folder}/dockerfile"
    return path


def _emptying(place: Place) -> tuple[str, ...]:
    """Return the rules that say which files arrive without their content: their names and times do not show it."""
    rules = place.rules
    return tuple(f"{'!' * p.exception}{p.text}" for p in rules.patterns) if rules and rules.may_empty else ()


def _entries(place: Place) -> tuple[Entry, ...]:
    if place.role == DOCKERFILE and os.path.isdir(place.root):  # noqa: PTH112 (Path is slow here)
        raise unreadable(place.root, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if place.rules is None:
        return tuple(list_input(place.root))
    return tuple(list_context(place.root, place.rules))


def _values(entries: Sequence[Entry], hashes: ContentHashes) -> Iterator[str]:
    """Yield what stands in the content key for each entry besides its path."""
    contents = iter(hashes.sha256([entry for entry in entries if entry.kind == "file"]))
    for entry in entries:
        if entry.kind == "file":
            yield ("executable " if entry.executable else "file ") + next(contents)
        elif entry.kind == "directory":
            yield "folder"
        else:
            yield f"{'executable ' if entry.executable else ''}{entry.kind} {entry.target}"


def _differences(old: Source, entries: Sequence[Entry], taken_ns: int, hashes: ContentHashes) -> set[str]:
    known = {entry.path: (entry, value) for entry, value in zip(old.entries, old.values, strict=True)}
    changed = set()
    doubtful = []
    for entry in entries:
        before = known.pop(entry.path, None)
        if before is None:
            changed.add(entry.location)
        elif before[0] != entry or is_fresh(entry.ctime_ns, taken_ns):
            doubtful.append((entry, before[1]))
    values = _values([entry for entry, _ in doubtful], hashes)
    changed.update(entry.location for (entry, was), now in zip(doubtful, values, strict=True) if was != now)
    changed.update(entry.location for entry, _ in known.values())
    return changed
