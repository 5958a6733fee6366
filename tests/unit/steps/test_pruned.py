"""What a prune says."""

from typing import Any

import pytest

from tasks.core.errors import OnevmError
from tasks.core.prune import Judged, JudgedImage
from tasks.core.release import Release
from tasks.steps.output import Screen
from tasks.steps.pruned import MOST_ROWS, show
from tasks.steps.pruning import OnHost, Pruned, Repository, Room

NAME = "r:5000/team/notes-web"


def judged(number: int, cause: str = "") -> Judged:
    digest = f"sha256:{number:064}"
    verdict: Any = "keep" if cause else "delete"
    return Judged(digest=digest, tags=(f"{number:040}",), verdict=verdict, cause=cause, bytes=0 if cause else 1_000_000)


def pruned(*going: Judged) -> Pruned:
    kept = [judged(n, cause) for n, cause in enumerate(["runs on prod", "release 1", "release 2", "tag latest"], 900)]
    image = JudgedImage(id="sha256:1", names=(f"{NAME}:key-1",), verdict="delete", cause="", bytes=5_000_000)
    dropped = Release(
        id="20260102T030405.000Z-1a2b3c4", stack="notes", sha="", dirty=False, created="", performer="", previous=None,
        services={}, compose={},
    )  # fmt: skip
    return Pruned(
        stack="notes",
        repositories=(Repository(name=NAME, tags=frozenset(), judged=(*kept, *going)),),
        hosts=(OnHost(host="prod", going=(dropped,), staying=(), images=(image,)),),
        before={"prod": Room(images=2_000_000_000, free=None)},
    )


def said(p: Pruned, capsys: pytest.CaptureFixture[str], *, applied: bool = False) -> str:
    show(Screen(terminal=False, json=False), p, applied=applied)
    return capsys.readouterr().out


def test_each_thing_that_goes_is_a_row_and_what_stays_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(pruned(judged(1), judged(2)), capsys)
    assert text.count("would go") == 4, "two digests, a release, an image"
    assert f"{NAME}: 4 digests stay: 1 running, 2 in releases, 1 tag latest" in text
    assert "images 2 GB, free ?" in text
    assert "garbage" not in text


def test_many_are_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    many = pruned(*(judged(n) for n in range(MOST_ROWS)))
    text = said(many, capsys)
    assert f"{MOST_ROWS} digests" in text
    assert "30 MB" in text
    assert text.count("would go") == 2
    many.states = {(NAME, judged(n).digest): "deleted" for n in range(MOST_ROWS)}
    many.states[NAME, judged(3).digest] = "named"
    text = said(many, capsys, applied=True)
    assert f"{MOST_ROWS - 1} deleted, 1 stays: it got a name meanwhile" in text
    assert "garbage collection" in text


def test_in_doubt_no_plan_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(Pruned(stack="notes", doubts=("host away could not be asked",)), capsys)
    assert text == "notes: nothing of it is pruned\n"


def test_nothing_to_prune_is_said_only_by_who_could_look(capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing to prune" in said(Pruned(stack="notes"), capsys)
    assert "could not be told" in said(Pruned(stack="notes", error=OnevmError("no answer")), capsys)
