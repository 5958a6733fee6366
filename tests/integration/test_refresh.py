"""`refresh=1` follows base images and external images to where their names are now; without it nothing moves."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.registries import free_port
from tests.integration.shop import Shop, docker, lab_registry

pytestmark = pytest.mark.engine

Base = Callable[[str], None]
ON_BASE = """FROM {base}
COPY --from={base} /base-version /copied
COPY version /www/version
CMD ["sh", "-c", "trap 'exit 0' TERM; httpd -f -p 8000 -h /www & wait"]
"""


@pytest.fixture(scope="module")
def shop(make_shared_shop: MakeShop, base_of: Callable[[Shop], Base]) -> Shop:
    """Give a deployed shop: a is built on a base of its own, b on another, and e runs that base itself."""
    shop = make_shared_shop("abe")
    base_of(shop)("one")
    name = base_name(shop)
    # A tag of the engine, which BuildKit there takes before it asks the registry.
    docker("pull", "--quiet", name)
    shop.write("a/Dockerfile", ON_BASE.format(base=name))
    with shop.compose() as compose:
        compose["services"]["e"]["image"] = name
    shop.commit("Start from a base of our own")
    shop.doit("deploy").ok()
    return shop


def base_name(shop: Shop) -> str:
    return f"{lab_registry()}/{shop.name}/base:1"


@pytest.fixture(scope="module")
def base_of(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give a way to push another version of a shop's base under the same name."""
    names: set[str] = set()

    def of(shop: Shop) -> Base:
        names.add(base_name(shop))

        def push(version: str) -> None:
            folder: Path = tmp_path_factory.mktemp("base")
            (folder / "Dockerfile").write_text(
                f"FROM {lab_registry()}/base/busybox:1\nRUN echo {version} {shop.name} >/base-version\n"
            )
            quiet = ("--quiet", "--provenance=false", "--push")
            docker("buildx", "build", *quiet, "--tag", base_name(shop), str(folder))

        return push

    yield of
    docker("image", "rm", *names, check=False)


def planned(shop: Shop, *args: str) -> tuple[list[str], dict[str, str]]:
    """Return the operations of a plan, and the state of images from elsewhere by service."""
    (stack,) = shop.doit("plan", "format=json", *args).ok().json["stacks"]
    operations = [f"{op['verb']} {op['service']}" for op in stack["operations"]]
    return operations, {source["service"]: source["state"] for source in stack["refresh"]}


def test_a_refresh_with_nothing_new_touches_no_container(shop: Shop) -> None:
    before, tags, release = shop.running(), shop.all_tags(), shop.current
    shop.doit("deploy", "refresh=1").ok()
    assert shop.running() == before
    assert shop.current == release
    after = shop.all_tags()
    for name, digests in tags.items():
        assert {tag: after[name][tag] for tag in digests} == digests, "nothing that had a name lost it"
    assert planned(shop, "refresh=1")[0] == []
    assert shop.doit("deploy", "refresh=1").ok().bakes == []


def test_a_base_that_moves_is_seen_by_a_refresh_alone(shop: Shop, base_of: Callable[[Shop], Base]) -> None:
    base_of(shop)("two")
    assert planned(shop) == ([], {})
    operations, states = planned(shop, "refresh=1")
    # The engine that built the base has it already.
    assert [op for op in operations if op != "pull e"] == ["build a", "push a", "recreate a", "recreate e"]
    assert states == {"a": "unknown", "b": "unknown", "e": "moved"}
    assert shop.doit("plan", "refresh=1", "detailed=1").code == 10


def test_a_refresh_replaces_what_stands_on_what_moved_and_nothing_else(shop: Shop) -> None:
    before = shop.running()
    assert shop.doit("deploy", "refresh=1").ok().bakes == [["a"]]
    after = shop.running()
    assert {name for name in after if after[name] != before[name]} == {"a", "e"}
    for service, file in (("a", "/base-version"), ("a", "/copied"), ("e", "/base-version")):
        assert shop.inside(service, "cat", file) == f"two {shop.name}\n"
    recorded = shop.current["services"]["a"]["starts_from"]
    assert list(recorded) == [base_name(shop)]
    assert planned(shop, "refresh=1") == ([], {"a": "unchanged", "b": "unchanged", "e": "unchanged"})


def test_after_a_refresh_nothing_goes_back_and_nothing_is_built_again(shop: Shop, tmp_path: Path) -> None:
    before, release = shop.running(), shop.current
    for each in (shop, shop.cloned(tmp_path)):
        assert planned(each) == ([], {})
        assert each.doit("deploy").ok().bakes == []
    assert (shop.running(), shop.current) == (before, release)


def test_the_next_build_starts_from_the_new_base_too(shop: Shop) -> None:
    shop.write("a/version", "changed\n")
    shop.commit()
    assert shop.doit("build:a").ok().bakes == [["a"]]
    (name,) = shop.engine("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", label(shop)).split()
    assert docker("run", "--rm", name, "cat", "/base-version", "/www/version") == f"two {shop.name}\nchanged\n"


def label(shop: Shop) -> str:
    """Return the filter for images of a's newest content."""
    return f"label=org.opencontainers.image.revision={shop.sha}"


def test_a_registry_that_cannot_be_asked_is_never_one_without_news(shop: Shop) -> None:
    with shop.compose() as compose:
        compose["services"]["e"]["image"] = f"127.0.0.1:{free_port()}/base:1"
    shop.write("b/Dockerfile", ON_BASE.format(base=f"127.0.0.1:{free_port()}/base:1"))
    ran = shop.doit("plan", "refresh=1")
    assert ran.code == 1
    assert "no usable answer" in ran.err
    shop.git("checkout", "-q", ".")
