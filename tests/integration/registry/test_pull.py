"""Engines pull through a registry's trouble: they themselves ask for a manifest only once."""

from collections.abc import Iterator

import pytest

from tasks.adapters.engine import Engine
from tasks.adapters.retry import CouldNotAsk
from tasks.core.errors import OnevmError
from tests.integration.registries import Behaviour, Front, Handler, error, forward, of, running_front, says
from tests.integration.shop import docker

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
