"""What doit tracks of each built service, so that it knows which are stale.

With few files every input is a `file_dep` of its own, and `doit info` names the changed one. Where a stack has
many, such lists alone take seconds, and one fingerprint file per service stands for them. Which of the two it is
hangs on a service's own files and on how many services there are, so that it is the same for each command.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.core.build import BuildDefinition
from tasks.core.context import Entry, list_context, list_input, walk
from tasks.core.inputs import Place, places, signature
from tasks.core.keys import recipe
from tasks.steps.reach import reach

MOST_FILES = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracked:
    """What doit compares for one service: files by content, and everything else as one text, if there is more."""

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
    wanted = [name for name in definitions if reached.service(name)]
    most = MOST_FILES // len(definitions) if definitions else 0
    folder = cache / "inputs"
    folder.mkdir(exist_ok=True)
    shown = Shown()
    own: dict[str, Tracked] = {}

    def with_bases(name: str) -> Tracked:
        if name not in own:
            own[name] = _own(definitions[name], most, folder, shown)
        bases = [f"{definitions[name].stack}.{base}" for base in definitions[name].bases]
        return _joined([own[name], *map(with_bases, bases)]) if bases else own[name]

    return found | {name: with_bases(name) for name in wanted}


class Shown:
    """Paths as doit shows them: relative to the folder it runs in, if they are below it."""

    def __init__(self) -> None:
        self._here = os.getcwd() + os.sep  # noqa: PTH109 (a string is needed)

    def __call__(self, path: str) -> str:
        """Return a path as doit shall have it."""
        return path.removeprefix(self._here)


def _own(definition: BuildDefinition, most: int, folder: Path, shown: Shown) -> Tracked:
    found = list(places(definition))
    if _has_more(found, most):
        return Tracked(files=(shown(_fingerprint(definition, folder)),), shape="")
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
    files = sorted({file for tracked_ in all_of for file in tracked_.files})
    shapes = "\0".join(t.shape for t in all_of)
    return Tracked(files=tuple(files), shape=hashlib.sha256(shapes.encode()).hexdigest())


def _fingerprint(definition: BuildDefinition, folder: Path) -> str:
    """Return the file that stands for a service's inputs; it is written only when they changed."""
    seen = signature(definition)
    text = f"{seen.digest} {recipe(definition)}"
    if not seen.settled:
        # A write in the same tick could leave the same times: this one must never compare as equal.
        text += f" {time.time_ns()}"
    file = f"{folder}/{definition.name}"
    try:
        with open(file, encoding="ascii") as before:  # noqa: PTH123 (Path is slow here)
            if before.read() == text:
                return file
    except (OSError, ValueError):
        pass
    Path(file).write_text(text, encoding="ascii")
    return file
