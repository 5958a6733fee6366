"""A run that is interrupted in the middle of a bake leaves no process and nothing that is not true."""

import signal

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.gate import Gate
from tests.integration.shop import Ran, Shop, until

pytestmark = pytest.mark.engine

ENDINGS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]


@pytest.fixture(params=ENDINGS, ids=[number.name for number, _ in ENDINGS])
def ending(request: pytest.FixtureRequest) -> tuple[signal.Signals, int]:
    found: tuple[signal.Signals, int] = request.param
    return found


def interrupted(shop: Shop, gate: Gate, number: signal.Signals, *args: str) -> Ran:
    """Run doit, send it a signal when b stands at its gate and a is built; return when every process is gone."""
    run = shop.start(*args)
    gate.wait_for("b")
    until(lambda: shop.tags("a"), "a is pushed")
    assert shop.processes()
    run.signal(number)
    ran = run.wait()
    until(lambda: not shop.processes(), f"no process is left of {shop.processes()}", 60)
    return ran


def test_an_interrupted_bake_leaves_no_process_and_the_next_run_is_right(
    make_shop: MakeShop, gate: Gate, ending: tuple[signal.Signals, int]
) -> None:
    number, code = ending
    shop = make_shop("ab")
    # A step of b that runs on would be seen by its command line.
    shop.dockerfile("b", gate.line("b") + f"RUN echo {shop.name}\n")
    sha = shop.commit("Build slowly")
    ran = interrupted(shop, gate, number, "push")
    assert ran.code == code, ran
    assert "Traceback" not in ran.err
    assert ran.bakes == [["a", "b"]]
    # Nothing is named that is not there, neither in the registry nor by doit.
    assert shop.keys("b") == {}
    assert sha not in shop.tags("a") | shop.tags("b")
    assert shop.doit("list", "--status", "--all").ok().out.count(f"R build:{shop.name}.b") == 1
    if number != signal.SIGKILL:
        assert list((shop.folder / "tmp").iterdir()) == []
    gate.open("b")
    again = shop.doit("push").ok()
    assert again.bakes in ([["a", "b"]], [["b"]])
    for name in "ab":
        tags = shop.tags(name)
        (key,) = shop.keys(name)
        assert tags[key] == tags[sha] == tags["latest"]
    assert shop.doit("push").ok().bakes == []


def test_an_interrupted_deploy_that_still_builds_has_touched_nothing(make_shop: MakeShop, gate: Gate) -> None:
    shop = make_shop("abe")
    shop.doit("deploy").ok()
    before, files = shop.running(), shop.host_files()
    shop.dockerfile("b", gate.line("b"))
    shop.write("a/version", "a 2\n")
    shop.commit("Build slowly")
    ran = interrupted(shop, gate, signal.SIGTERM, "deploy")
    assert ran.code == 143, ran
    assert shop.running() == before
    assert shop.host_files() == files
    gate.open("b")
    shop.doit("deploy").ok()
    after = shop.running()
    assert after["a"].id != before["a"].id
    assert after["b"].id != before["b"].id
    assert after["e"] == before["e"]
    assert shop.version("a") == "a 2\n"


def test_an_interrupted_run_says_so_and_what_to_do(make_shop: MakeShop, gate: Gate) -> None:
    shop = make_shop("ab")
    shop.dockerfile("b", gate.line("b"))
    shop.commit("Build slowly")
    ran = interrupted(shop, gate, signal.SIGINT, "push")
    assert ran.code == 130
    assert "interrupted" in ran.err
    assert "again" in ran.err
