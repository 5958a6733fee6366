"""What hosts hold is needed; what they do not tell is a doubt."""

import hashlib

from tasks.adapters.records import Records
from tasks.core.errors import OnevmError
from tasks.core.prune import LocalImage
from tasks.core.release import Release, ReleasedService
from tasks.steps.holdings import Holding, Holdings

WEB = "r:5000/x/notes-web"
MINE = frozenset({WEB})


def digest(name: str) -> str:
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def release(number: int, image: str, stack: str = "notes", outcome: str = "good") -> Release:
    return Release(
        id=f"2026010{number}T030405.000Z-1a2b3c4",
        stack=stack,
        sha="1a2b3c4" + "0" * 33,
        dirty=False,
        created="2026-01-02T03:04:05Z",
        performer="me@here",
        previous=None,
        services={"web": ReleasedService(image=image, external=stack != "notes")},
        compose={},
        outcome="good" if outcome == "good" else "failed",
    )


def records(*releases: Release, doubts: tuple[str, ...] = (), switching: str = "") -> Records:
    newest = tuple(sorted(releases, key=lambda r: r.id, reverse=True))
    current = next((r for r in newest if r.outcome == "good"), None)
    return Records(there=True, releases=newest, current=current, doubts=doubts, switching=switching)


def pin(name: str) -> str:
    return f"{WEB}@{digest(name)}"


def test_releases_that_are_not_kept_need_nothing_but_those_of_other_stacks_do() -> None:
    own = records(release(1, pin("a")), release(2, pin("b")), release(3, pin("c")))
    other = records(release(1, pin("d"), "shop"), release(2, pin("e"), "shop"), release(3, pin("f"), "shop"))
    held = Holdings(hosts={"prod": Holding(records={"notes": own, "shop": other}, keep=1)})
    assert held.needed("notes").keys() == {digest(name) for name in "cdef"}
    assert held.needed("shop").keys() == {digest(name) for name in "abcf"}
    assert held.needed("notes")[digest("c")] == "release 20260103T030405.000Z-1a2b3c4 of notes on prod"


def test_each_host_keeps_its_own_releases() -> None:
    held = Holdings(
        hosts={
            "prod": Holding(records={"notes": records(release(2, pin("b")), release(3, pin("c")))}, keep=1),
            "test": Holding(records={"notes": records(release(1, pin("a")))}, keep=1),
        }
    )
    assert held.needed("notes").keys() == {digest("a"), digest("c")}
    assert held.needed("notes", on=["prod"]).keys() == {digest("c")}
    assert held.needed("notes", cleaned=["test"]).keys() == {digest(name) for name in "abc"}, "prod drops nothing"
    assert held.having("notes") == ("prod", "test")


def test_what_a_container_runs_is_needed_by_every_name_that_its_image_has() -> None:
    image = LocalImage(id=digest("1"), names=(f"{WEB}:key-1", pin("a")), bytes=1, touched=0)
    used = {"by-id": (digest("1"), digest("1")), "by-digest": ("sha256:2", pin("b")), "by-tag": ("sha256:3", "redis:7")}
    held = Holdings(hosts={"prod": Holding(used=used, images=(image,))})
    assert held.needed("notes") == dict.fromkeys(
        [digest("a"), digest("b"), f"{WEB}:key-1", "docker.io/library/redis:7"], "runs on prod"
    )


def test_a_release_that_a_failed_deploy_left_standing_is_kept() -> None:
    old = release(1, pin("a"), outcome="failed")
    known = records(old, release(2, pin("b")), release(3, pin("c")), release(4, pin("d")), switching=old.id)
    held = Holdings(hosts={"prod": Holding(records={"notes": known}, keep=1)})
    assert held.needed("notes").keys() == {digest("a"), digest("d")}


def test_without_a_release_that_runs_nothing_is_dropped() -> None:
    known = records(release(1, pin("a"), outcome="failed"), release(2, pin("b"), outcome="failed"))
    assert Holding(records={"notes": known}).dropped("notes") == ()


GOOD = records(release(1, pin("a")))


def doubts(held: Holdings, *users: str) -> int:
    return len(held.doubts("notes", MINE, frozenset(users)))


def test_a_host_that_could_not_be_asked_is_a_doubt_about_every_stack() -> None:
    prod = Holding(records={"notes": GOOD})
    assert doubts(Holdings(hosts={"prod": prod})) == 0
    assert doubts(Holdings(hosts={"prod": prod, "away": Holding(error=OnevmError("no answer"))})) == 1


def test_a_stack_that_no_host_runs_is_a_doubt() -> None:
    assert doubts(Holdings(hosts={"prod": Holding()})) == 1
    assert doubts(Holdings(hosts={"prod": Holding(records={"notes": records()})})) == 1


def test_containers_without_a_record_are_a_doubt_unless_the_machine_has_it_under_another_root() -> None:
    prod = Holding(records={"notes": GOOD}, address="local")
    lost = Holding(unrecorded=frozenset({"notes"}), address="ssh://vm")
    same = Holding(unrecorded=frozenset({"notes"}), address="local")
    assert doubts(Holdings(hosts={"prod": prod, "lost": lost})) == 1
    assert doubts(Holdings(hosts={"prod": prod, "same": same})) == 0


def test_a_doubt_about_another_stack_counts_only_if_that_uses_the_images() -> None:
    apart = records(release(1, "redis@" + digest("r"), "shop"), doubts=("shop: unreadable",))
    user = records(release(1, pin("a"), "shop"), doubts=("shop: unreadable",))
    assert doubts(Holdings(hosts={"prod": Holding(records={"notes": GOOD, "shop": apart})})) == 0
    assert doubts(Holdings(hosts={"prod": Holding(records={"notes": GOOD, "shop": apart})}), "shop") == 1
    assert doubts(Holdings(hosts={"prod": Holding(records={"notes": GOOD, "shop": user})})) == 1
