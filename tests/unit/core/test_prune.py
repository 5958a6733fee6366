"""What nobody needs any more, and all that stays."""

import hashlib

import pytest

from tasks.core.prune import (
    Judged,
    LocalImage,
    Stored,
    commit_of,
    digest_of,
    is_ours,
    judge,
    judge_images,
    known_by,
    repository_of,
    subject_of,
)

NOW = 1_000_000.0
HOUR = 3600.0
SHA = {name: hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest() for name in "abcdef"}


def digest(name: str) -> str:
    return "sha256:" + hashlib.sha256(name.encode()).hexdigest()


def key(name: str) -> str:
    return "key-" + hashlib.sha256(name.encode()).hexdigest()


def stored(name: str, *tags: str, parts: str = "", blobs: str = "") -> Stored:
    """An image with a config of its own (10 bytes) and layers (100 bytes each) by the letters of `blobs`."""
    sizes = {f"config {name}": 10} | {f"layer {letter}": 100 for letter in blobs}
    return Stored(digest=digest(name), tags=tags, parts=tuple(digest(part) for part in parts), blobs=sizes)


def judged(
    *things: Stored,
    needed: str = "",
    heads: dict[str, str] | None = None,
    made: dict[str, float | None] | None = None,
    grace: float = HOUR,
) -> dict[str, Judged]:
    """Judge; by digest."""
    found = judge(
        things,
        {digest(name): "release 1" for name in needed},
        heads or {},
        named={},
        made={digest(name): when for name, when in (made or {}).items()},
        now=NOW,
        grace=grace,
    )
    assert len(found) == len(things), "each is judged once"
    return {one.digest: one for one in found}


def gone(found: dict[str, Judged]) -> set[str]:
    return {one for one, what in found.items() if what.verdict == "delete"}


def test_what_a_release_needs_stays_with_all_its_tags_and_the_rest_goes() -> None:
    found = judged(stored("a", SHA["a"], key("a")), stored("b", SHA["b"], key("b")), needed="a")
    assert gone(found) == {digest("b")}
    assert found[digest("b")].tags == (SHA["b"], key("b"))
    assert found[digest("a")].cause == "release 1"


@pytest.mark.parametrize("tag", ["latest", "buildcache", "v1.2", "mine", SHA["a"][:12], "key-123"])
def test_a_tag_that_is_not_onevms_own_keeps_its_digest(tag: str) -> None:
    found = judged(stored("a", SHA["a"], tag))
    assert found[digest("a")].cause == f"tag {tag}"


@pytest.mark.parametrize(
    "tag", [SHA["a"], f"{SHA['a']}-dirty-01234567", key("a"), "building-0123456789ab", "building-0123456789ab-01234567"]
)
def test_onevms_own_tags_keep_nothing_by_themselves(tag: str) -> None:
    assert is_ours(tag)
    assert gone(judged(stored("a", tag), made={"a": 0.0})) == {digest("a")}


def test_a_branch_keeps_what_its_commit_names_but_not_what_was_dirty() -> None:
    found = judged(
        stored("a", SHA["a"]),
        stored("b", SHA["b"]),
        stored("c", f"{SHA['a']}-dirty-01234567"),
        heads={SHA["a"]: "main"},
    )
    assert gone(found) == {digest("b"), digest("c")}
    assert found[digest("a")].cause == "branch main"


def test_what_is_young_stays_and_what_has_no_age_stays_too() -> None:
    images = [stored(name, SHA[name]) for name in "abc"]
    made = {"a": NOW - HOUR + 1, "b": NOW - HOUR - 1, "c": None}
    assert gone(judged(*images, made=made)) == {digest("b")}
    assert gone(judged(*images, made=made, grace=0)) == {digest(name) for name in "abc"}


@pytest.mark.parametrize(("age", "goes"), [(HOUR + 1, False), (24 * HOUR - 1, False), (24 * HOUR + 1, True)])
def test_what_a_bake_left_without_a_key_stays_for_a_day(age: float, goes: bool) -> None:
    found = judged(stored("a", "building-0123456789ab"), made={"a": NOW - age})
    assert bool(gone(found)) == goes
    named = judged(stored("a", "building-0123456789ab", key("a")), made={"a": NOW - HOUR - 1})
    assert gone(named) == {digest("a")}, "with its key it is like any other"


def test_what_a_kept_index_lists_stays_and_what_only_gone_ones_list_goes_with_them() -> None:
    found = judged(
        stored("i", SHA["a"], parts="xyz"),
        stored("j", SHA["b"], parts="zuv"),
        stored("y", SHA["c"]),
        stored("u", SHA["d"]),
        needed="i",
    )
    assert gone(found) == {digest("j"), digest("u")}
    assert found[digest("y")].cause.startswith("is part of sha256:")
    assert found[digest("j")].parts == (digest("v"),), "z is listed by i, and u goes under its own tag"


def test_a_part_that_a_release_names_itself_stays() -> None:
    found = judged(stored("i", SHA["a"], parts="xy"), needed="x")
    assert found[digest("i")].parts == (digest("y"),)


def test_a_part_of_two_that_go_is_deleted_once() -> None:
    found = judged(stored("i", SHA["a"], parts="x"), stored("j", SHA["b"], parts="x"))
    assert sorted(len(one.parts) for one in found.values()) == [0, 1]


def test_a_signature_goes_only_with_what_it_signs() -> None:
    def signature(name: str, ending: str = ".sig") -> str:
        return f"sha256-{digest(name).partition(':')[2]}{ending}"

    found = judged(
        stored("a", SHA["a"]),
        stored("b", SHA["b"], parts="p"),
        stored("1", signature("a")),
        stored("2", signature("b")),
        stored("3", signature("b", "")),
        stored("4", signature("p", ".att")),
        stored("5", signature("nowhere")),
        needed="a",
    )
    assert gone(found) == {digest(name) for name in "b234"}


def test_space_is_counted_once_and_only_where_nothing_that_stays_shares_it() -> None:
    found = judged(
        stored("a", SHA["a"], blobs="xy"), stored("b", SHA["b"], blobs="xz"), stored("c", SHA["c"], blobs="zw"),
        needed="a",
    )  # fmt: skip
    assert [found[digest(name)].bytes for name in "abc"] == [0, 110, 110]


def test_tags_are_told_apart() -> None:
    assert commit_of(SHA["a"]) == commit_of(f"{SHA['a']}-dirty-01234567") == SHA["a"]
    assert commit_of("a" * 64) == "a" * 64
    assert not commit_of("latest")
    assert not commit_of(SHA["a"][:-1])
    assert subject_of(f"sha256-{'0' * 64}.att") == f"sha256:{'0' * 64}"
    assert not subject_of("sha256-0123")


MINE = frozenset({"r:5000/x/notes-web"})


def local(name: str, *names: str, touched: float = 0) -> LocalImage:
    return LocalImage(id=name, names=names, bytes=7, touched=touched)


def test_a_hosts_images_go_unless_a_release_or_a_container_needs_them() -> None:
    repository = "r:5000/x/notes-web"
    found = judge_images(
        [
            local("kept", f"{repository}@{digest('1')}", f"{repository}:key-1"),
            local("used", f"{repository}@{digest('2')}"),
            local("young", f"{repository}:key-3", touched=NOW - HOUR + 1),
            local("old", f"{repository}@{digest('4')}", f"{repository}:key-4", "backup:1"),
            local("theirs", f"r:5000/x/notes-web2@{digest('5')}"),
            local("else", "redis:7"),
        ],
        MINE,
        {digest("1"): "release 1"},
        {"used": "notes-web-1"},
        now=NOW,
        grace=HOUR,
    )
    assert {one.id: one.cause for one in found if one.verdict == "keep"} == {
        "kept": "release 1",
        "used": "container notes-web-1",
        "young": "younger than 1 h 0 min",
    }
    (going,) = (one for one in found if one.verdict == "delete")
    assert (going.id, going.names) == ("old", (f"{repository}:key-4", f"{repository}@{digest('4')}")), (
        "their name stays"
    )


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("r:5000/x/web:1", "r:5000/x/web"),
        (f"r:5000/x/web@{digest('a')}", "r:5000/x/web"),
        ("redis", "docker.io/library/redis"),
        ("docker.io/team/web:7", "docker.io/team/web"),
        ("team/web:7", "docker.io/team/web"),
        ("<none>:<none>", ""),
    ],
)
def test_the_repository_of_a_name(name: str, repository: str) -> None:
    assert repository_of(name) == repository


def test_an_image_is_known_by_its_digest_or_by_its_tag() -> None:
    assert digest_of(f"team/web:7@{digest('a')}") == digest("a")
    assert digest_of("team/web:7") == digest_of("<none>@<none>") == ""
    assert known_by(f"team/web:7@{digest('a')}") == digest("a")
    assert known_by("team/web:7") == "docker.io/team/web:7"
    assert known_by("r:5000/x/web") == known_by("<none>:<none>") == known_by(digest("a")) == ""


def test_what_a_release_names_by_a_tag_alone_stays() -> None:
    images = (stored("a", key("a")), stored("b", key("b")))
    found = judge(images, {}, {}, named={key("a"): "release 1"}, made={}, now=NOW, grace=0)
    assert [(one.cause, one.verdict) for one in found] == [("release 1", "keep"), ("nothing needs it", "delete")]
    name = "r:5000/x/notes-web:key-1"
    (image,) = judge_images([local("i", name)], MINE, {name: "release 1"}, {}, now=NOW, grace=0)
    assert image.cause == "release 1"
