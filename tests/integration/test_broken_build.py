"""One broken Dockerfile among four stale services: what finished stays, the culprit is named, the rest is cancelled."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.gate import Gate, running_gate
from tests.integration.shop import Ran, Shop, until

pytestmark = pytest.mark.engine

BREAKS = "RUN echo 'the oven is cold' && false\n"
MENDED = "RUN echo 'the oven is warm'\n"


@dataclass(frozen=True)
class Story:
    """A push in which b breaks after a and c are pushed and while d is built; then b is mended and pushed again."""

    shop: Shop
    failed: Ran
    left: dict[str, dict[str, str]]
    mended: Ran


@pytest.fixture(scope="module")
def story(make_shared_shop: MakeShop) -> Iterator[Story]:
    with running_gate() as gate:
        shop = make_shared_shop("abcd")
        shop.dockerfile("b", gate.line("b") + BREAKS)
        shop.dockerfile("d", gate.line("d"))
        shop.commit("Break b")
        push = shop.start("push")
        gate.wait_for("b")
        gate.wait_for("d")
        until(lambda: shop.tags("a") and shop.tags("c"), "a and c are pushed")
        gate.open("b")
        failed = push.wait()
        left = {name: shop.keys(name) for name in "abcd"}
        gate.open("d")
        shop.dockerfile("b", gate.line("b") + MENDED)
        shop.commit("Mend b")
        yield Story(shop, failed, left, shop.doit("push").ok())


def test_a_broken_build_ends_with_exit_code_1_and_no_traceback(story: Story) -> None:
    assert story.failed.code == 1, story.failed
    assert "Traceback" not in story.failed.err + story.failed.out
    assert story.failed.bakes == [["a", "b", "c", "d"]]


def test_the_culprit_is_the_first_thing_on_standard_error(story: Story) -> None:
    assert story.failed.err.startswith(f"ERROR: {story.shop.name}.b: "), story.failed.err


def test_the_culprit_comes_with_the_end_of_its_log(story: Story) -> None:
    first, _, _ = story.failed.err.partition("\nERROR")
    assert "the oven is cold" in first


def test_a_service_that_was_being_built_is_said_to_be_cancelled_and_is_no_culprit(story: Story) -> None:
    said = story.failed.out + story.failed.err
    lines = [line for line in said.splitlines() if f"{story.shop.name}.d" in line]
    assert any("cancelled" in line for line in lines), story.failed
    assert not any("its build failed" in line for line in lines)


def test_no_finished_service_is_reported_as_an_error(story: Story) -> None:
    errors = [line for line in story.failed.err.splitlines() if line.startswith("ERROR")]
    assert not [line for line in errors if f"{story.shop.name}.a" in line or f"{story.shop.name}.c" in line]


def test_finished_services_stay_finished(story: Story) -> None:
    assert len(story.left["a"]) == len(story.left["c"]) == 1
    assert story.left["b"] == story.left["d"] == {}


def test_mended_only_the_unfinished_are_baked(story: Story) -> None:
    assert story.mended.bakes == [["b", "d"]]


def test_after_mending_every_service_is_named_by_the_commit(story: Story) -> None:
    for name in "abcd":
        tags = story.shop.tags(name)
        assert tags[story.shop.sha] == tags["latest"]
    assert {name: story.shop.keys(name) for name in "ac"} == {name: story.left[name] for name in "ac"}


def test_a_deploy_with_a_broken_build_touches_no_container(make_shop: MakeShop, gate: Gate) -> None:
    shop = make_shop("abe")
    shop.doit("deploy").ok()
    before, release = shop.running(), shop.current
    shop.dockerfile("b", gate.line("b") + BREAKS)
    shop.write("a/version", "a 2\n")
    shop.commit("Break b")
    deploy = shop.start("deploy")
    until(lambda: len(shop.tags("a")) > 4, "a is pushed")
    gate.open("b")
    ran = deploy.wait()
    assert ran.code == 1, ran
    assert ran.ups == []
    assert shop.running() == before
    assert shop.current == release
    assert len(shop.releases()) == 1


def test_two_culprits_are_both_named(make_shop: MakeShop, gate: Gate) -> None:
    shop = make_shop("ab")
    shop.dockerfile("a", gate.line("b") + BREAKS)
    shop.dockerfile("b", gate.line("b") + BREAKS)
    shop.commit("Break both")
    gate.open("b")
    ran = shop.doit("build")
    assert ran.code == 1, ran
    assert ran.err.startswith(f"ERROR: {shop.name}.")
    assert "the oven is cold" in ran.err


def test_a_dockerfile_that_cannot_be_read_is_the_only_culprit(make_shop: MakeShop, gate: Gate) -> None:
    shop = make_shop("abd")
    # The other two stand at their gates until BuildKit gives them up.
    shop.dockerfile("a", gate.line("a"))
    shop.dockerfile("d", gate.line("d"))
    shop.write("b/Dockerfile", "FROM scratch\nCOPYY version /\n")
    shop.commit("Misspell b")
    ran = shop.doit("build")
    assert ran.code == 1, ran
    assert ran.err.startswith(f"ERROR: {shop.name}.b: its build failed"), ran
    assert "COPYY" in ran.err.partition("\nERROR")[0]
    assert ran.err.count("its build failed") == 1, ran
    assert ran.out.count("cancelled") >= 2, ran


def test_who_starts_from_a_culprit_is_cancelled(make_shop: MakeShop) -> None:
    shop = make_shop("ab")
    with shop.compose() as compose:
        compose["services"]["b"]["build"]["additional_contexts"] = {"base": "service:a"}
    shop.dockerfile("a", BREAKS)
    shop.write("b/Dockerfile", "FROM base\nCOPY version /www/version\n")
    shop.commit("Break the base")
    ran = shop.doit("build")
    assert ran.code == 1, ran
    assert ran.err.startswith(f"ERROR: {shop.name}.a: its build failed"), ran
    assert ran.err.count("its build failed") == 1, ran
    assert f"{shop.name}.b: not built: cancelled" in ran.err + ran.out, ran


@pytest.mark.parametrize("verb", ["push", "deploy"])
def test_an_unchanged_service_is_named_by_the_commit_whatever_becomes_of_the_others(
    make_shop: MakeShop, verb: str
) -> None:
    shop = make_shop("ab")
    shop.doit(verb).ok()
    digest = shop.tags("a")["latest"]
    shop.dockerfile("b", BREAKS)
    sha = shop.commit("Break b")
    failed = shop.doit(verb)
    assert failed.code == 1, failed
    assert failed.bakes == [["b"]]
    until(lambda: f"{sha}" in "".join(shop.tags("a")), "a is named by the commit", seconds=5)
    assert {shop.tags("a")[tag] for tag in shop.tags("a") if tag == "latest" or sha in tag} == {digest}
    assert not [tag for tag in shop.tags("b") if sha in tag]
