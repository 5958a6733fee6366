"""A stack of many services: Compose is given what is about the one that changes, and nothing else comes to harm."""

from dataclasses import dataclass

import pytest
from ruamel.yaml.comments import CommentedMap

from tasks.adapters.release_folder import EXCERPT, OVERRIDE
from tests.integration.conftest import MakeShop
from tests.integration.shop import COMPOSE, Ran, Shop, docker

pytestmark = pytest.mark.engine

MANY = [f"idle{number:02}" for number in range(60)]


def files_of(shop: Shop, service: str) -> list[str]:
    """Return the Compose files that a service's container was made from, relative to the stack's releases."""
    label = '{{index .Config.Labels "com.docker.compose.project.config_files"}}'
    said = docker("inspect", "--format", label, shop.running()[service].id).strip().split(",")
    return [path.removeprefix(f"{shop.root}/{shop.name}/releases/").partition("/")[2] for path in said]


def typed(shop: Shop, *words: str) -> None:
    """Type a Compose command about the current release, without Onevm."""
    there = shop.root / shop.name
    files = [part for name in (COMPOSE, OVERRIDE) for part in ("-f", str(there / "current" / name))]
    docker("compose", "-p", shop.name, "--project-directory", str(there / "project"), *files, *words)


@dataclass(frozen=True)
class Large:
    """A deployed stack with many services of which the host has no container."""

    shop: Shop

    def change(self, service: str) -> Ran:
        self.shop.write(f"{service}/version", f"{service} {self.shop.sha}\n")
        self.shop.commit()
        return self.shop.doit("deploy").ok()


@pytest.fixture
def large(make_shop: MakeShop, lab: str) -> Large:
    shop = make_shop("abd")
    with shop.compose() as compose:
        for name in MANY:
            compose["services"][name] = CommentedMap({"image": f"{lab}/base/busybox:1", "scale": 0})
    shop.commit()
    shop.doit("deploy").ok()
    return Large(shop)


def test_compose_is_given_what_is_about_the_service_that_changes(large: Large) -> None:
    shop, before = large.shop, large.shop.running()
    # Whoever has this in mind means services that are gone from the file. Compose 2.26 heeds the variable alone.
    shop.env["COMPOSE_REMOVE_ORPHANS"] = "true"
    (shop.root / shop.name / "project" / ".env").write_text("COMPOSE_REMOVE_ORPHANS=true\n")
    large.change("b")
    after = shop.running()
    assert {name: c.id for name, c in after.items() if name != "b"} == {
        name: c.id for name, c in before.items() if name != "b"
    }
    assert after["b"].id != before["b"].id
    assert shop.version("b") == f"b {shop.git('rev-parse', 'HEAD~')}\n"
    assert files_of(shop, "b") == [f"{EXCERPT}/{COMPOSE}", f"{EXCERPT}/{OVERRIDE}"]
    # For Compose, too, it is what the whole would have made.
    assert "nothing to do" in shop.doit("plan").ok().out
    typed(shop, "up", "-d")
    assert shop.running() == after


def test_what_a_service_depends_on_is_part_of_the_excerpt(large: Large) -> None:
    before = large.shop.running()
    large.change("d")
    after = large.shop.running()
    assert files_of(large.shop, "d")[0] == f"{EXCERPT}/{COMPOSE}"
    assert {name for name in after if after[name] != before[name]} == {"d"}
    large.shop.doit("rollback").ok()
    back = large.shop.running()
    assert {name for name in back if back[name] != after[name]} == {"d"}
    assert back["d"].image == before["d"].image
    assert files_of(large.shop, "d")[0] == f"{EXCERPT}/{COMPOSE}"


def test_a_service_that_needs_what_would_be_left_out_is_made_from_the_whole(large: Large) -> None:
    shop = large.shop
    text = (shop.repo / COMPOSE).read_text()
    assert "  idle00:\n" in text
    text = text.replace("  idle00:\n", "  idle00:\n    labels: &labels {from: idle00}\n").replace(
        "  idle01:\n", "  zero:\n    <<: *served\n    build: {context: a}\n    labels: *labels\n  idle01:\n"
    )
    shop.write(COMPOSE, text)
    shop.commit()
    before = shop.running()
    shop.doit("deploy").ok()
    assert files_of(shop, "zero") == [COMPOSE, OVERRIDE]
    assert {name: c for name, c in shop.running().items() if name != "zero"} == before
