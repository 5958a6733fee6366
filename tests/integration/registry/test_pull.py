"""Engines pull through a registry's trouble: they themselves ask for a manifest only once."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters.engine import Engine
from tasks.adapters.retry import CouldNotAsk
from tasks.core.errors import OnevmError
from tests.integration.registries import Behaviour, Front, Handler, error, forward, of, running_front, says, silent
from tests.integration.shop import docker, until

pytestmark = pytest.mark.engine


@pytest.fixture
def front(lab: str) -> Iterator[Front]:
    """Give a registry of our own address, and take what was pulled from it off the engine."""
    with running_front(lab) as found:
        try:
            yield found
        finally:
            docker("image", "rm", f"{found.host}/base/busybox:1", check=False)


def _pulls(front: Front) -> int:
    """Count pulls: an engine begins each by asking whether this is a registry."""
    return sum(request.path == "/v2/" for request in front.seen)


def _at_first(times: int, behaviour: Behaviour) -> Behaviour:
    """Behave in one way to so many questions for a manifest, then pass them on."""
    left = [behaviour] * times

    def choose(handler: Handler) -> None:
        (left.pop() if left else forward)(handler)

    return of("docker", "*", "/manifests/", choose)


@pytest.mark.parametrize("trouble", [error(500, "UNKNOWN"), says(502, "<html>", "text/html"), says(503)])
def test_passing_trouble_is_survived(front: Front, trouble: Behaviour) -> None:
    front.always = _at_first(2, trouble)
    Engine().pull(f"{front.host}/base/busybox:1", {})
    assert docker("image", "inspect", "--format", "there", f"{front.host}/base/busybox:1") == "there\n"
    assert 1 < _pulls(front) <= 3


def test_lasting_trouble_is_said(front: Front) -> None:
    front.always = _at_first(99, error(500, "UNKNOWN"))
    with pytest.raises(CouldNotAsk) as caught:
        Engine().pull(f"{front.host}/base/busybox:1", {})
    assert "500 Internal Server Error" in caught.value.detail
    assert "(3 times)" in caught.value.detail


def test_what_is_not_there_is_asked_for_once(front: Front) -> None:
    with pytest.raises(OnevmError) as caught:
        Engine().pull(f"{front.host}/base/nobody:1", {})
    assert not isinstance(caught.value, CouldNotAsk)
    assert _pulls(front) == 1


def test_a_layer_that_was_fetched_is_told(front: Front) -> None:
    name = f"{front.host}/base/busybox:1"
    docker("image", "rm", name, check=False)
    fetched = Engine().pull(name, {})
    # The engine may have it by another name: then it fetches nothing.
    assert all(len(layer) == 12 and int(layer, 16) >= 0 for layer in fetched)
    assert Engine().pull(name, {}) == frozenset()


_PULLING = """
import signal, sys
from concurrent.futures import ThreadPoolExecutor
from tasks.adapters import process
from tasks.adapters.engine import Engine

def stop(number, frame):
    process.stop_all()
    raise SystemExit(128 + number)

signal.signal(signal.SIGTERM, stop)
with ThreadPoolExecutor(1) as pool:
    pool.submit(Engine().pull, sys.argv[1], {}).result()
"""


def test_who_is_stopped_waits_for_no_registry(front: Front) -> None:
    front.always = of("docker", "*", "/manifests/", silent)
    root = Path(__file__).parents[3]
    child = subprocess.Popen([sys.executable, "-c", _PULLING, f"{front.host}/base/busybox:1"], cwd=root)
    try:
        until(lambda: any("/manifests/" in request.path for request in front.seen), "the pull has begun")
        child.send_signal(signal.SIGTERM)
        assert child.wait(20) == 128 + signal.SIGTERM
    finally:
        child.kill()
        child.wait()
