"""The build graph as a picture: sources, the images made of them, and what of it a deploy had to do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from tasks.core.build import BuildDefinition

State = Literal["source", "stale", "fresh", "external"]
Place = tuple[str, str]

ROW, NODE, COLUMN, GAP = 52, 40, 236, 84
LETTER, MOST_LETTERS = 7.6, 30
MOST_IMAGES = 40


class Node(Struct, frozen=True, kw_only=True):
    """A box.

    Attributes:
        name: what it is called.
        state: `source`, or the image's: `stale` (it was built), `fresh`, `external`.
        note: a second line.
        x: its left edge.
        y: its upper edge.
        width: how wide it is.
    """

    name: str
    state: State
    note: str
    x: float
    y: float
    width: float


class Edge(Struct, frozen=True, kw_only=True):
    """A line from one box to another, as the path of a curve; `stale` if what it leads to was built."""

    path: str
    stale: bool


class Picture(Struct, frozen=True, kw_only=True):
    """Boxes and lines with the room that they need, and how many images are not drawn."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: float
    height: float
    left_out: int = 0


class _Grid(Struct):
    """Columns of boxes, each in the middle of the height that the longest one needs."""

    columns: dict[int, list[Place]] = field(default_factory=dict)

    @property
    def first_width(self) -> float:
        """How wide the sources are: as long as their names."""
        longest = max((len(name) for _, name in self.columns.get(0, ())), default=0)
        return LETTER * min(longest, MOST_LETTERS) + 2 * LETTER

    def add(self, column: int, place: Place) -> None:
        self.columns.setdefault(column, []).append(place)

    @property
    def rows(self) -> int:
        return max((len(places) for places in self.columns.values()), default=1)

    def corners(self) -> dict[Place, tuple[float, float]]:
        left = {column: self.first_width + GAP + (column - 1) * (COLUMN + GAP) for column in self.columns} | {0: 0.0}
        return {
            place: (left[column], (row + (self.rows - len(places)) / 2) * ROW)
            for column, places in self.columns.items()
            for row, place in enumerate(places)
        }


def picture(
    definitions: Mapping[str, BuildDefinition],
    external: Sequence[str],
    sources: Mapping[str, Sequence[str]],
    *,
    stale: frozenset[str],
    notes: Mapping[str, str],
) -> Picture:
    """Return the picture of a stack's build graph: sources on the left, images right of what they are made of.

    Args:
        definitions: what is built here, by service.
        external: the services that are not.
        sources: by service that is built here, what it is made of besides other images.
        stale: the services that the last deploy built.
        notes: by service, what became of its image and its containers.
    """
    # What was built is drawn in any case, and first: then few lines cross.
    names = sorted(definitions, key=lambda name: (name not in stale, name))[:MOST_IMAGES]
    others = sorted(external)[: MOST_IMAGES - len(names)]
    grid = _Grid()
    for name in names:
        grid.add(1 + _depth(name, definitions), ("image", name))
    for source in _outside_in(grid, sources):
        grid.add(0, ("source", source))
    for name in others:
        grid.add(1, ("image", name))
    at = grid.corners()
    nodes = []
    for (kind, name), (x, y) in at.items():
        state: State = "stale" if name in stale else "fresh" if name in definitions else "external"
        note = notes.get(name, "") if kind == "image" else ""
        width = grid.first_width if kind == "source" else COLUMN
        nodes.append(Node(name=name, state="source" if kind == "source" else state, note=note, x=x, y=y, width=width))
    edges = [
        Edge(
            path=_curve(at[start], grid.first_width if start[0] == "source" else COLUMN, at["image", name]),
            stale=name in stale,
        )
        for name in names
        for start in _starts(definitions[name], sources.get(name, ()))
        if start in at
    ]
    return Picture(
        nodes=tuple(nodes),
        edges=tuple(sorted(edges, key=lambda edge: edge.stale)),
        width=max((x for x, _ in at.values()), default=0) + COLUMN,
        height=grid.rows * ROW - (ROW - NODE),
        left_out=len(definitions) + len(external) - len(names) - len(others),
    )


def _outside_in(grid: _Grid, sources: Mapping[str, Sequence[str]]) -> list[str]:
    """Return sources in an order in which lines to the columns further right go around the nearer ones."""
    near = [name for _, name in grid.columns.get(1, ())]
    far = [name for column, places in sorted(grid.columns.items()) if column > 1 for _, name in places]
    half = len(far) // 2 + len(far) % 2
    order = [*far[:half], *near, *far[half:]]
    # What several need stands beside the nearest of them.
    first = {source: name for name in (*far, *near) for source in sources.get(name, ())}
    return [source for name in order for source in dict.fromkeys(sources.get(name, ())) if first[source] == name]


def _starts(definition: BuildDefinition, sources: Sequence[str]) -> Iterator[Place]:
    yield from (("source", source) for source in sources)
    yield from (("image", base) for base in definition.bases)


def _depth(name: str, definitions: Mapping[str, BuildDefinition], above: frozenset[str] = frozenset()) -> int:
    """Return how many images built here are below one, one on the other."""
    bases = [base for base in definitions[name].bases if base in definitions and base not in above | {name}]
    return 1 + max(_depth(base, definitions, above | {name}) for base in bases) if bases else 0


def _curve(start: tuple[float, float], width: float, end: tuple[float, float]) -> str:
    x1, y1 = start[0] + width, start[1] + NODE / 2
    x2, y2 = end[0], end[1] + NODE / 2
    bend = x2 - GAP
    middle = x2 - GAP / 2
    straight = f"H{bend:g}" if bend > x1 else ""
    return f"M{x1:g} {y1:g}{straight}C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"
