"""Where in the user's Compose files something stands that Compose has merged from several.

What a value is, Compose has said already (`docker compose config`). Here only its line is looked for: in the last file
that has it, in what a service extends, in what a file includes.
"""

import os.path
from collections.abc import Iterator, Mapping, Sequence

from tasks.core.lint import tree
from tasks.core.lint.rule import Place
from tasks.core.lint.tree import Document, Node, Table

_MOST_EXTENDED = 20


class Places:
    """The Compose files of one stack.

    Args:
        files: documents by absolute path, files that are extended or included among them.
        order: the stack's own files, in the order in which Compose merges them.
    """

    def __init__(self, files: Mapping[str, Sequence[Document]], order: Sequence[str]) -> None:
        self._files = files
        self._order = tuple(order)

    def layers(self, service: str) -> list[tuple[str, Table]]:
        """Return what says something of a service, the last word first: file and mapping."""
        own = [
            layer
            for file in reversed(self._order)
            for document in reversed(self._files.get(file, ()))
            for layer in self._of(document, service, 0)
        ]
        return own or [layer for file in self._files for d in self._files[file] for layer in self._of(d, service, 0)]

    def _of(self, document: Document, service: str, depth: int) -> Iterator[tuple[str, Table]]:
        found = tree.at(document.root, "services", service)
        if not isinstance(found, Table) or depth > _MOST_EXTENDED:
            return
        yield document.file, found
        extends = found.get("extends")
        base = tree.text(extends) or tree.text(tree.at(extends, "service"))
        if base:
            for other in self._documents(document.file, tree.text(tree.at(extends, "file"))):
                yield from self._of(other, base, depth + 1)

    def _documents(self, here: str, file: str) -> Sequence[Document]:
        if not file:
            return self._files.get(here, ())
        for folder in dict.fromkeys(map(os.path.dirname, (here, *self._order))):
            if found := self._files.get(os.path.normpath(os.path.join(folder, file))):  # noqa: PTH118 (no file is touched)
                return found
        return ()

    def service(self, service: str) -> Place:
        """Return the line of a service's name, in the first file that has it."""
        for file in (*self._order, *self._files):
            for document in self._files.get(file, ()):
                if entry := tree.entries(tree.at(document.root, "services")).get(service):
                    return Place(document.file, entry.line)
        return Place(self._order[0] if self._order else "", 1)

    def top(self, file: str, key: str) -> Place:
        """Return the line of a key of a file itself, the first line if it has none."""
        for document in self._files.get(file, ()):
            if entry := tree.entries(document.root).get(key):
                return Place(file, entry.line)
        return Place(file, 1)

    def find(self, service: str, *path: str) -> Place:
        """Return the line of a key, or of the nearest one around it that is written."""
        for length in range(len(path), 0, -1):
            for file, node in self.layers(service):
                if (line := _line(node, path[:length])) is not None:
                    return Place(file, line)
        return self.service(service)

    def written(self, service: str, *path: str) -> Iterator[tuple[str, Node]]:
        """Yield file and value wherever a key of a service is written, the last word first."""
        for file, node in self.layers(service):
            found = tree.at(node, *path)
            if found is not None:
                yield file, found

    def names(self, service: str, *path: str) -> dict[str, tuple[Place, str | None]]:
        """Return place and raw text of every name of a mapping, or of a list of `name=value`."""
        found: dict[str, tuple[Place, str | None]] = {}
        for file, node in self.written(service, *path):
            for name, line, value in tree.named(node):
                found.setdefault(name, (Place(file, line), value))
        return found

    def mount(self, service: str, target: str) -> Place:
        """Return the line of the volume that is mounted at a path in the container."""
        for file, node in self.written(service, "volumes"):
            for item in tree.items(node):
                at = tree.text(tree.at(item, "target")) or _target(tree.text(item))
                if at.rstrip("/") == target.rstrip("/"):
                    return Place(file, item.line)
        return self.find(service, "volumes")

    def port(self, service: str, target: int) -> Place:
        """Return the line of the published port that leads to a port of the container."""
        for file, node in self.written(service, "ports"):
            for item in tree.items(node):
                at = tree.text(tree.at(item, "target")) or tree.text(item)
                if at.partition("/")[0].rpartition(":")[2] == str(target):
                    return Place(file, item.line)
        return self.find(service, "ports")


def _line(node: Node, path: Sequence[str]) -> int | None:
    line = None
    for name in path:
        entry = tree.entries(node).get(name)
        if entry is None:
            return None
        line, node = entry.line, entry.value
    return line


def _target(volume: str) -> str:
    """Return where a volume in short form is mounted: `[SOURCE:]TARGET[:MODE]`; a source may be `${A:-b}`."""
    parts = [""]
    depth = 0
    for letter in volume:
        depth += (letter == "{") - (letter == "}")
        if letter == ":" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts[1] if len(parts) > 1 else parts[0]
