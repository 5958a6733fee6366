"""A runner that has nothing: a clone of one commit, no cache. What it asks the registry, and what it leaves there."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.gate import Wire, running_wire
from tests.integration.shop import Shop

pytestmark = pytest.mark.engine

Asked = Counter[tuple[str, str]]


def counted(requests: list[tuple[str, str]], sha: str) -> Asked:
    """Count requests by method and what they are about."""
    abouts = {sha: "commit", "latest": "latest"}
    names = [(method, path.rpartition("/")[2]) for method, path in requests]
    return Counter((method, "key" if name[:4] == "key-" else abouts.get(name, "bytes")) for method, name in names)


@pytest.fixture(scope="module")
def wire(lab: str) -> Iterator[Wire]:
    with running_wire(lab) as found:
        yield found


@pytest.fixture(scope="module")
def pushed(wire: Wire, make_shared_shop: MakeShop) -> Shop:
    """Give a shop that is pushed."""
    shop = make_shared_shop("abc", registry=wire.host)
    shop.doit("push").ok()
    return shop


def test_an_unchanged_service_costs_one_lookup_and_is_named_by_the_commit_without_a_bake(
    wire: Wire, pushed: Shop, tmp_path: Path
) -> None:
    before = pushed.all_tags()
    pushed.write("README", "Only words changed.\n")
    sha = pushed.commit("Say more")
    runner = pushed.cloned(tmp_path / "one", "--depth=1")
    assert runner.git("rev-list", "--count", "HEAD") == "1"
    each = len(pushed.built)

    wire.requests.clear()
    ran = runner.doit("push").ok()
    assert counted(wire.requests, sha) == {
        ("HEAD", "key"): each,
        # The commit's name is not there, and is written, whoever said so; the latest one is.
        ("HEAD", "commit"): each,
        ("HEAD", "latest"): each,
        # The same bytes under one more name.
        ("GET", "bytes"): each,
        ("PUT", "commit"): each,
    }
    # Nothing is built, pulled or pushed: of Docker only Compose is asked, for what it makes of its files.
    assert {call[0] for call in ran.calls} == {"compose"}
    assert pushed.all_tags() == {name: before[name] | {sha: before[name]["latest"]} for name in pushed.built}

    wire.requests.clear()
    again = pushed.cloned(tmp_path / "two", "--depth=1").doit("push").ok()
    assert again.bakes == []
    assert counted(wire.requests, sha) == {("HEAD", about): each for about in ("key", "commit", "latest")}


def test_of_a_change_only_the_changed_service_is_baked_and_every_service_is_named(
    wire: Wire, pushed: Shop, tmp_path: Path
) -> None:
    before = pushed.all_tags()
    pushed.write("b/version", "b 2\n")
    sha = pushed.commit("Change b")
    runner = pushed.cloned(tmp_path / "one", "--depth=1")
    wire.requests.clear()
    assert runner.doit("push").ok().bakes == [["b"]]
    unchanged = [(method, path) for method, path in wire.requests if f"{pushed.name}-b/" not in path]
    assert {key: count for key, count in counted(unchanged, sha).items() if key[1] == "key"} == {("HEAD", "key"): 2}
    assert not [path for _, path in unchanged if "/blobs/" in path]
    after = pushed.all_tags()
    assert {name: after[name][sha] for name in "ac"} == {name: before[name]["latest"] for name in "ac"}
    assert after["b"][sha] not in before["b"].values()
