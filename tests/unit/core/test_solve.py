"""The log of a bake, as buildx prints it: the samples are what buildx 0.13.1 printed, without most of its statuses."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.solve import LOG_LINES, Solve, Step

SAMPLES = Path(__file__).parents[2] / "data" / "solve"
PROCESS = (
    'process "/bin/busybox sh -c /bin/busybox echo about to fail; /bin/busybox echo oops >&2; exit 7" '
    "did not complete successfully: exit code: 7"
)
COPY = "COPY busybox /bin/busybox"


def lines_of(sample: str) -> list[str]:
    return (SAMPLES / f"{sample}.txt").read_text().splitlines()


def followed(lines: list[str], *targets: str) -> tuple[Solve, list[Step]]:
    solve = Solve(targets=targets)
    return solve, list(solve.read(lines))


def on_single_lines(lines: list[str]) -> list[str]:
    """The same log as newer versions of buildx print it: each document on a line of its own."""
    text, found = "\n".join(lines) + "\n", []
    while text.startswith("{"):
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(json.dumps(document, separators=(",", ":")))
        text = text[end:].lstrip("\n")
    return [*found, *text.splitlines()]


def test_one_target_that_is_built() -> None:
    solve, steps = followed(lines_of("one"), "ok")
    assert {step.target for step in steps} == {"ok"}
    assert [(step.text.partition("[")[0].strip(), step.finished) for step in steps] == [
        (COPY, False),
        (COPY, True),
        ("RUN", False),
        ("RUN", True),
        ("exporting to image", True),
    ]
    assert (solve.errors, solve.culprits(), solve.words) == ({}, (), [])
    assert solve.logs == {"ok": ["hello from 1", "second line"]}


def test_one_target_that_is_cached() -> None:
    solve, steps = followed(lines_of("one_cached"), "ok")
    assert [step.text for step in steps] == ["exporting to image"]
    assert (solve.errors, solve.logs, solve.words) == ({}, {}, [])


def test_one_target_that_fails() -> None:
    solve, steps = followed(lines_of("one_failing"), "bad")
    assert solve.errors == {"bad": PROCESS}
    assert solve.culprits() == ("bad",)
    assert solve.logs == {"bad": ["about to fail", "oops"]}
    assert [step.error for step in steps if step.error] == [PROCESS]
    assert solve.words[0] == "Dockerfile:3"
    assert solve.words[-1] == f"ERROR: failed to solve: {PROCESS}"


def test_one_of_several_fails_and_is_the_only_culprit() -> None:
    solve, steps = followed(lines_of("several_one_failing"), "bad", "slow", "ok")
    assert {step.target for step in steps} == {"bad", "slow", "ok"}
    assert solve.errors == {"bad": PROCESS}
    assert solve.culprits() == ("bad",)
    assert solve.logs == {"ok": ["hello from 1", "second line"], "bad": ["about to fail", "oops"]}
    assert Step(target="bad", text=f"1/2 {COPY}", finished=True, cached=True) in steps
    assert [step.text for step in steps if step.target == "slow"][-1] == '2/2 RUN ["/bin/busybox","sleep","20"]'
    assert any(step.text == "exporting to image" and step.finished for step in steps if step.target == "ok")


def test_a_base_that_fails_is_named_first_and_its_log_is_everybodys() -> None:
    solve, _ = followed(lines_of("failing_base"), "bad", "dep")
    assert solve.errors == {"bad": PROCESS, "dep": PROCESS}
    assert solve.culprits()[0] == "bad"
    assert solve.logs == {"bad": ["about to fail", "oops"], "dep": ["about to fail", "oops"]}


@pytest.mark.parametrize(("sample", "targets"), [("syntax", ("syn",)), ("syntax_of_two", ("ok", "syn"))])
def test_a_dockerfile_that_cannot_be_read_is_in_the_words(sample: str, targets: tuple[str, ...]) -> None:
    solve, _ = followed(lines_of(sample), *targets)
    assert solve.errors == {}
    assert solve.words[:2] == ["Dockerfile:2", "--------------------"]
    assert "unknown instruction: COPYY" in solve.words[-1]
    assert solve.unread() == ("syn",)


def test_an_unknown_target_is_in_the_words() -> None:
    solve, steps = followed(lines_of("unknown_target"), "nope")
    assert steps == []
    assert solve.words == ["ERROR: failed to find target nope"]


TARGETS = {
    "one": ("ok",),
    "one_cached": ("ok",),
    "one_failing": ("bad",),
    "several_one_failing": ("bad", "slow", "ok"),
    "failing_base": ("bad", "dep"),
    "syntax": ("syn",),
    "syntax_of_two": ("ok", "syn"),
    "unknown_target": ("nope",),
}


def test_every_sample_is_tested() -> None:
    assert set(TARGETS) == {path.stem for path in SAMPLES.iterdir()}


@pytest.mark.parametrize("sample", TARGETS)
def test_documents_on_single_lines_mean_the_same(sample: str) -> None:
    lines = lines_of(sample)
    single = on_single_lines(lines)
    assert len(single) < len(lines)
    assert followed(single, *TARGETS[sample]) == followed(lines, *TARGETS[sample])


@pytest.mark.parametrize("sample", TARGETS)
def test_a_log_that_breaks_off_is_read_as_far_as_it_goes(sample: str) -> None:
    lines = lines_of(sample)
    everything = followed(lines, *TARGETS[sample])[1]
    for cut in range(0, len(lines), 7):
        steps = followed(lines[:cut], *TARGETS[sample])[1]
        assert steps == everything[: len(steps)]


def documents(*found: dict[str, Any]) -> list[str]:
    return [json.dumps(document) for document in found]


def vertex(digest: str, name: str, **more: Any) -> dict[str, Any]:
    return {"vertexes": [{"digest": digest, "name": name, "started": "2026-01-01T00:00:00Z", **more}]}


def log(digest: str, text: str) -> dict[str, Any]:
    return {"logs": [{"vertex": digest, "stream": 1, "data": base64.b64encode(text.encode()).decode()}]}


def test_a_line_that_comes_in_pieces_is_one_line() -> None:
    lines = documents(vertex("v", "[a 1/1] RUN x"), log("v", "one\ntw"), log("v", "o"), log("v", "\nthree\n"))
    assert followed(lines, "a")[0].logs == {"a": ["one", "two", "three"]}


@given(st.lists(st.text("ab\n", max_size=6), max_size=30))
def test_however_a_log_is_cut_its_lines_are_the_same(pieces: list[str]) -> None:
    solve, _ = followed(documents(vertex("v", "[a 1/1] RUN x"), *(log("v", piece) for piece in pieces)), "a")
    assert "\n".join(solve.logs.get("a", [])) == "\n".join("".join(pieces).splitlines()[-LOG_LINES:])


def test_only_the_last_lines_are_kept() -> None:
    lines = documents(vertex("v", "[a 1/1] RUN x"), log("v", "".join(f"{n}\n" for n in range(1000))))
    kept = followed(lines, "a")[0].logs["a"]
    assert (len(kept), kept[-1]) == (LOG_LINES, "999")


def test_a_cache_that_is_not_there_yet_is_no_error() -> None:
    lines = documents(vertex("v", "[a] importing cache manifest from r/x:latest", error="not found"))
    solve, _ = followed(lines, "a", "b")
    assert solve.errors == {}


def test_an_error_that_repeats_another_targets_is_no_culprit() -> None:
    lines = documents(
        vertex("1", "[a] b", error="failed to solve: exit code: 7"), vertex("2", "[b 1/1] RUN x", error="exit code: 7")
    )
    solve, _ = followed(lines, "a", "b")
    assert list(solve.errors) == ["a", "b"]
    assert solve.culprits() == ("b",)


@pytest.mark.parametrize(
    "error", ["rpc error: code = Unavailable desc = error reading from server: EOF", "x: context canceled"]
)
@pytest.mark.parametrize("struck", ["load build context", "load build definition from Dockerfile"])
def test_a_step_that_was_cut_off_makes_no_culprit(struck: str, error: str) -> None:
    lines = documents(
        vertex("1", f"[a internal] {struck}", error=error),
        vertex("2", "[b internal] load build definition from Dockerfile"),
    )
    solve, _ = followed(lines, "a", "b")
    assert (solve.culprits(), solve.unread()) == ((), ("b",))


def test_the_line_that_an_error_points_at_is_quoted() -> None:
    words = ["Dockerfile:2", "-----", "   1 |     FROM scratch", "   2 | >>> COPYY version /", "   3 |     ", "-----"]
    solve, _ = followed([*words, "ERROR: failed to solve: dockerfile parse error on line 2"], "a", "b")
    assert solve.quoted() == ("COPYY version /",)


def test_steps_of_nobody_are_left_out() -> None:
    lines = documents(vertex("1", "[internal] load local bake definitions"), log("1", "x"), vertex("2", "resolving"))
    solve, steps = followed(lines, "a", "b")
    assert (steps, solve.logs, solve.errors) == ([], {}, {})


def test_words_are_kept_whatever_they_look_like() -> None:
    words = ["WARNING: x", "{", '  "not": our json', "}", "{half of one"]
    assert followed(words, "a")[0].words == words


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"), max_size=20)))
def test_no_line_is_too_strange(lines: list[str]) -> None:
    solve, _ = followed(lines, "a")
    assert len(solve.words) <= len(lines)
