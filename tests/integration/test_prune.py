"""`doit prune` deletes what nobody needs, and nothing else: on a real registry and a real engine."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.conftest import MakeShop
from tests.integration.registries import (
    OCI_IMAGE,
    OCI_INDEX,
    Front,
    Handler,
    error,
    forward,
    push_image,
    push_manifest,
    running_front,
)
from tests.integration.shop import MANIFESTS, Ran, Shop, lab_registry

pytestmark = pytest.mark.engine

ELSEWHERE = "there"


@dataclass
class Town:
    """A shop on two hosts, which both keep two releases, with more in the registry than they need.

    Attributes:
        shop: the shop.
        commits: its commits by what became of them.
        before: the digests of service a by tag, when all was set up.
        index: digests of indexes and their parts, by a name.
    """

    shop: Shop
    commits: dict[str, str]
    before: dict[str, str]
    index: dict[str, str]

    @property
    def path(self) -> str:
        return f"{self.shop.name}/{self.shop.name}-a"

    def has(self, digest: str) -> bool:
        """Ask the registry whether it has a manifest."""
        url = f"http://{lab_registry()}/v2/{self.path}/manifests/{digest}"
        return requests.head(url, headers={"Accept": MANIFESTS}, timeout=10).status_code == 200

    def digests(self) -> set[str]:
        return set(self.shop.tags("a").values())

    def local(self) -> set[str]:
        """Return the digests of service a that the engine has."""
        form = ("image", "ls", "--digests", "--format", "{{.Digest}}", self.shop.repository("a"))
        return set(self.shop.engine(*form).split()) - {"<none>"}


def configure(shop: Shop, more: str = "", keep: int = 2) -> None:
    """Two hosts, that is two root folders, on one engine."""
    file = shop.configure(more=more)
    here = f'[hosts.here]\naddress = "local"\nroot = "{shop.root}"\n'
    there = here.replace("hosts.here", f"hosts.{ELSEWHERE}").replace(str(shop.root), f"{shop.root}-there")
    kept = f"keep_releases = {keep}\n"
    file.write_text(file.read_text().replace(here, here + kept + there + kept))


@pytest.fixture(scope="module")
def town(make_shared_shop: MakeShop) -> Town:
    """Set all up: two releases on each host, the first of which only the other one has; pushes that nobody deployed."""
    shop = make_shared_shop("ab")
    configure(shop, keep=3)
    commits = {"there": shop.sha}
    shop.doit("deploy", f"host={ELSEWHERE}").ok()
    for name in ("dropped", "previous", "runs", "pushed", "latest"):
        shop.write("a/version", f"{name}\n")
        commits[name] = shop.commit(name)
        shop.doit("push" if name in ("pushed", "latest") else "deploy").ok()
        if name == "pushed":
            shop.git("branch", "topic")
    configure(shop)
    index = indexes(f"{shop.name}/{shop.name}-a")
    return Town(shop, commits, shop.tags("a"), index)


def indexes(path: str) -> dict[str, str]:
    """Push an index that stays and one that goes, with a part in common, and a signature of each."""
    host, found = lab_registry(), {}
    for part in ("own", "common", "other", "attestation"):
        found[part] = push_image(host, path, labels={"part": part}).digest
    for name, tag, parts in (
        ("kept", "v1", ("own", "common")),
        ("gone", "0" * 40, ("common", "other", "attestation")),
    ):
        listed = [{"mediaType": OCI_IMAGE, "digest": found[part], "size": 1} for part in parts]
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
        found[name] = push_manifest(host, path, tag, index, media_type=OCI_INDEX).digest
        signature = f"sha256-{found[name].partition(':')[2]}.sig"
        found[f"signature of {name}"] = push_image(host, path, signature, labels={"of": name}).digest
    return found


def part(ran: Ran, place: str = "registry") -> Any:
    (stack,) = ran.json["stacks"]
    return stack[place]


def going(ran: Ran) -> set[str]:
    """Return the digests of service a that a report says are not needed."""
    (one,) = [one for one in part(ran) if one["repository"].endswith("-a")]
    return {each["digest"] for each in one["digests"] if each["verdict"] == "delete"}


def unneeded(town: Town) -> set[str]:
    named = {town.before[town.commits[name]] for name in ("dropped", "pushed")}
    return named | {town.index["gone"], town.index["signature of gone"]}


def shape(document: Any) -> Any:
    """Return which keys a report has, and what kinds of values, whatever they are."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    if isinstance(document, list):
        return [json.loads(text) for text in sorted({json.dumps(shape(value), sort_keys=True) for value in document})]
    return (
        "number" if isinstance(document, (int, float)) and not isinstance(document, bool) else type(document).__name__
    )


def unchanged(town: Town) -> bool:
    """Whether the registry has what it had."""
    return town.shop.tags("a") == town.before and all(town.has(digest) for digest in town.index.values())


def test_nothing_goes_that_is_young_or_has_no_age(town: Town) -> None:
    assert going(town.shop.doit("prune", "format=json").ok()) == set()


def test_a_prune_that_only_looks_changes_nothing(town: Town) -> None:
    files, images = town.shop.host_files(), town.local()
    assert going(town.shop.doit("prune", "grace=0", "format=json").ok()) == unneeded(town)
    assert "would go" in town.shop.doit("prune", "grace=0").ok().out
    assert unchanged(town)
    assert (town.shop.host_files(), town.local()) == (files, images)


def test_the_heads_of_branches_stay_if_asked(town: Town) -> None:
    ran = town.shop.doit("prune", "grace=0", "branches=1", "format=json").ok()
    assert going(ran) == unneeded(town) - {town.before[town.commits["pushed"]]}


def check_nothing_is_deleted(town: Town, words: str) -> None:
    files, images, lock = town.shop.host_files(), town.local(), f"{town.shop.name}/lock"
    ran = town.shop.doit("prune", "grace=0", "apply=1", "lock_wait=0")
    assert ran.code == 1
    assert words in ran.err
    assert unchanged(town)
    assert town.local() == images
    # Who takes or tries the lock writes to it.
    assert {**town.shop.host_files(), lock: 0} == {**files, lock: 0}


def test_a_record_that_cannot_be_read_keeps_everything_on_both_hosts(town: Town) -> None:
    (record,) = Path(f"{town.shop.root}-there").glob("*/releases/*/release.json")
    text = record.read_text()
    record.write_text(text[:-20])
    try:
        check_nothing_is_deleted(town, f"{record} on host there cannot be read as a release")
    finally:
        record.write_text(text)


def test_a_host_that_cannot_be_asked_keeps_everything(town: Town) -> None:
    configure(town.shop, more='[hosts.away]\naddress = "ssh://nobody@127.0.0.1:1"\n')
    try:
        check_nothing_is_deleted(town, "host away could not be asked")
    finally:
        configure(town.shop)


def test_while_a_deploy_holds_the_lock_nothing_is_deleted(town: Town) -> None:
    with (town.shop.home / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        check_nothing_is_deleted(town, "is locked")


@contextmanager
def through_a_front(town: Town) -> Iterator[Front]:
    """Ask the registry through a front, which is another name for it."""
    with running_front(lab_registry()) as front:
        town.shop.registry = front.host
        configure(town.shop)
        try:
            yield front
        finally:
            town.shop.registry = lab_registry()
            configure(town.shop)


def test_a_registry_that_forbids_deletion_is_said_once(town: Town) -> None:
    def behaviour(handler: Handler) -> None:
        (error(405, "UNSUPPORTED") if handler.command == "DELETE" else forward)(handler)

    with through_a_front(town) as front:
        front.always = behaviour
        ran = town.shop.doit("prune", "grace=0", "apply=1").ok()
    assert [seen.method for seen in front.seen].count("DELETE") == 1
    assert (ran.out + ran.err).count("refuses to delete") == 1
    assert "refused" in ran.out
    assert unchanged(town)


def test_what_gets_a_name_while_the_prune_runs_stays_and_the_rest_goes(town: Town) -> None:
    late = town.before[town.commits["pushed"]]
    lists: list[int] = []

    def behaviour(handler: Handler) -> None:
        if handler.path.endswith("-a/tags/list?n=1000"):
            lists.append(1)
            if len(lists) == 2:
                name_it(town, late)
        forward(handler)

    with through_a_front(town) as front:
        planned = town.shop.doit("prune", "grace=0", "format=json").ok()
        front.always = behaviour
        applied = town.shop.doit("prune", "grace=0", "apply=1", "format=json").ok()
    assert shape(part(applied)) == shape(part(planned))
    states = {one["digest"]: one["state"] for each in part(applied) for one in each["digests"]}
    gone = unneeded(town) - {late}
    assert {digest for digest, state in states.items() if state == "deleted"} == gone
    assert states[late] == "named"
    assert town.digests() == set(town.before.values()) - gone
    assert set(town.shop.tags("b")) >= set(town.commits.values()), "one digest with all their names"


def name_it(town: Town, digest: str) -> None:
    """Give a digest the name of another commit, as a push does that finds the content's key."""
    url = f"http://{lab_registry()}/v2/{town.path}/manifests/"
    got = requests.get(url + digest, headers={"Accept": MANIFESTS}, timeout=10)
    kind = {"Content-Type": got.headers["Content-Type"]}
    requests.put(url + "f" * 40, data=got.content, headers=kind, timeout=10).raise_for_status()


def test_parts_go_with_the_last_index_that_lists_them(town: Town) -> None:
    staying = {name for name, digest in town.index.items() if town.has(digest)}
    assert staying == {"kept", "own", "common", "signature of kept"}


def test_on_the_host_the_images_of_kept_releases_stay_and_the_rest_goes(town: Town) -> None:
    ran = town.shop.doit("prune", "grace=0", "apply=1", "format=json").ok()
    kept = {town.before[town.commits[name]] for name in ("there", "previous", "runs")}
    assert town.local() == kept
    for host in part(ran, "hosts"):
        assert host["disk"]["before"]["free_bytes"] > 0
        assert host["disk"]["after"]["images_bytes"] > 0
    releases = [release["sha"] for release in town.shop.releases()]
    assert releases == [town.commits["previous"], town.commits["runs"]]


def test_nothing_is_left_to_prune_and_every_kept_release_can_still_be_had(town: Town) -> None:
    again = town.shop.doit("prune", "grace=0").ok()
    assert "nothing to prune" in again.out or town.shop.tags("a")["f" * 40]
    town.shop.doit("rollback").ok()
    assert town.shop.version("a") == "previous\n"
    town.shop.doit("deploy", f"host={ELSEWHERE}", f"sha={town.commits['there']}").ok()
    assert town.shop.version("a") not in {"previous\n", "runs\n"}
