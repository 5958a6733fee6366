"""What doit tracks of each built service, so that it knows which are stale.

Up to `MOST_FILES` files in all, every input is a `file_dep` of its own and `doit info` names the changed one.
Beyond that such lists alone take seconds, and one fingerprint file per service stands for them.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.core.build import BuildDefinition
from tasks.core.context import Entry, list_context, list_input
from tasks.core.inputs import places, signature
from tasks.core.keys import recipe
from tasks.steps.project import words

MOST_FILES = 5000
_READING = ("build", "push", "deploy")
_DOIT_COMMANDS = {"info", "forget", "reset-dep", "run", "clean", "ignore"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracked:
    """What doit compares for one service: files by content, and everything else as one text."""

    files: tuple[str, ...]
    shape: str


def tracked(definitions: Mapping[str, BuildDefinition], cache: Path) -> dict[str, Tracked]:
    """Return what doit shall track for each service by name.

    Args:
        definitions: the built services.
        cache: where fingerprint files are kept.
    """
    if not _needed(words()):
        return {name: Tracked(files=(), shape="") for name in definitions}
    found: dict[str, Tracked] = {}
    count = 0
    for name, definition in definitions.items():
        entries = [entry for place in places(definition) for entry in _entries(place.root, place.rules)]
        count += len(entries)
        if count > MOST_FILES:
            return _fingerprints(definitions, cache)
        found[name] = Tracked(
            files=tuple(sorted({_shown(entry.location) for entry in entries if entry.kind == "file"})),
            shape=_shape(definition, entries),
        )
    return {name: _with_bases(name, found, definitions) for name in found}


def _needed(words_: tuple[str, ...]) -> bool:
    """Whether this command line can reach a build task; when in doubt it can."""
    if not words_:
        return False
    if words_[0] == "list":
        import sys

        return any(arg in {"-s", "--status"} or (arg[:1] == "-" and arg[1:2] != "-" and "s" in arg) for arg in sys.argv)
    return words_[0] in _DOIT_COMMANDS or any(word.partition(":")[0] in _READING for word in words_)


def _entries(root: str, rules: object) -> Iterable[Entry]:
    from tasks.core.ignore import IgnoreRules

    return list_context(root, rules) if isinstance(rules, IgnoreRules) else list_input(root)


def _shape(definition: BuildDefinition, entries: Iterable[Entry]) -> str:
    digest = hashlib.sha256(recipe(definition).encode())
    for entry in sorted((e.location, e.kind, str(e.executable), e.target) for e in entries):
        for field in entry:
            data = field.encode(errors="surrogateescape")
            digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def _with_bases(name: str, found: Mapping[str, Tracked], definitions: Mapping[str, BuildDefinition]) -> Tracked:
    """Return a service's own files and those of the services it starts from."""
    own = found[name]
    bases = [f"{definitions[name].stack}.{base}" for base in definitions[name].bases]
    all_of = [own, *(_with_bases(base, found, definitions) for base in bases)]
    if len(all_of) == 1:
        return own
    files = sorted({file for tracked_ in all_of for file in tracked_.files})
    shape = hashlib.sha256("\0".join(t.shape for t in all_of).encode()).hexdigest()
    return Tracked(files=tuple(files), shape=shape)


def _fingerprints(definitions: Mapping[str, BuildDefinition], cache: Path) -> dict[str, Tracked]:
    folder = cache / "inputs"
    folder.mkdir(exist_ok=True)
    found = {}
    for name, definition in definitions.items():
        seen = signature(definition)
        text = f"{seen.digest} {recipe(definition)}"
        if not seen.settled:
            # A write in the same tick could leave the same times: this one must never compare as equal.
            text += f" {time.time_ns()}"
        file = folder / name
        if not file.is_file() or file.read_text() != text:
            file.write_text(text)
        found[name] = Tracked(files=(_shown(str(file)),), shape="fingerprint")
    return {name: _with_bases(name, found, definitions) for name in found}


def _shown(path: str) -> str:
    below = os.path.relpath(path)
    return path if below.startswith("..") else below
