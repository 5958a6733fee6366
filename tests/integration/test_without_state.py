"""What is built is known by the registry: a clone that has never built anything builds nothing that was pushed."""

import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Shop

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def deployed(make_shared_shop: MakeShop) -> Shop:
    """Give a shop that is deployed."""
    shop = make_shared_shop("abe")
    shop.doit("deploy").ok()
    return shop


@pytest.fixture
def elsewhere(deployed: Shop, tmp_path: Path) -> Shop:
    """Give a fresh clone of its repository, with the same configuration, in another folder."""
    return deployed.cloned(tmp_path)


def images(release: dict[str, object]) -> dict[str, str]:
    services = release["services"]
    assert isinstance(services, dict)
    return {name: service["image"] for name, service in services.items()}


def test_without_the_cache_folder_a_push_bakes_nothing(deployed: Shop) -> None:
    before = deployed.all_tags()
    shutil.rmtree(deployed.folder / ".onevm")
    assert deployed.doit("push").ok().bakes == []
    assert deployed.all_tags() == before


def test_a_fresh_clone_pushes_without_a_bake(elsewhere: Shop) -> None:
    before = elsewhere.all_tags()
    assert elsewhere.doit("push").ok().bakes == []
    assert elsewhere.all_tags() == before


def test_a_fresh_clone_finds_nothing_to_deploy(elsewhere: Shop) -> None:
    before = elsewhere.running()
    assert elsewhere.doit("plan", "detailed=1").code == 0
    assert elsewhere.doit("deploy").ok().bakes == []
    assert elsewhere.running() == before


def test_a_fresh_clone_releases_the_same_digests_at_another_commit(elsewhere: Shop) -> None:
    before, release = elsewhere.running(), elsewhere.current
    sha = elsewhere.commit("Change nothing")
    ran = elsewhere.doit("deploy").ok()
    assert ran.bakes == []
    assert ran.ups == []
    assert elsewhere.running() == before
    assert elsewhere.current["sha"] == sha
    assert images(elsewhere.current) == images(release)


def test_after_a_push_every_service_resolves_at_its_commit_at_latest_and_at_its_key(make_shop: MakeShop) -> None:
    shop = make_shop("abcd")
    first = shop.sha
    shop.doit("push").ok()
    before = shop.all_tags()
    for tags in before.values():
        (key,) = [tag for tag in tags if tag.startswith("key-")]
        assert tags[first] == tags["latest"] == tags[key]
        assert len(set(tags.values())) == 1
    shop.write("c/version", "c 2\n")
    second = shop.commit()
    assert shop.doit("push").ok().bakes == [["c"]]
    after = shop.all_tags()
    for name in "abd":
        assert after[name] == before[name] | {second: before[name][first]}
    assert after["c"][second] == after["c"]["latest"]
    assert after["c"][second] != after["c"][first]
    assert after["c"][first] == before["c"][first]
    assert len(shop.keys("c")) == 2
    assert after["c"][second] in shop.keys("c").values()


def test_a_key_that_is_gone_from_the_registry_is_pushed_again(make_shop: MakeShop) -> None:
    shop = make_shop("a")
    shop.doit("push").ok()
    shop.forget_images("a")
    assert shop.tags("a") == {}
    assert shop.doit("push").ok().bakes == [["a"]]
    assert shop.sha in shop.tags("a")
