"""What nobody needs any more: in a repository of the registry, and on a host's engine.

Digests are counted, not tags: deleting a manifest takes all of its tags along, and a tag that is not needed costs
nothing as long as its digest is. Whatever Onevm did not name itself stays.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from tasks.core.durations import spoken
from tasks.core.reference import Reference, ReferenceInvalid, is_digest

Verdict = Literal["keep", "delete"]

# A bake that is under way, or was killed, has no other name yet for what it pushed.
BUILDING_SECONDS = 24 * 3600
UNNEEDED = "nothing needs it"

_COMMIT = re.compile(r"(?P<sha>[0-9a-f]{40}|[0-9a-f]{64})(?P<dirty>-dirty-[0-9a-f]{8})?")
_KEY = re.compile(r"key-[0-9a-f]{64}")
_BUILDING = re.compile(r"building-[0-9a-f]{12}(?:-[0-9a-f]+)?")
# Signatures and the like: cosign's names, and the referrers tag of the distribution-spec 1.1.
_SUBJECT = re.compile(r"(sha256)-([0-9a-f]{64})(?:\..+)?")


def commit_of(tag: str) -> str:
    """Return the commit that a tag names, empty if it names none; one with uncommitted changes counts too."""
    match = _COMMIT.fullmatch(tag)
    return match["sha"] if match else ""


def is_ours(tag: str) -> bool:
    """Whether Onevm gave a tag, and nobody waits for it under that name: neither `latest` nor `buildcache` is."""
    return any(kind.fullmatch(tag) for kind in (_COMMIT, _KEY, _BUILDING))


def subject_of(tag: str) -> str:
    """Return the digest that a signature's or referrers' tag belongs to; empty if it is another tag."""
    match = _SUBJECT.fullmatch(tag)
    return f"{match[1]}:{match[2]}" if match else ""


class Stored(Struct, frozen=True, kw_only=True):
    """One manifest that tags name.

    Attributes:
        digest: its digest.
        tags: its tags, sorted.
        parts: for an index, the digests of all manifests below it.
        blobs: sizes in bytes of everything that it and its parts consist of, by digest.
    """

    digest: str
    tags: tuple[str, ...]
    parts: tuple[str, ...] = ()
    blobs: Mapping[str, int]


class Judged(Struct, frozen=True, kw_only=True):
    """What becomes of one manifest.

    Attributes:
        digest: its digest.
        tags: its tags, which go with it.
        parts: manifests below it that go too, since nothing that stays lists them.
        verdict: whether it goes.
        cause: why.
        bytes: what only it takes among all that was looked at; 0 if it stays.
    """

    digest: str
    tags: tuple[str, ...]
    parts: tuple[str, ...] = ()
    verdict: Verdict
    cause: str
    bytes: int = 0


def judge(
    stored: Sequence[Stored],
    needed: Mapping[str, str],
    heads: Mapping[str, str],
    *,
    named: Mapping[str, str],
    made: Mapping[str, float | None],
    now: float,
    grace: float,
) -> tuple[Judged, ...]:
    """Return what becomes of each manifest of a repository.

    Args:
        stored: all that its tags name.
        needed: why a digest is needed, by digest, whatever repository it was named in: a registry can have two names.
        heads: the branch by commit, for commits whose images stay.
        named: why a tag is needed, by tag: a release can name an image without a digest.
        made: when a manifest was made, in seconds since 1970; None if that cannot be told. Left out: long ago.
        now: seconds since 1970.
        grace: seconds; what is younger stays.
    """
    causes = {
        s.digest: _cause(s, needed, heads, named=named, made=made.get(s.digest, 0.0), now=now, grace=grace)
        for s in stored
    }
    signed = {s.digest: {subject_of(tag) for tag in s.tags} for s in stored}
    going = {s.digest for s in stored if not causes[s.digest] and "" in signed[s.digest]}
    going |= {part for s in stored if s.digest in going for part in s.parts}
    going -= {part for s in stored if causes[s.digest] for part in s.parts}
    for digest, subjects in signed.items():
        if not causes[digest] and "" not in subjects and not subjects <= going:
            causes[digest] = "belongs to what stays"
    parents = {part: s.digest for s in stored if causes[s.digest] for part in s.parts}
    for s in stored:
        if not causes[s.digest] and s.digest in parents:
            causes[s.digest] = f"is part of {parents[s.digest][:19]}"
    kept = [s for s in stored if causes[s.digest]]
    staying = {blob for s in kept for blob in s.blobs} | {part for s in kept for part in s.parts} | needed.keys()
    judged = [Judged(digest=s.digest, tags=s.tags, verdict="keep", cause=causes[s.digest]) for s in kept]
    taken = {s.digest for s in stored}
    for s in stored:
        if causes[s.digest]:
            continue
        parts = tuple(part for part in s.parts if part not in staying | taken)
        freed = sum(size for blob, size in s.blobs.items() if blob not in staying)
        staying |= s.blobs.keys()
        taken |= set(parts)
        judged.append(Judged(digest=s.digest, tags=s.tags, parts=parts, verdict="delete", cause=UNNEEDED, bytes=freed))
    return tuple(judged)


def _cause(
    s: Stored,
    needed: Mapping[str, str],
    heads: Mapping[str, str],
    *,
    named: Mapping[str, str],
    made: float | None,
    now: float,
    grace: float,
) -> str:
    if s.digest in needed:
        return needed[s.digest]
    for tag in s.tags:
        if tag in named:
            return named[tag]
        if not is_ours(tag) and not subject_of(tag):
            return f"tag {tag}"
        if commit_of(tag) == tag and tag in heads:
            return f"branch {heads[tag]}"
    unfinished = any(_BUILDING.fullmatch(tag) for tag in s.tags) and not any(_KEY.fullmatch(tag) for tag in s.tags)
    return _young(made, now, max(grace, BUILDING_SECONDS) if unfinished else grace)


def _young(made: float | None, now: float, grace: float) -> str:
    if not grace:
        return ""
    if made is None:
        return "when it was made cannot be told (grace=0 does not ask)"
    return f"younger than {spoken(grace)}" if now - made < grace else ""


class LocalImage(Struct, frozen=True, kw_only=True):
    """An image on an engine.

    Attributes:
        id: the engine's own name for it.
        names: `repository:tag` and `repository@digest`, all that it goes by there.
        bytes: its size, layers that it shares included.
        touched: when it was made or last named, in seconds since 1970.
    """

    id: str
    names: tuple[str, ...]
    bytes: int
    touched: float


class JudgedImage(Struct, frozen=True, kw_only=True):
    """What becomes of an image on an engine: `names` are those that it loses, if it goes; `bytes` is its size."""

    id: str
    names: tuple[str, ...]
    verdict: Verdict
    cause: str
    bytes: int


def judge_images(
    images: Iterable[LocalImage],
    repositories: frozenset[str],
    needed: Mapping[str, str],
    used: Mapping[str, str],
    *,
    now: float,
    grace: float,
) -> tuple[JudgedImage, ...]:
    """Return what becomes of a stack's images on an engine; those of others are left out.

    Args:
        images: what the engine has.
        repositories: the stack's, in full.
        needed: why an image is needed, by what it is known by, see `known_by`.
        used: the container by the id of its image, whoever it belongs to.
        now: seconds since 1970.
        grace: seconds; what was made or named later stays.
    """
    judged = []
    for image in images:
        ours = tuple(sorted(name for name in image.names if repository_of(name) in repositories))
        if not ours:
            continue
        cause = f"container {used[image.id]}" if image.id in used else ""
        cause = cause or next((needed[known] for name in image.names if (known := known_by(name)) in needed), "")
        cause = cause or _young(image.touched, now, grace)
        verdict: Verdict = "keep" if cause else "delete"
        judged.append(JudgedImage(id=image.id, names=ours, verdict=verdict, cause=cause or UNNEEDED, bytes=image.bytes))
    return tuple(judged)


def repository_of(name: str) -> str:
    """Return the repository of a name of an image, in full, with its registry's host; empty if it is no name."""
    try:
        return Reference.parse(name).name
    except ReferenceInvalid:
        return ""


def tag_of(name: str) -> str:
    """Return the tag in a name of an image; empty if it has none, or is none."""
    try:
        return Reference.parse(name).tag or ""
    except ReferenceInvalid:
        return ""


def digest_of(name: str) -> str:
    """Return the digest in a name of an image; empty if it has none."""
    _, _, digest = name.partition("@")
    return digest if is_digest(digest) else ""


def known_by(name: str) -> str:
    """Return by what an image is told from others: its digest, or `repository:tag` in full; empty if it has neither."""
    tag = "" if is_digest(name) else tag_of(name)
    return digest_of(name) or (f"{repository_of(name)}:{tag}" if tag else "")
