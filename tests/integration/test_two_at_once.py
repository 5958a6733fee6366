"""Two runs at once: one waits for the other, knows whom it waits for, and finds the work done."""

import getpass
import re

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Running, Shop, docker, until

pytestmark = pytest.mark.engine

GO = "/dev/shm/go"  # noqa: S108 - in the container
PATIENT = {"test": ["CMD", "test", "-f", GO], "interval": "1s", "timeout": "5s", "retries": 100}


def slow_deploy(shop: Shop) -> Running:
    """Start a deploy that holds the lock until `let_go`: a's container waits to be told that it is healthy."""
    with shop.compose() as compose:
        compose["services"]["a"]["healthcheck"] = PATIENT
    shop.commit("Be patient")
    run = shop.start("deploy")
    until(lambda: any(c.service == "a" and c.state == "starting" for c in shop.containers()), "a waits for its health")
    return run


def let_go(shop: Shop) -> None:
    docker("exec", shop.running()["a"].id, "touch", GO)


def test_a_second_deploy_of_the_same_clone_waits_and_has_nothing_left_to_do(make_shop: MakeShop) -> None:
    shop = make_shop("ae")
    first = slow_deploy(shop)
    second = shop.start("deploy")
    until(lambda: "waiting" in second.out + second.err, "the second says that it waits")
    refused = shop.doit("deploy", "lock_wait=0")
    let_go(shop)
    one, two = first.wait().ok(), second.wait().ok()
    assert refused.code == 1, refused
    # Of a run on this very machine its process says more than its user.
    for said in (refused.err, two.out + two.err):
        assert f"process {first.process.pid} " in said
        assert re.search(r"since \d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", said)
    assert len(one.bakes) == 1
    assert two.bakes == []
    assert two.ups == []
    assert len(shop.releases()) == 1
    assert {c.state for c in shop.running().values()} == {"healthy"}


def test_a_deploy_from_another_clone_waits_or_fails_and_names_holder_time_and_commit(
    make_shop: MakeShop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shop = make_shop("ae")
    first = slow_deploy(shop)
    other = shop.cloned(tmp_path_factory.mktemp("elsewhere"))
    refused = other.doit("deploy", "lock_wait=0")
    second = other.start("deploy")
    until(lambda: "waiting:" in second.out + second.err, "the second says that it waits")
    # Who only looks does not wait, in neither clone.
    for one in (shop, other):
        one.doit("status").ok()
        one.doit("plan").ok()
    assert first.process.poll() is None
    assert second.process.poll() is None
    let_go(shop)
    first.wait().ok()
    waited = second.wait().ok()
    assert refused.code == 1, refused
    for said in (refused.err, waited.out + waited.err):
        (line,) = [line for line in said.splitlines() if "has been at it" in line]
        assert getpass.getuser() in line
        assert re.search(r"since \d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z", line)
        assert shop.sha[:7] in line
    assert refused.ups == []
    assert waited.ups == []
    assert len(shop.releases()) == 1
    other.doit("deploy", "lock_wait=0").ok()
