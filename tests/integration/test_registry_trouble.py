"""A registry that answers with trouble: whole commands against it, with the real one behind.

Everything is pushed and named before. So whoever builds, or writes a manifest, has taken trouble for an absence.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.registries import (
    Behaviour,
    Front,
    Handler,
    cut,
    error,
    forward,
    not_http,
    of,
    running_front,
    says,
)
from tests.integration.shop import Ran, Running, Shop

pytestmark = pytest.mark.engine

HTML = "<html><title>Sign in to the hotel's network</title></html>"
TROUBLE: dict[str, Behaviour] = {
    "401": error(401, "UNAUTHORIZED"),
    "429": error(429, "TOOMANYREQUESTS"),
    "429 with a wait": error(429, "TOOMANYREQUESTS", Retry_After="1"),
    "500": error(500, "UNKNOWN"),
    "cut": cut,
    "garbage": not_http,
    "a web page": says(200, HTML, "text/html"),
    "a web page that is not found": says(404, HTML, "text/html"),
}
# Asking again would not help.
FINAL = "401"
COMMANDS = {"push": "push", "plan": "plan", "deploy": "deploy", "deploy of a commit": "deploy sha={sha}"}
# The ways of asking are the same in all commands: one trouble of each kind is enough for half of them.
CASES = [
    (kind, command)
    for kind in TROUBLE
    for command in COMMANDS
    if command in ("push", "plan") or kind in ("500", "cut", "a web page that is not found")
]
ATTEMPTS = 4


@dataclass
class Trouble:
    """What one kind of trouble led to: how commands ended, and what came to the registry."""

    front: Front
    ran: dict[str, Ran] = field(default_factory=dict)


@pytest.fixture(scope="module")
def pushed(make_shared_shop: MakeShop) -> Shop:
    """Give a shop that is pushed."""
    shop = make_shared_shop("ab")
    shop.doit("push").ok()
    return shop


@pytest.fixture(scope="module")
def before(pushed: Shop) -> dict[str, dict[str, str]]:
    return pushed.all_tags()


@pytest.fixture(scope="module")
def lasting(
    lab: str, pushed: Shop, before: object, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Trouble]]:
    """Run every command against every lasting trouble, all at once: most of it is waiting."""
    del before
    found: dict[str, Trouble] = {}
    running: dict[tuple[str, str], Running] = {}
    with ExitStack() as closing:
        for kind, behaviour in TROUBLE.items():
            front = closing.enter_context(running_front(lab))
            front.always = of("onevm", "*", "/manifests/", behaviour)
            found[kind] = Trouble(front)
        for kind, name in CASES:
            # Each from a clone of its own, as on as many runners.
            where = found[kind].front.host
            clone = pushed.cloned(tmp_path_factory.mktemp("runner"), "--depth=1", registry=where)
            running[kind, name] = clone.start(*COMMANDS[name].format(sha=pushed.sha).split())
        for (kind, name), run in running.items():
            found[kind].ran[name] = run.wait()
        yield found


@pytest.mark.parametrize(("kind", "command"), CASES)
def test_lasting_trouble_is_a_clear_failure(lasting: dict[str, Trouble], kind: str, command: str) -> None:
    ran = lasting[kind].ran[command]
    assert ran.code == 1, ran
    assert "refuses anonymous access" in ran.err if kind == FINAL else "no usable answer" in ran.err
    assert lasting[kind].front.host in ran.err
    assert "next:" in ran.err
    assert "Traceback" not in ran.err
    assert "not pushed whole" not in ran.err
    assert ran.bakes == []
    assert ran.ups == []


@pytest.mark.parametrize("kind", TROUBLE)
def test_lasting_trouble_is_asked_again_and_nothing_is_written_meanwhile(
    lasting: dict[str, Trouble], kind: str
) -> None:
    seen = lasting[kind].front.seen
    assert {request.method for request in seen} <= {"HEAD", "GET"}
    keys = [request.path for request in seen if "/manifests/key-" in request.path]
    tries = 1 if kind == FINAL else ATTEMPTS
    # Who deploys a commit asks for its name, not for keys.
    asking = sum(command in ("push", "plan", "deploy") for case, command in CASES if case == kind)
    if kind.startswith("a web page"):
        # What HEAD leaves open, GET is asked.
        assert len(keys) > tries * asking
    else:
        assert [keys.count(key) for key in sorted(set(keys))] == [tries * asking] * len(set(keys))
    assert len(set(keys)) == 2


def test_after_all_that_trouble_the_registry_has_what_it_had(
    lasting: dict[str, Trouble], pushed: Shop, before: dict[str, dict[str, str]]
) -> None:
    assert lasting
    assert pushed.all_tags() == before
    assert pushed.containers() == []


def test_passing_trouble_is_survived_without_a_bake_or_a_write(
    lab: str, pushed: Shop, before: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    passing = [kind for kind in TROUBLE if kind != FINAL]
    with ExitStack() as closing:
        fronts = {kind: closing.enter_context(running_front(lab)) for kind in passing}
        running = {}
        for kind, front in fronts.items():
            front.script = [TROUBLE[kind]]
            running[kind] = pushed.cloned(tmp_path / kind, "--depth=1", registry=front.host).start("push")
        for kind, run in running.items():
            assert run.wait().ok().bakes == [], kind
            assert {request.method for request in fronts[kind].seen} <= {"HEAD", "GET"}, kind
            assert len(fronts[kind].seen) > 3 * len(pushed.built), kind
    assert pushed.all_tags() == before


def test_trouble_after_a_bake_gives_no_key_away(lab: str, make_shop: MakeShop) -> None:
    """The image is built and pushed; whether another run was first cannot be asked: then it is nobody's."""
    baked = False

    def once_baked(handler: Handler) -> None:
        (error(500, "UNKNOWN") if baked else forward)(handler)

    def note(handler: Handler) -> None:
        nonlocal baked
        baked = True
        forward(handler)

    with running_front(lab) as front:
        shop = make_shop("a", registry=front.host)
        lookups = of("onevm", "HEAD", "/manifests/key-", once_baked)
        front.always = of("docker", "PUT", "/manifests/building-", note, lookups)
        ran = shop.doit("push")
        assert baked
        assert ran.code == 1, ran
        assert "no usable answer: HEAD" in ran.err
        assert shop.keys("a") == {}
        assert shop.sha not in shop.tags("a")
        front.always = None
        shop.doit("push").ok()
        assert len(shop.keys("a")) == 1
        assert shop.sha in shop.tags("a")
