"""A YAML document with the line of everything in it. What comes by an anchor or a merge key is where it was written."""

from collections.abc import Iterator, Mapping

from msgspec import Struct, field


class Node(Struct, frozen=True, kw_only=True):
    """A value and its line, counted from 1.

    Attributes:
        line: where the value begins.
        tag: a tag of Compose's, `!reset` or `!override`; else empty.
    """

    line: int
    tag: str = ""


class Scalar(Node, frozen=True, kw_only=True):
    """A text, number or truth value, as it is written, without quotes.

    `block` says that it is a block (`|` or `>`), whose text begins on the next line.
    """

    text: str
    block: bool = False


class Sequence(Node, frozen=True, kw_only=True):
    """A list."""

    items: tuple[Node, ...] = ()


class Entry(Struct, frozen=True, kw_only=True):
    """One key of a mapping, with the line of the key, and its value."""

    line: int
    value: Node


class Table(Node, frozen=True, kw_only=True):
    """A mapping; what comes in by a merge key (`<<`) is among its entries."""

    entries: Mapping[str, Entry] = field(default_factory=dict)

    def get(self, name: str) -> Node | None:
        """Return the value of a key."""
        entry = self.entries.get(name)
        return entry.value if entry else None


class Document(Struct, frozen=True, kw_only=True):
    """One document of a file; `file` is an absolute path."""

    file: str
    root: Node


def at(node: Node | None, *path: str) -> Node | None:
    """Return what stands below a node under these keys, None if it is not there."""
    for name in path:
        node = node.get(name) if isinstance(node, Table) else None
    return node


def text(node: Node | None) -> str:
    """Return the text of a scalar, empty for anything else."""
    return node.text if isinstance(node, Scalar) else ""


def named(node: Node | None) -> Iterator[tuple[str, int, str | None]]:
    """Yield name, line and text of what may be a mapping or a list of `name=value` (environment, args, labels).

    The text is None where there is none: the value then comes from the environment.
    """
    if isinstance(node, Table):
        for name, entry in node.entries.items():
            value = entry.value
            empty = not isinstance(value, Scalar) or (value.text in {"", "~", "null"} and not value.tag)
            yield name, entry.line, None if empty else text(value)
    elif isinstance(node, Sequence):
        for item in node.items:
            name, sign, value_text = text(item).partition("=")
            yield name, item.line, value_text if sign else None


def items(node: Node | None) -> tuple[Node, ...]:
    """Return the items of a list; nothing has none."""
    return node.items if isinstance(node, Sequence) else ()


def entries(node: Node | None) -> Mapping[str, Entry]:
    """Return the entries of a mapping; nothing has none."""
    return node.entries if isinstance(node, Table) else {}
