"""The picture of a build graph."""

from itertools import combinations

from tasks.core.build import BuildDefinition
from tasks.core.graph import COLUMN, MOST_IMAGES, NODE, Picture, picture


def built(*bases: str) -> BuildDefinition:
    return BuildDefinition(stack="notes", service="", context="", bases=bases)


def drawn(
    definitions: dict[str, BuildDefinition], stale: str = "", external: tuple[str, ...] = (), **sources: tuple[str, ...]
) -> Picture:
    made_of = {name: sources.get(name, (name,)) for name in definitions}
    return picture(definitions, external, made_of, stale=frozenset(stale.split()), notes={"a": "built"})


def test_images_stand_right_of_what_they_are_made_of() -> None:
    found = drawn({"a": built("b"), "b": built(), "c": built("a")})
    x = {(node.state == "source", node.name): node.x for node in found.nodes}
    assert x[True, "b"] < x[False, "b"] < x[False, "a"] < x[False, "c"]
    assert found.width == x[False, "c"] + COLUMN
    assert len(found.edges) == 5


def test_no_two_boxes_touch_and_all_are_inside() -> None:
    found = drawn({name: built(*("b" if name == "a" else "")) for name in "abcdefg"}, external=("x", "y"))
    for one, other in combinations(found.nodes, 2):
        apart = abs(one.x - other.x) >= min(one.width, other.width) or abs(one.y - other.y) >= NODE
        assert apart, (one, other)
    assert all(0 <= node.y <= found.height - NODE for node in found.nodes)


def test_what_was_built_is_marked_with_the_lines_that_lead_to_it() -> None:
    found = drawn({"a": built(), "b": built()}, "a", a=("a", "shared"), b=("b", "shared"))
    assert {node.name: node.state for node in found.nodes if node.state != "source"} == {"a": "stale", "b": "fresh"}
    assert [edge.stale for edge in found.edges] == [False, False, True, True]
    assert sum(node.name == "shared" for node in found.nodes) == 1
    assert {node.note for node in found.nodes if node.name == "a" and node.state == "stale"} == {"built"}


def test_what_is_not_built_here_is_external() -> None:
    (node,) = drawn({}, external=("redis",)).nodes
    assert (node.name, node.state) == ("redis", "external")


def test_of_very_many_images_those_that_were_built_are_drawn() -> None:
    names = [f"s{number:03}" for number in range(120)]
    found = drawn({name: built() for name in names}, stale="s119 s064", external=("redis",))
    images = [node for node in found.nodes if node.state != "source"]
    assert len(images) == MOST_IMAGES
    assert {node.name for node in images if node.state == "stale"} == {"s119", "s064"}
    assert found.left_out == 120 + 1 - MOST_IMAGES


def test_images_that_start_from_each_other_are_drawn_all_the_same() -> None:
    assert len(drawn({"a": built("b"), "b": built("a")}).nodes) == 4


def test_nothing_is_a_picture_too() -> None:
    found = drawn({})
    assert not found.nodes
    assert not found.edges
    assert found.height == NODE
