"""Changes that are not committed, and changes that come while a build runs."""

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.gate import Gate
from tests.integration.shop import docker

pytestmark = pytest.mark.engine


def test_an_uncommitted_change_gets_a_dirty_tag_and_leaves_latest_where_it_is(make_shop: MakeShop) -> None:
    shop = make_shop("abe")
    shop.doit("deploy").ok()
    before, sha = shop.all_tags(), shop.sha
    shop.write("a/version", "a of the moment\n")
    ran = shop.doit("deploy").ok()
    assert ran.bakes == [["a"]]
    (key,) = set(shop.keys("a")) - {tag for tag in before["a"] if tag.startswith("key-")}
    after = shop.tags("a")
    assert after[f"{sha}-dirty-{key.removeprefix('key-')[:8]}"] == after[key]
    assert (after[sha], after["latest"]) == (before["a"][sha], before["a"]["latest"])
    assert after[key] != after["latest"]
    # b did not change: it keeps its clean tag, and gets no other.
    assert shop.tags("b") == before["b"]
    assert shop.current["dirty"] is True
    assert shop.current["sha"] == sha
    assert [release["dirty"] for release in shop.releases()] == [False, True]
    assert shop.version("a") == "a of the moment\n"


def test_a_plan_says_that_changes_are_uncommitted_and_which(make_shop: MakeShop) -> None:
    shop = make_shop("ab")
    shop.doit("push").ok()
    shop.write("a/version", "a of the moment\n")
    plan = shop.doit("plan").ok()
    assert "uncommitted" in plan.out
    (stack,) = shop.doit("plan", "format=json").ok().json["stacks"]
    assert stack["dirty"] is True
    assert {op["service"] for op in stack["operations"] if op["verb"] == "build"} == {"a"}


def test_an_uncommitted_file_outside_every_input_makes_nothing_dirty(make_shop: MakeShop) -> None:
    shop = make_shop("a")
    shop.write("notes", "buy flour\n")
    shop.doit("push").ok()
    assert {tag for tag in shop.tags("a") if "dirty" in tag} == set()
    assert shop.sha in shop.tags("a")


def test_an_edit_while_the_build_runs_fails_it_and_names_the_file(make_shop: MakeShop, gate: Gate) -> None:
    shop = make_shop("ab")
    shop.dockerfile("b", gate.line("b"))
    sha = shop.commit("Build slowly")
    push = shop.start("push")
    gate.wait_for("b")
    shop.write("b/version", "b of a moment later\n")
    gate.open("b")
    ran = push.wait()
    assert ran.code == 1, ran
    assert "inputs changed during the build" in ran.err
    assert "b/version" in ran.err
    assert "Traceback" not in ran.err
    # Neither what it was nor what it is now is said to have been built.
    assert shop.keys("b") == {}
    assert sha not in shop.tags("b")
    assert shop.sha in shop.tags("a")
    # The next run is right: it has the content of now.
    again = shop.doit("push").ok()
    assert again.bakes == [["b"]]
    (key,) = shop.keys("b")
    image = f"{shop.repository('b')}@{shop.keys('b')[key]}"
    assert docker("run", "--rm", image, "cat", "/www/version") == "b of a moment later\n"
    # Not committed, so it is not the latest.
    assert "latest" not in shop.tags("b")


def test_a_file_written_anew_with_the_same_content_while_the_build_runs_is_no_change(
    make_shop: MakeShop, gate: Gate
) -> None:
    shop = make_shop("a")
    shop.dockerfile("a", gate.line("a"))
    shop.commit("Build slowly")
    push = shop.start("push")
    gate.wait_for("a")
    shop.write("a/version", "a 1\n")
    gate.open("a")
    push.wait().ok()
    (digest,) = shop.keys("a").values()
    assert docker("run", "--rm", f"{shop.repository('a')}@{digest}", "cat", "/www/version") == "a 1\n"
