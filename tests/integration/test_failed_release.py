"""A new version that does not live: what is shown, what runs afterwards, and what is recorded."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import SERVE, Container, Ran, Shop, lab_registry

pytestmark = pytest.mark.engine

Break = Callable[[Shop], None]


def never_healthy(shop: Shop) -> None:
    shop.dockerfile("a", command=["sh", "-c", "echo 'I look at the wall'; trap 'exit 0' TERM; sleep 600 & wait"])


def ends_at_once(shop: Shop) -> None:
    shop.dockerfile("a", command=["sh", "-c", "echo 'no oven, no bread'; exit 7"])


def ends_at_once_for_ever(shop: Shop) -> None:
    ends_at_once(shop)
    with shop.compose() as compose:
        compose["services"]["a"]["restart"] = "always"


@dataclass(frozen=True)
class Story:
    """A deployed shop, a version that does not live, and what came of it."""

    shop: Shop
    before: dict[str, Container]
    release: dict[str, object]
    ran: Ran
    log: str


def told(shop: Shop, change: Break, log: str) -> Story:
    with shop.compose() as compose:
        compose["services"]["a"]["healthcheck"]["retries"] = 2
    shop.commit("Lose patience")
    shop.doit("deploy").ok()
    before, release = shop.running(), shop.current
    change(shop)
    shop.commit("Break a")
    return Story(shop, before, release, shop.doit("deploy"), log)


CASES = [
    pytest.param((never_healthy, "I look at the wall"), id="never-healthy"),
    pytest.param((ends_at_once, "no oven, no bread"), id="ends-at-once"),
    pytest.param((ends_at_once_for_ever, "no oven, no bread"), id="restarts-for-ever"),
]


@pytest.fixture(scope="module", params=CASES)
def story(request: pytest.FixtureRequest, make_shared_shop: MakeShop) -> Story:
    change, log = request.param
    return told(make_shared_shop("abe"), change, log)


def images(containers: dict[str, Container]) -> dict[str, str]:
    return {name: c.image for name, c in containers.items()}


def test_a_failed_release_ends_with_exit_code_1_and_no_traceback(story: Story) -> None:
    assert story.ran.code == 1, story.ran
    assert "Traceback" not in story.ran.out + story.ran.err


def test_a_failed_release_shows_the_service_and_the_end_of_its_log(story: Story) -> None:
    assert f"ERROR: {story.shop.name}.a " in story.ran.err, story.ran
    assert story.log in story.ran.err


def test_after_a_failed_release_what_ran_before_runs_again(story: Story) -> None:
    now = story.shop.running()
    assert images(now) == images(story.before)
    assert {c.state for c in now.values()} == {"healthy"}
    assert story.shop.version("a") == "a 1\n"


def test_a_failed_release_touches_no_other_service(story: Story) -> None:
    now = story.shop.running()
    assert {name: now[name] for name in "be"} == {name: story.before[name] for name in "be"}


def test_after_a_failed_release_current_is_the_one_before(story: Story) -> None:
    assert story.shop.current == story.release
    assert story.release["outcome"] == "good"


def test_a_failed_release_is_recorded_as_failed_with_its_reason(story: Story) -> None:
    good, failed = story.shop.releases()[-2:]
    assert good == story.release
    assert (failed["outcome"], failed["sha"], failed["previous"]) == ("failed", story.shop.sha, good["id"])
    assert f"{story.shop.name}.a" in failed["reason"]
    assert story.shop.audit()[-1]["outcome"] == "failed"


def test_after_a_failed_release_the_line_of_status_changes_nothing(story: Story) -> None:
    status = story.shop.doit("status", "format=json").ok().json["stacks"][0]
    assert status["release"] == story.release["id"]
    assert [row["drift"] for row in status["services"]] == ["", "", ""]


def test_a_service_that_never_gets_healthy_is_shown_with_its_last_health_output(make_shop: MakeShop) -> None:
    shop = make_shop("ae")

    def change(shop: Shop) -> None:
        with shop.compose() as compose:
            compose["services"]["a"]["healthcheck"]["test"] = ["CMD-SHELL", "echo 'the bread is raw'; exit 1"]

    story = told(shop, change, "")
    assert story.ran.code == 1, story.ran
    assert "the bread is raw" in story.ran.err
    assert story.ran.bakes == []
    assert images(shop.running()) == images(story.before)
    # Mended, it is deployed as if nothing had been.
    shop.git("revert", "--no-edit", "HEAD")
    shop.doit("deploy").ok()
    assert shop.current["sha"] == shop.sha
    assert {c.state for c in shop.running().values()} == {"healthy"}


def test_an_image_that_cannot_be_pulled_stops_the_deploy_before_anything_is_touched(make_shop: MakeShop) -> None:
    shop = make_shop("abe")
    missing = f"{lab_registry()}/base/busybox@sha256:{'0' * 64}"

    def change(shop: Shop) -> None:
        shop.write("b/version", "b 2\n")
        with shop.compose() as compose:
            compose["services"]["e"]["image"] = missing

    story = told(shop, change, "")
    assert story.ran.code == 1, story.ran
    assert "Traceback" not in story.ran.err
    assert f"sha256:{'0' * 64}" in story.ran.err
    assert f"{shop.name}.e" in story.ran.err
    assert story.ran.ups == []
    assert shop.running() == story.before
    assert shop.current == story.release


def test_an_image_that_cannot_be_pulled_is_recorded_as_a_failed_release(make_shop: MakeShop) -> None:
    shop = make_shop("ae")

    def change(shop: Shop) -> None:
        with shop.compose() as compose:
            compose["services"]["e"]["image"] = f"{lab_registry()}/base/busybox@sha256:{'0' * 64}"

    told(shop, change, "")
    assert [release["outcome"] for release in shop.releases()] == ["good", "failed"]


def test_with_on_failure_keep_the_failed_release_is_left_as_it_is(make_shop: MakeShop) -> None:
    shop = make_shop("abe")
    shop.configure(stack='on_failure = "keep"')
    story = told(shop, never_healthy, "")
    assert story.ran.code == 1, story.ran
    now = shop.running()
    assert now["a"].image != story.before["a"].image
    assert now["a"].state == "unhealthy"
    assert {name: now[name] for name in "be"} == {name: story.before[name] for name in "be"}
    assert shop.current == story.release
    assert [release["outcome"] for release in shop.releases()] == ["good", "failed"]
    # The next good version gets in.
    shop.dockerfile("a", "RUN true", SERVE)
    shop.commit("Mend a")
    shop.doit("deploy").ok()
    assert {c.state for c in shop.running().values()} == {"healthy"}
    assert shop.current["sha"] == shop.sha


def test_a_first_deploy_that_fails_says_there_is_nothing_to_go_back_to(make_shop: MakeShop) -> None:
    shop = make_shop("ae")
    with shop.compose() as compose:
        compose["services"]["a"]["healthcheck"]["retries"] = 2
    never_healthy(shop)
    shop.commit("Begin badly")
    ran = shop.doit("deploy")
    assert ran.code == 1, ran
    assert "no release to go back to" in ran.err
    assert not (shop.home / "current").exists()
    assert [release["outcome"] for release in shop.releases()] == ["failed"]
