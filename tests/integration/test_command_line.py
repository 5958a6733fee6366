"""What commands print and how they end, and which of them change nothing."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Shop

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def deployed(make_shared_shop: MakeShop) -> Shop:
    shop = make_shared_shop("abe")
    shop.doit("deploy").ok()
    return shop


@contextmanager
def changed(shop: Shop, *services: str) -> Iterator[Shop]:
    """Have services changed in a new commit, which is gone again afterwards."""
    for service in services:
        shop.write(f"{service}/version", f"{service} of tomorrow\n")
    shop.commit("Think ahead")
    try:
        yield shop
    finally:
        shop.git("reset", "--hard", "-q", "HEAD~1")


@pytest.fixture
def two_stacks(make_shop: MakeShop) -> Shop:
    """Give a shop whose services.toml has a clone of its checkout as a second stack."""
    shop = make_shop("ae")
    shop.git("clone", "-q", str(shop.repo), str(shop.folder / "other"))
    shop.configure(more=f'[stacks.{shop.name}b]\npath = "other"\nhost = "here"\n')
    return shop


@pytest.mark.parametrize("words", [(), ("plan",), ("status",), ("list", "--status", "--all")], ids=" ".join)
def test_it_changes_nothing(deployed: Shop, words: tuple[str, ...]) -> None:
    with changed(deployed, "a", "b"):
        before = (deployed.running(), deployed.all_tags(), deployed.host_files())
        ran = deployed.doit(*words).ok()
        assert (deployed.running(), deployed.all_tags(), deployed.host_files()) == before
        assert ran.bakes == []
        assert ran.ups == []


def test_the_bare_command_means_plan(deployed: Shop) -> None:
    with changed(deployed, "a"):
        assert deployed.doit().ok().out == deployed.doit("plan").ok().out


@pytest.mark.parametrize("verb", ["plan", "status"])
def test_format_json_is_exactly_one_document_on_standard_output(deployed: Shop, verb: str) -> None:
    with changed(deployed, "a"):
        document = deployed.doit(verb, "format=json").ok().json
    assert document["schema"] == 1
    assert [stack["stack"] for stack in document["stacks"]] == [deployed.name]


def test_status_as_json_says_what_runs_since_when_and_from_which_commit(deployed: Shop) -> None:
    (stack,) = deployed.doit("status", "format=json").ok().json["stacks"]
    running = deployed.running()
    assert stack["sha"] == deployed.sha
    assert stack["release"] == deployed.current["id"]
    found = {row["service"]: row for row in stack["services"]}
    assert {name: (row["since"], row["image"]) for name, row in found.items()} == {
        name: (c.started, c.image) for name, c in running.items()
    }
    assert {row["condition"] for row in found.values()} == {"healthy"}
    assert {name: row["revision"] for name, row in found.items()} == {"a": deployed.sha, "b": deployed.sha, "e": ""}


def test_detailed_is_0_when_nothing_would_change_and_10_when_something_would(deployed: Shop) -> None:
    assert deployed.doit("plan", "detailed=1").code == 0
    with changed(deployed, "a"):
        ran = deployed.doit("plan", "detailed=1")
        assert ran.code == 10, ran
        assert deployed.doit("plan", "detailed=1", "format=json").code == 10
        assert deployed.doit("plan").code == 0


def test_a_misspelt_variable_is_refused_with_the_right_one(deployed: Shop) -> None:
    before = deployed.running()
    with changed(deployed, "a"):
        ran = deployed.doit("deploy", "shaa=x")
    assert ran.code == 3, ran
    assert "shaa" in ran.err + ran.out
    assert "did you mean 'sha'" in ran.err + ran.out
    assert "Traceback" not in ran.err
    assert ran.calls == ()
    assert deployed.running() == before


def test_a_misspelt_task_is_refused_and_nothing_runs(deployed: Shop) -> None:
    ran = deployed.doit("deploi")
    assert ran.code == 3, ran
    assert "deploi" in ran.err
    assert ran.ups == []
    assert ran.bakes == []


@pytest.mark.parametrize("verb", ["build", "push", "deploy", "plan"])
def test_an_ambiguous_short_name_fails_with_the_candidates(two_stacks: Shop, verb: str) -> None:
    ran = two_stacks.doit(f"{verb}:a")
    assert ran.code == 3, ran
    for stack in (two_stacks.name, f"{two_stacks.name}b"):
        assert f"{verb}:{stack}.a" in ran.err
    assert ran.bakes == []
    assert ran.ups == []


def test_a_mistake_in_the_configuration_is_named_with_its_line(deployed: Shop) -> None:
    file = deployed.configure(stack='on_failure = "pray"', name="wrong.toml")
    ran = deployed.doit("deploy", f"config={file}")
    assert ran.code == 3, ran
    line = file.read_text().splitlines().index('on_failure = "pray"') + 1
    assert f"wrong.toml:{line}: stacks.{deployed.name}.on_failure" in ran.err
    assert ran.ups == []
    assert ran.bakes == []


def test_a_compose_file_that_compose_refuses_is_explained(deployed: Shop) -> None:
    text = (deployed.repo / "docker-compose.yml").read_text()
    deployed.write("docker-compose.yml", text + "\n  wrong: [\n")
    try:
        ran = deployed.doit("deploy")
    finally:
        deployed.write("docker-compose.yml", text)
    assert ran.code == 1, ran
    assert "Traceback" not in ran.err
    assert "docker-compose.yml" in ran.err
    assert deployed.name in ran.err


def test_a_deploy_of_one_service_touches_one_service_only(make_shop: MakeShop) -> None:
    shop = make_shop("abe")
    shop.doit("deploy").ok()
    before = shop.running()
    shop.write("a/version", "a 2\n")
    shop.write("b/version", "b 2\n")
    sha = shop.commit()
    ran = shop.doit(f"deploy:{shop.name}.b").ok()
    assert ran.bakes == [["b"]]
    after = shop.running()
    assert after["b"].id != before["b"].id
    assert {name: after[name] for name in "ae"} == {name: before[name] for name in "ae"}
    assert sha not in shop.tags("a")
    # What the release says is what runs, and the rest is still to do.
    assert {name: service["image"] for name, service in shop.current["services"].items()} == {
        name: c.image for name, c in after.items()
    }
    (stack,) = shop.doit("plan", "format=json").ok().json["stacks"]
    assert {(op["verb"], op["service"]) for op in stack["operations"]} >= {("build", "a"), ("recreate", "a")}
    assert not [op for op in stack["operations"] if op["verb"] == "recreate" and op["service"] != "a"]
    shop.doit("deploy:a").ok()
    assert shop.running()["b"] == after["b"]
    assert shop.version("a") == "a 2\n"


@pytest.mark.parametrize("words", [("plan", "detailed=2", "format=json"), ("deploy", "lock_wait=soon")], ids=" ".join)
def test_a_value_that_cannot_be_meant_is_refused_before_anything_is_done(
    deployed: Shop, words: tuple[str, ...]
) -> None:
    with changed(deployed, "a"):
        ran = deployed.doit(*words)
    assert ran.code == 3, ran
    assert words[1] in ran.err
    assert ran.out == ""
    assert ran.calls == ()
