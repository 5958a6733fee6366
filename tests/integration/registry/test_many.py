"""Many questions at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.adapters.registry import RegistryClient
from tasks.adapters.retry import CouldNotAsk
from tests.integration.registries import (
    Front,
    Handler,
    Pushed,
    closing,
    forward,
    push_image,
    trickling_head,
)
from tests.integration.registry.asking import Time

pytestmark = pytest.mark.engine


def test_threads_share_connections_and_each_gets_its_own_answer(front: Front, host: str) -> None:
    expected = {f"team/many-{n}": push_image(host, f"team/many-{n}", "1").digest for n in range(8)}
    with RegistryClient(front.host) as client, ThreadPoolExecutor(8) as pool:
        names = list(expected) * 10
        found = list(pool.map(lambda name: client.head(name, "1"), names))
    assert found == [expected[name] for name in names]
    assert front.connections <= 8


def test_a_connection_that_the_registry_closed_is_made_anew(front: Front, image: Pushed, clock: Time) -> None:
    with RegistryClient(front.host, patience=clock.patience()) as client:
        front.script = [closing]
        assert client.head("team/web", "1") == image.digest
        assert client.head("team/web", "1") == image.digest
    assert clock.pauses == []
    assert len(front.seen) == 2


def test_no_more_threads_are_needed_for_more_questions(front: Front, image: Pushed) -> None:
    during: list[int] = []

    def counting(handler: Handler) -> None:
        during.append(sum(thread.name == "deadlines" for thread in threading.enumerate()))
        forward(handler)

    front.always = counting
    with RegistryClient(front.host) as client:
        for _ in range(5):
            assert client.head("team/web", "1") == image.digest
        (watching,) = (thread for thread in threading.enumerate() if thread.name == "deadlines")
    watching.join(10)
    # The first question may arrive before its answer is waited for.
    assert during[1:] == [1] * 4
    assert during[0] <= 1
    assert not watching.is_alive()


def test_a_head_that_trickles_is_given_up(through: RegistryClient, front: Front) -> None:
    front.always = trickling_head
    with pytest.raises(CouldNotAsk, match=r"no answer within 0.4 s \(4 times\)"):
        through.head("team/web", "1")
