"""What a person sees, and what nobody may see."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.steps import output
from tasks.steps.output import Screen, hide, masked

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_secrets", set())


def log() -> Screen:
    return Screen(terminal=False, json=False)


Captured = pytest.CaptureFixture[str]


def test_hidden_values_are_masked_wherever_they_stand() -> None:
    hide("hunter2")
    assert masked("a hunter2 hunter2b\nhunter2") == "a *** ***b\n***"


def test_a_secret_that_begins_another_uncovers_nothing_of_it() -> None:
    for value in ("hunter2-and-more", "hunter2", "and-more", "hunter2-and"):
        hide(value)
    assert masked("hunter2-and-more") == "***"


@pytest.mark.parametrize("value", ["", "1", "yes"])
def test_what_is_too_short_to_be_a_secret_is_left_alone(value: str) -> None:
    hide(value)
    assert masked("1 yes no") == "1 yes no"


@given(st.lists(st.text("ab", min_size=4, max_size=8), max_size=5), st.text("ab ", max_size=40))
def test_no_secret_survives(secrets: list[str], text: str) -> None:
    output._secrets.clear()
    for secret in secrets:
        hide(secret)
    shown = masked(text)
    assert not any(secret in shown for secret in secrets)


def test_every_way_out_masks(capsys: Captured) -> None:
    hide("hunter2")
    screen = log()
    screen.say("say hunter2")
    screen.warn("warn hunter2")
    screen.error("error hunter2")
    screen.begin("shop.web", "building", "hunter2")
    screen.end("shop.web", "built", note="hunter2")
    screen.document({"a": "hunter2"})
    screen.table("", ["hunter"], [["hunter2"]])
    out, err = capsys.readouterr()
    assert "hunter2" not in out + err
    assert (out + err).count("***") == 7


def test_what_comes_in_phases_took_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    screen = log()
    screen.begin("shop.web", "starting beside the old one")  # 0
    screen.begin("shop.web", "draining the old one")
    screen.begin("shop.web", "stopping the old one")
    assert screen.end("shop.web", "replaced") == 10
    screen.begin("shop.web", "waiting for health")  # 20
    screen.begin("shop.api", "waiting for health")  # 30
    screen.give_up("shop")  # 40, 50
    screen.begin("shop.web", "replacing")  # 60
    assert screen.end("shop.web", "healthy") == 10


@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_to_be_copied_is_never_folded(
    terminal: bool, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    screen = Screen(terminal=terminal, json=False)
    screen.quote("docker compose -p shop up -d")
    screen.say("it is said in a few words")
    said = "it is said in a few\n  words\n" if terminal else "it is said in a few words\n"
    assert capsys.readouterr().out == f"docker compose -p shop up -d\n{said}"


def test_a_log_has_stamped_lines(capsys: Captured) -> None:
    screen = log()
    screen.begin("shop.web", "building")
    screen.note("shop.web", "only a terminal shows this")
    screen.end("shop.web", "built", note="pushed")
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d shop\.web +building", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d shop\.web +built \([\d.]+ s\) pushed", second)


def test_the_end_of_what_never_began_is_said_too(capsys: Captured) -> None:
    assert log().end("shop.web", "built") >= 0
    assert "shop.web" in capsys.readouterr().out


def test_an_error_is_said_once_and_apart_from_the_rest(capsys: Captured) -> None:
    screen = log()
    screen.say("before")
    for _ in range(3):
        screen.error("it broke\n  next: mend it")
    screen.error("another")
    out, err = capsys.readouterr()
    assert out == "before\n"
    assert err == "ERROR: it broke\n  next: mend it\nERROR: another\n"


def test_json_has_standard_output_to_itself(capsys: Captured) -> None:
    screen = Screen(terminal=False, json=True)
    screen.say("hello")
    screen.warn("look")
    screen.begin("a", "building")
    screen.table("t", ["c"], [["cell"]])
    screen.document({"b": 1, "a": ["ü"]})
    screen.error("no")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": ["ü"], "b": 1}
    assert all(text in err for text in ("hello", "warning: look", "building", "cell", "ERROR: no"))


def test_a_table_in_a_log_keeps_each_row_on_one_line(capsys: Captured) -> None:
    cause = "x" * 100 + " " + "y" * 200
    log().table("", ["service", "cause"], [["web", cause], ["api", "[bold]not markup[/bold] :smile:"]])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        ["service", "cause"],
        ["web", *cause.split()],
        ["api", "[bold]not", "markup[/bold]", ":smile:"],
    ]
    assert all(line == line.rstrip() for line in lines)


def test_a_table_has_its_title_and_may_be_empty(capsys: Captured) -> None:
    log().table("releases of shop", ["id", "outcome"], [])
    assert capsys.readouterr().out.splitlines() == ["releases of shop", "id  outcome"]


def test_a_log_has_no_colour(capsys: Captured) -> None:
    screen = log()
    screen.table("", ["state"], [["healthy"], ["unhealthy"]])
    with screen.live():
        screen.begin("a", "building")
        screen.end("a", "built")
    assert "\x1b" not in capsys.readouterr().out


def test_threads_do_not_mix_up_lines(capsys: Captured) -> None:
    screen = log()
    text = "x" * 200

    def talk(number: int) -> None:
        for _ in range(50):
            screen.say(f"{number}{text}")

    threads = [threading.Thread(target=talk, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 400
    assert {line[1:] for line in lines} == {text}


def test_rows_on_a_terminal_stay_as_they_ended(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    screen = Screen(terminal=True, json=False)
    hide("hunter2")
    with screen.live():
        screen.begin("shop.web", "building")
        screen.note("shop.web", "hunter2")
        screen.say("in between, hunter2")
        screen.end("shop.web", "built")
        screen.begin("shop.api", "building")
        screen.end("shop.api", "failed", ok=False)
    out = capsys.readouterr().out
    assert re.search(r"✓ +shop\.web +built", out)
    assert re.search(r"✗ +shop\.api +failed", out)
    assert "in between, ***" in out
    assert "hunter2" not in out


def test_a_reader_that_leaves_ends_nothing(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from tasks.steps.output import Screen
screen = Screen(terminal=False, json=False)
input()
for number in range(1000):
    screen.say("x" * 1000)
screen.table("", ["a"], [["b"]])
screen.document({{}})
Path({str(tmp_path / "done")!r}).touch()
"""
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=writing)
    os.close(writing)
    os.close(reading)
    child.communicate(b"\n", 60)
    assert (tmp_path / "done").exists()
    assert child.returncode == 0
