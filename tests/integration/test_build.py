"""Which services a command bakes, and what doit itself says of them."""

import re

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Ran, Shop, docker

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def built(make_shared_shop: MakeShop) -> Shop:
    """Give a shop whose three services are built, and nothing more."""
    shop = make_shared_shop("abd")
    shop.doit("build").ok()
    return shop


@pytest.fixture
def fresh(built: Shop) -> Shop:
    """Give it with nothing stale."""
    built.doit("build").ok()
    return built


def statuses(ran: Ran) -> dict[str, str]:
    """Return doit's letter of each build task: R stale, U up to date."""
    found = re.findall(r"^([A-Z]) +(build(?::\S+)?)", ran.ok().out, re.MULTILINE)
    return {name: letter for letter, name in found}


def test_a_named_service_is_the_only_one_baked(make_shop: MakeShop) -> None:
    shop = make_shop("abd")
    assert shop.doit("build:b").ok().bakes == [["b"]]
    assert shop.doit("build:b").ok().bakes == []
    # The rest is still stale, and b is not in its bake.
    assert shop.doit("build").ok().bakes == [["a", "d"]]


def test_services_named_apart_a_stack_and_a_deploy_are_one_bake(make_shop: MakeShop) -> None:
    shop = make_shop("abe")
    ran = shop.doit("build:a", "build:b", f"deploy:{shop.name}").ok()
    assert ran.bakes == [["a", "b"]]
    assert set(shop.running()) == {"a", "b", "e"}


def test_all_stale_services_are_one_bake(make_shop: MakeShop) -> None:
    shop = make_shop("abcd")
    assert shop.doit("build").ok().bakes == [["a", "b", "c", "d"]]


def test_a_build_alone_reaches_no_registry(fresh: Shop) -> None:
    fresh.write("a/version", "only here\n")
    assert fresh.doit("build").ok().bakes == [["a"]]
    assert not any(fresh.all_tags().values())


def test_nothing_stale_is_no_bake(fresh: Shop) -> None:
    ran = fresh.doit("build").ok()
    assert ran.bakes == []
    assert "up to date" in ran.out


def test_doit_lists_fresh_build_tasks_as_up_to_date(fresh: Shop) -> None:
    found = statuses(fresh.doit("list", "--status", "--all"))
    services = {f"build:{fresh.name}.{name}" for name in "abd"}
    groups = {"build", f"build:{fresh.name}", "build:a", "build:b", "build:d"}
    assert services | groups <= set(found)
    assert {name for name in services | groups if found[name] != "U"} == set()


def test_doit_lists_only_the_changed_service_as_stale(fresh: Shop) -> None:
    fresh.write("a/version", "listed\n")
    found = statuses(fresh.doit("list", "--status", "--all"))
    assert found[f"build:{fresh.name}.a"] == found["build:a"] == "R"
    assert found[f"build:{fresh.name}.b"] == found["build:b"] == "U"


@pytest.mark.parametrize("form", ["build:a", "build:{}.a"])
def test_doit_info_names_the_changed_file(fresh: Shop, form: str) -> None:
    fresh.write("a/version", f"looked at as {form}\n")
    ran = fresh.doit("info", form.format(fresh.name))
    status, _, rest = ran.out.partition("The following file dependencies have changed:")
    assert "run" in status
    (changed,) = rest.partition("\n\n")[0].split("\n    - ")[1:]
    assert changed.endswith("/a/version")


def test_a_forgotten_service_runs_again_and_finds_its_image(fresh: Shop) -> None:
    fresh.doit("forget", "build:a", f"build:{fresh.name}.a").ok()
    assert statuses(fresh.doit("list", "--status", "--all"))[f"build:{fresh.name}.a"] == "R"
    ran = fresh.doit("build:a").ok()
    assert ran.bakes == []
    assert "1 up to date" in ran.out
    assert statuses(fresh.doit("list", "--status", "--all"))[f"build:{fresh.name}.a"] == "U"


def test_an_image_that_is_gone_from_the_engine_is_built_again(fresh: Shop) -> None:
    listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", fresh.repository("b")).split()
    docker("image", "rm", "--force", *listed)
    assert fresh.doit("build").ok().bakes == [["b"]]


def test_a_file_that_is_added_or_vanishes_makes_its_service_stale(fresh: Shop) -> None:
    more = fresh.write("b/more", "more\n")
    assert fresh.doit("build").ok().bakes == [["b"]]
    more.unlink()
    # What it was before is still there: stale for doit, and nobody has to build it.
    assert fresh.doit("build").ok().bakes == []


def test_a_shared_context_makes_only_those_stale_that_read_it(fresh: Shop) -> None:
    fresh.write("shared/shared.txt", "shared anew\n")
    assert fresh.doit("build").ok().bakes == [["d"]]


def test_a_commit_that_changes_no_input_makes_nothing_stale(fresh: Shop) -> None:
    fresh.write("README", "Welcome\n")
    fresh.commit("Say welcome")
    assert fresh.doit("build").ok().bakes == []
