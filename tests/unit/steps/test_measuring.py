"""What is noted of a deploy is what is known when it is recorded, and costs it nothing."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.core.plan import Operation, Plan
from tasks.core.release import Release, ReleasedService
from tasks.steps.meanwhile import Meanwhile
from tasks.steps.measuring import Layers, Measuring, short
from tasks.steps.timings import Timings

ROOT = Path(__file__).parents[3]
A, B, C = (f"sha256:{letter * 64}" for letter in "abc")
RELEASE = Release(
    id="i",
    stack="notes",
    sha="s",
    dirty=False,
    created="c",
    performer="p",
    previous=None,
    services={"web": ReleasedService(image="r/web@1"), "redis": ReleasedService(image="redis@1", external=True)},
    compose={},
)
PLAN = Plan(
    stack="notes",
    operations=(
        Operation(verb="pull", service="web", cause=""),
        Operation(verb="recreate", service="web", cause="", rollout="start-first"),
        Operation(verb="remove", service="notes-old-1", cause=""),
    ),
)


@pytest.fixture
def never() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_layers_that_two_images_share_came_once() -> None:
    sizes: dict[str, Layers] = {"one": {A: 100, B: 10, C: 1}, "two": {A: 100, C: 1}}
    m = Measuring(layers=sizes.__getitem__)
    m.begin(PLAN)
    m.pulled("one", frozenset({short(A), short(B)}))
    m.pulled("two", frozenset({short(A)}))
    m.pulled("three", frozenset())
    assert m.so_far(RELEASE).pulled_bytes == 110


def test_nothing_pulled_is_no_bytes_and_an_unknown_image_is_unknown() -> None:
    m = Measuring()
    m.begin(PLAN)
    assert (m.so_far(RELEASE).pulled_bytes, m.so_far(RELEASE).pushed_bytes) == (0, 0)
    m.pulled("somewhere", frozenset({short(A)}))
    assert m.so_far(RELEASE).pulled_bytes is None


def test_what_one_image_does_not_say_is_unknown_of_all() -> None:
    m = Measuring(built={"web": lambda: 5, "api": lambda: None})
    m.begin(PLAN)
    assert m.so_far(RELEASE).pushed_bytes is None
    m = Measuring(built={"web": lambda: 5, "api": lambda: 6})
    m.begin(PLAN)
    assert m.so_far(RELEASE).pushed_bytes == 11


def test_a_question_that_fails_or_is_not_answered_is_unknown_and_fails_nothing(never: threading.Event) -> None:
    m = Measuring(built={"web": lambda: 1 // 0}, layers=lambda _: {} if never.wait() else None)
    m.begin(PLAN)
    for number in range(6):
        m.pulled(str(number), frozenset({short(A)}))
    found = m.so_far(RELEASE)
    assert (found.pushed_bytes, found.pulled_bytes, found.resources) == (None, None, None)


def test_services_that_were_not_touched_have_no_seconds() -> None:
    timings = Timings(services={"web": {"key": 0.1, "start": 1.0}, "redis": {"key": 0.1}})
    m = Measuring(timings=timings)
    m.begin(PLAN)
    m.has_all(lambda: {"r/web@1": 7, "other": 9})
    found = m.so_far(RELEASE)
    assert found.services == {"web": {"key": 0.1, "start": 1.0}}
    assert found.changed == {"web": "start-first", "notes-old-1": "remove"}
    assert found.sizes == {"web": 7}
    assert found.took > 0


def test_everything_that_is_asked_meanwhile_is_answered() -> None:
    meanwhile = Meanwhile()
    assert [one.result(60) for one in [meanwhile.submit(pow, n, 2) for n in range(20)]] == [n * n for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        meanwhile.submit(lambda: 1 // 0).result(60)


def test_a_run_ends_without_waiting_for_what_it_asked() -> None:
    text = "import threading; from tasks.steps.meanwhile import Meanwhile; Meanwhile().submit(threading.Event().wait)"
    done = subprocess.run([sys.executable, "-c", text], cwd=ROOT, timeout=60, check=True, capture_output=True)
    assert done.stderr == b""
