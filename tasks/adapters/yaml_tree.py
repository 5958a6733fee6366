"""Compose files as trees in which everything has its line. A library reads the YAML: ruamel.yaml."""

from collections.abc import Mapping
from os.path import normpath
from pathlib import Path
from typing import Any

from tasks.core.errors import OnevmError
from tasks.core.lint import tree
from tasks.core.lint.tree import Document, Entry, Node, Scalar, Sequence, Table
from tasks.core.model import Stack

_MERGE = "tag:yaml.org,2002:merge"
_COMPOSE_TAGS = ("!reset", "!override")
_MOST_FILES = 200


def read(stack: Stack) -> dict[str, list[Document]]:
    """Return the documents of a stack's Compose files by absolute path, with the files that they extend or include.

    Files that are not there, or are no YAML, are left out: Compose has its own words for them.
    """
    found: dict[str, list[Document]] = {}
    queue = [normpath(stack.path / name) for name in stack.compose]
    while queue and len(found) < _MOST_FILES:
        file = queue.pop(0)
        if file in found:
            continue
        found[file] = _documents(file)
        for document in found[file]:
            for name in _elsewhere(document.root):
                # Relative to the file that names it, or to the project's folder: Compose does both.
                queue += [normpath(folder / name) for folder in dict.fromkeys((Path(file).parent, stack.path))]
    return {file: documents for file, documents in found.items() if documents}


def parse(text: str, file: str) -> list[Document]:
    """Return the documents of a text.

    Raises:
        OnevmError: it is no YAML.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        nodes = list(YAML(typ="safe", pure=True).compose_all(text))
        known: dict[int, Node] = {}
        return [Document(file=file, root=_node(node, known)) for node in nodes if node is not None]
    except (YAMLError, MarkedYAMLError, RecursionError) as error:
        raise OnevmError(f"{file} is no YAML", detail=str(error)) from None


def _documents(file: str) -> list[Document]:
    try:
        return parse(Path(file).read_text(encoding="utf-8-sig", errors="replace"), file)
    except (OSError, OnevmError):
        return []


def _elsewhere(root: Node) -> list[str]:
    """Return the files that a document extends or includes."""
    services = tree.entries(tree.at(root, "services")).values()
    names = [tree.text(tree.at(entry.value, "extends", "file")) for entry in services]
    for item in tree.items(tree.at(root, "include")):
        paths = tree.at(item, "path") or item
        names += [tree.text(path) for path in tree.items(paths) or (paths,)]
    return [name for name in names if name]


def _node(node: Any, known: dict[int, Node]) -> Node:
    """Convert a node of the library; an anchored one is converted once, however often it is used."""
    if id(node) in known:
        return known[id(node)]
    line = node.start_mark.line + 1
    tag = str(node.tag or "")
    tag = tag if tag in _COMPOSE_TAGS else ""
    # An alias inside of what it names would never end.
    known[id(node)] = Scalar(line=line, text="")
    converted: Node
    if isinstance(node.value, str):
        block = getattr(node, "style", None) in {"|", ">"}
        converted = Scalar(
            line=line, tag=tag or ("!str" if getattr(node, "style", None) else ""), text=node.value, block=block
        )
    elif any(isinstance(item, tuple) for item in node.value) or "map" in str(node.tag):
        converted = Table(line=line, tag=tag, entries=_entries(node.value, known))
    else:
        converted = Sequence(line=line, tag=tag, items=tuple(_node(item, known) for item in node.value))
    known[id(node)] = converted
    return converted


def _entries(pairs: list[tuple[Any, Any]], known: dict[int, Node]) -> Mapping[str, Entry]:
    own: dict[str, Entry] = {}
    merged: dict[str, Entry] = {}
    for key, value in pairs:
        if key.tag == _MERGE:
            node = _node(value, known)
            for source in tree.items(node) or (node,):
                for name, entry in tree.entries(source).items():
                    merged.setdefault(name, entry)
        else:
            own[str(key.value)] = Entry(line=key.start_mark.line + 1, value=_node(value, known))
    return {**merged, **own}
