"""One changed line, from plan to deploy: what is touched, and what is not."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.gate import Wire, running_wire
from tests.integration.shop import Container, Ran, Shop

pytestmark = pytest.mark.engine

OTHERS = ["a", "c", "d"]


@dataclass(frozen=True)
class Moment:
    """What was there at one moment."""

    containers: dict[str, Container]
    tags: dict[str, dict[str, str]]
    files: dict[str, object]
    requests: int

    @staticmethod
    def of(shop: Shop, wire: Wire) -> "Moment":
        return Moment(shop.running(), shop.all_tags(), shop.host_files(), len(wire.requests))


@dataclass(frozen=True)
class Story:
    """A deployed stack, one changed line, `doit plan`, `doit deploy`, and both once more."""

    shop: Shop
    wire: Wire
    sha: str
    before: Moment
    plan: Ran
    plan_json: Ran
    planned: Moment
    deploy: Ran
    after: Moment
    again: Ran
    end: Moment
    idle: Ran
    idle_end: Moment


@pytest.fixture(scope="module")
def story(lab: str, make_shared_shop: MakeShop) -> Iterator[Story]:
    with running_wire(lab) as wire:
        shop = make_shared_shop(registry=wire.host)
        shop.doit("deploy").ok()
        before = Moment.of(shop, wire)
        shop.write("b/version", "b 2\n")
        sha = shop.commit("Sell something new")
        plan, plan_json = shop.doit("plan").ok(), shop.doit("plan", "format=json").ok()
        planned = Moment.of(shop, wire)
        deploy = shop.doit("deploy").ok()
        after = Moment.of(shop, wire)
        again = shop.doit("deploy").ok()
        end = Moment.of(shop, wire)
        idle = shop.doit("plan", "format=json").ok()
        yield Story(
            shop, wire, sha, before, plan, plan_json, planned, deploy, after, again, end, idle, Moment.of(shop, wire)
        )


def rows(plan: Ran) -> list[tuple[str, str, str]]:
    """Return (operation, service, the rest) of the lines of a plan's table."""
    lines = [line.split(maxsplit=2) for line in plan.out.splitlines() if not line.startswith(" ")]
    return [(line[0], line[1], line[2]) for line in lines if len(line) == 3 and len(line[1]) == 1]


def operations(plan: Ran) -> list[tuple[str, str]]:
    (stack,) = plan.json["stacks"]
    return [(op["verb"], op["service"]) for op in stack["operations"]]


EXPECTED = [("build", "b"), ("push", "b"), *(("tag", name) for name in OTHERS), ("recreate", "b")]


def test_a_plan_names_the_service_and_every_operation(story: Story) -> None:
    assert [(verb, service) for verb, service, _ in rows(story.plan)] == EXPECTED, story.plan


def test_a_plan_names_the_file_that_made_a_service_stale(story: Story) -> None:
    causes = {(verb, service): rest for verb, service, rest in rows(story.plan)}
    assert "b/version changed" in causes["build", "b"]
    assert "b/version changed" in causes["recreate", "b"]
    assert not [rest for (_, service), rest in causes.items() if service != "b" and "version" in rest]


def test_a_plan_names_what_runs_the_new_commit_and_the_commits_between(story: Story) -> None:
    runs = story.plan_json.json["stacks"][0]["current_sha"]
    assert runs != story.sha
    assert runs[:7] in story.plan.out
    assert story.sha[:7] in story.plan.out
    assert "Sell something new" in story.plan.out


def test_a_plan_as_json_says_the_same(story: Story) -> None:
    (stack,) = story.plan_json.json["stacks"]
    assert operations(story.plan_json) == EXPECTED
    assert stack["sha"] == story.sha
    assert stack["commits"] == [f"{story.sha[:7]} Sell something new"]
    causes = {(op["verb"], op["service"]): op["cause"] for op in stack["operations"]}
    assert causes == {
        (verb, service): rest.removeprefix("recreate").strip() for verb, service, rest in rows(story.plan)
    }


def test_a_plan_changes_nothing(story: Story) -> None:
    assert story.planned.containers == story.before.containers
    assert story.planned.tags == story.before.tags
    assert story.planned.files == story.before.files
    made = story.wire.requests[story.before.requests : story.planned.requests]
    assert made
    assert {method for method, _ in made} <= {"GET", "HEAD"}
    assert story.plan.bakes == story.plan_json.bakes == []


def test_a_plan_asks_the_registry_twice_about_each_service_that_it_has(story: Story) -> None:
    asked = story.wire.requests[story.before.requests : story.planned.requests]
    for name in OTHERS:
        found = [(method, path.rpartition("/")[2]) for method, path in asked if f"-{name}/" in path]
        key = next(tag for tag in story.before.tags[name] if tag.startswith("key-"))
        once = [("HEAD", key), ("HEAD", story.sha), ("GET", story.sha)]
        # It was not tagged with the new commit yet, which takes a second look; and there were two plans.
        assert sorted(found) == sorted(once * 2)


def test_one_changed_service_is_one_bake_of_that_target(story: Story) -> None:
    assert story.deploy.bakes == [["b"]]


def test_one_changed_service_is_one_changed_digest(story: Story) -> None:
    before, after = story.before.tags, story.after.tags
    changed = {name for name in before if before[name]["latest"] != after[name]["latest"]}
    assert changed == {"b"}
    assert {name for name in before if len(set(after[name].values())) != len(set(before[name].values()))} == {"b"}


def test_every_built_service_is_named_by_the_new_commit_unchanged_ones_with_the_same_digest(story: Story) -> None:
    for name in (*OTHERS, "b"):
        tags = story.after.tags[name]
        assert tags[story.sha] == tags["latest"]
    for name in OTHERS:
        assert story.after.tags[name][story.sha] == story.before.tags[name]["latest"]


def test_one_changed_service_is_one_recreated_container(story: Story) -> None:
    before, after = story.before.containers, story.after.containers
    assert after["b"].id != before["b"].id
    assert story.shop.version("b") == "b 2\n"
    # Identifier, start time and image: as if nothing had happened.
    assert {name: c for name, c in after.items() if name != "b"} == {n: c for n, c in before.items() if n != "b"}
    assert story.deploy.ups == [{"b"}]


def test_a_release_of_a_new_commit_has_every_service_and_the_revision_it_was_built_from(story: Story) -> None:
    first, second = story.shop.releases()
    assert second["id"] == story.shop.current["id"]
    assert second["sha"] == story.sha
    assert second["previous"] == first["id"]
    revisions = {name: service["revision"] for name, service in second["services"].items()}
    assert revisions == dict.fromkeys(OTHERS, first["sha"]) | {"b": story.sha, "e": ""}
    for name in (*OTHERS, "b"):
        assert second["services"][name]["image"] == f"{story.shop.repository(name)}@{story.after.tags[name][story.sha]}"


def test_a_second_deploy_bakes_pushes_and_replaces_nothing(story: Story) -> None:
    assert story.again.bakes == []
    assert story.again.ups == []
    made = story.wire.requests[story.after.requests : story.end.requests]
    assert [request for request in made if request[0] not in {"GET", "HEAD"}] == []
    assert story.end.containers == story.after.containers
    assert story.end.tags == story.after.tags


def test_a_plan_with_nothing_to_do_asks_the_registry_twice_about_each_service(story: Story) -> None:
    (stack,) = story.idle.json["stacks"]
    assert stack["operations"] == []
    asked = story.wire.requests[story.end.requests : story.idle_end.requests]
    assert sorted(asked) == sorted(
        ("HEAD", f"/v2/{story.shop.name}/{story.shop.name}-{name}/manifests/{tag}")
        for name in (*OTHERS, "b")
        for tag in story.end.tags[name]
        if tag == story.sha or (tag.startswith("key-") and story.end.tags[name]["latest"] == story.end.tags[name][tag])
    )


def test_a_second_deploy_writes_no_second_release(story: Story) -> None:
    assert len(story.shop.releases()) == 2
    assert len(story.shop.audit()) == 2


def test_the_wire_sees_what_a_deploy_puts(story: Story) -> None:
    made = story.wire.requests[story.planned.requests : story.after.requests]
    put = {path for method, path in made if method == "PUT" and "/manifests/" in path}
    assert {path for path in put if path.endswith(f"/{story.sha}")} == {
        f"/v2/{story.shop.name}/{story.shop.name}-{name}/manifests/{story.sha}" for name in (*OTHERS, "b")
    }
