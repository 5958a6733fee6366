"""What doit tracks of each built service, so that it knows which are stale.

With few files every input is a `file_dep` of its own, and `doit info` names the changed one. Where a stack has
many, such lists alone take seconds, and one fingerprint file per service stands for them. Which of the two it is
hangs on a service's own files and on how many services there are, so that it is the same for each command.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from tasks.adapters.halves import ask
from tasks.core.build import BuildDefinition
from tasks.core.context import Entry, list_context, list_input, walk
from tasks.core.inputs import Place, places, signature
from tasks.core.keys import recipe
from tasks.steps.reach import reach

MOST_FILES = 5000
MANY_SERVICES = 50  # so many are worth a second process


class Tracked(Struct, frozen=True, kw_only=True):
    """What doit compares for one service: files by content, and everything else as one text."""

    files: tuple[str, ...]
    shape: str


def tracked(definitions: Mapping[str, BuildDefinition], cache: Path) -> dict[str, Tracked]:
    """Return what doit shall track for each service by name; nothing where the command line cannot reach it.

    Args:
        definitions: the built services.
        cache: where fingerprint files are kept.
    """
    found = dict.fromkeys(definitions, Tracked(files=(), shape=""))
    reached = reach()
    if not reached.status:
        return found
    most = MOST_FILES // len(definitions) if definitions else 0
    wanted = _with_bases([name for name in definitions if reached.service(name)], definitions)
    shown = Shown()
    own = {name: listed for name in wanted if (listed := _listed(definitions[name], most, shown))}
    many = [definitions[name] for name in wanted if name not in own]
    folder = cache / "inputs"
    folder.mkdir(exist_ok=True)
    for definition, text in zip(many, ask(_fingerprint, many, at_least=MANY_SERVICES), strict=True):
        file = f"{folder}/{definition.name}"
        _write(file, text)
        own[definition.name] = Tracked(files=(shown(file),), shape=text)
    return found | {name: _joined([own[n] for n in wanted[name]]) for name in wanted}


def _with_bases(names: Iterable[str], definitions: Mapping[str, BuildDefinition]) -> dict[str, list[str]]:
    """Return for each service, and for those that they start from, all that it consists of; itself comes first."""
    found: dict[str, list[str]] = {}

    def visit(name: str) -> list[str]:
        if name not in found:
            bases = [f"{definitions[name].stack}.{base}" for base in definitions[name].bases]
            found[name] = list(dict.fromkeys([name, *(part for base in bases for part in visit(base))]))
        return found[name]

    for name in names:
        visit(name)
    return found


class Shown:
    """Paths as doit shows them: relative to the folder it runs in, if they are below it."""

    def __init__(self) -> None:
        self._here = os.getcwd() + os.sep  # noqa: PTH109 (a string is needed)

    def __call__(self, path: str) -> str:
        """Return a path as doit shall have it."""
        return path.removeprefix(self._here)


def _listed(definition: BuildDefinition, most: int, shown: Shown) -> Tracked | None:
    """Return every file of a service, None if there are too many."""
    found = list(places(definition))
    if _has_more(found, most):
        return None
    entries = [entry for place in found for entry in _entries(place)]
    files = {shown(entry.location) for entry in entries if entry.kind == "file"}
    return Tracked(files=tuple(sorted(files)), shape=_shape(definition, entries))


def _has_more(found: Iterable[Place], most: int) -> bool:
    """Whether there is more than so much in some places; reads no further than that."""
    count = 0
    for place in found:
        if place.rules is None:
            count += len(_entries(place))
            continue
        for _, batch in walk(place.root, place.rules):
            count += len(batch)
            if count > most:
                return True
    return count > most


def _entries(place: Place) -> list[Entry]:
    return list_input(place.root) if place.rules is None else list_context(place.root, place.rules)


def _shape(definition: BuildDefinition, entries: Iterable[Entry]) -> str:
    digest = hashlib.sha256(recipe(definition).encode())
    for entry in sorted((e.location, e.kind, str(e.executable), e.target) for e in entries):
        for field in entry:
            data = field.encode(errors="surrogateescape")
            digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def _joined(all_of: list[Tracked]) -> Tracked:
    """Return a service's own files and those of the services it starts from."""
    if len(all_of) == 1:
        return all_of[0]
    files = sorted({file for tracked_ in all_of for file in tracked_.files})
    shapes = "\0".join(t.shape for t in all_of)
    return Tracked(files=tuple(files), shape=hashlib.sha256(shapes.encode()).hexdigest())


def _fingerprint(definition: BuildDefinition) -> str:
    seen = signature(definition)
    # A write in the same tick could leave the same times: an unsettled one must never compare as equal.
    once = "" if seen.settled else f" {time.time_ns()}"
    return f"{seen.digest} {recipe(definition)}{once}"


def _write(file: str, text: str) -> None:
    """Write a file, unless it has that text: doit goes by its time first."""
    try:
        with open(file, encoding="ascii") as before:  # noqa: PTH123 (Path is slow here)
            if before.read() == text:
                return
    except (OSError, ValueError):
        pass
    Path(file).write_text(text, encoding="ascii")
