"""When each target was built and pushed, from what buildx prints."""

import json
from typing import Any

from tasks.core.solve import Solve
from tasks.core.spans import Span, alone, covered

MINUTE = "2026-01-02T03:04:"
PUSH = {"one": "[one] pushing r/one:t with docker", "two": "[two] pushing r/two:t with docker"}


def vertex(digest: str, name: str, began: float, ended: float | None) -> dict[str, Any]:
    times = {"started": f"{MINUTE}{began:06.3f}456789Z", **({"completed": f"{MINUTE}{ended:06.3f}Z"} if ended else {})}
    return {"digest": digest, "name": name, **times}


def status(vertex_: str, name: str, began: float, ended: float | None = None, total: int = 0) -> dict[str, Any]:
    found = {**vertex("", "", began, ended), "vertex": vertex_, "id": name}
    return found | ({"total": total} if total else {})


def read(targets: tuple[str, ...], *documents: dict[str, Any]) -> Solve:
    solve = Solve(targets=targets)
    list(solve.read(json.dumps(document) for document in documents))
    return solve


def test_pushing_is_told_apart_from_building_and_both_have_their_target() -> None:
    solve = read(
        ("one", "two"),
        {"vertexes": [vertex("a", "[one 1/2] RUN x", 1, None)]},
        {"vertexes": [vertex("a", "[one 1/2] RUN x", 1, 3), vertex("p", PUSH["one"], 3, None)]},
        {"statuses": [status("p", "pushing layer 0123456789ab", 3, total=50)]},
        {"vertexes": [vertex("b", "[two 1/2] RUN y", 2, 5)]},
        {"vertexes": [vertex("p", PUSH["one"], 3, 7)], "statuses": [status("p", "pushing layer 0123456789ab", 3, 7)]},
    )
    assert [round(covered(solve.worked[name])) for name in ("one", "two")] == [2, 3]
    assert round(covered(solve.pushed["one"])) == 4
    assert "two" not in solve.pushed
    everything = [span for spans in solve.worked.values() for span in spans]
    assert round(alone(solve.pushed["one"], everything)) == 2


def test_layers_that_the_registry_had_did_not_move() -> None:
    solve = read(
        ("one", "two"),
        {"vertexes": [vertex("p", PUSH["one"], 3, 7), vertex("q", PUSH["two"], 3, 7)]},
        {
            "statuses": [
                status("p", "pushing layer aaaaaaaaaaaa", 3, total=50),
                status("p", "pushing layer bbbbbbbbbbbb", 3),
            ]
        },
        {"statuses": [status("q", "pushing layer bbbbbbbbbbbb", 3, 7)]},
    )
    assert solve.moved == {"one": {"aaaaaaaaaaaa"}, "two": set()}


def test_a_builder_that_does_not_name_layers_says_nothing_of_them() -> None:
    solve = read(
        ("one",),
        {"vertexes": [vertex("e", "exporting to image", 1, 4)]},
        {"statuses": [status("e", "pushing layers", 2, 3.5), status("e", "pushing manifest for r/one:t", 3.5, 4)]},
    )
    assert solve.moved == {}
    assert round(covered(solve.pushed["one"])) == 2


def test_a_step_that_two_targets_share_counts_for_both() -> None:
    solve = read(
        ("one", "two"),
        {"vertexes": [vertex("a", "[one base 1/1] RUN x", 1, None)]},
        {"vertexes": [vertex("a", "[two base 1/1] RUN x", 1, 3)]},
    )
    assert [len(solve.worked[name]) for name in ("one", "two")] == [1, 1]
    assert isinstance(solve.worked["one"][0], Span)
