"""What a prune says: one shape, whether it only looked or acted."""

from typing import Any

from tasks.core.plurals import counted
from tasks.core.sizes import spoken
from tasks.steps.output import Screen
from tasks.steps.pruning import OnHost, Prune, Pruned, Repository, Room

MOST_ROWS = 30
PLANNED = "planned"
GARBAGE = (
    "the registry gives the space back with its garbage collection (registry:2: stop it, `registry garbage-collect"
    " /etc/docker/registry/config.yml`, start it): see docs/operations.md"
)


def document(prune: Prune, found: list[Pruned], *, applied: bool) -> dict[str, Any]:
    """Return what was found, and done, as JSON values."""
    return {
        "schema": 1,
        "applied": applied,
        "branches": prune.branches,
        "grace_seconds": prune.grace,
        "registry_forbids_deletion": prune.forbidden is not None,
        "stacks": [_stack(p) for p in found],
    }


def _stack(p: Pruned) -> dict[str, Any]:
    return {
        "stack": p.stack,
        "doubts": list(p.doubts),
        "error": str(p.error) if p.error else None,
        "registry": [
            {
                "repository": one.name,
                "digests": [
                    {
                        "digest": judged.digest,
                        "tags": list(judged.tags),
                        "parts": list(judged.parts),
                        "verdict": judged.verdict,
                        "cause": judged.cause,
                        "bytes": judged.bytes,
                        "state": _state(p, one.name, judged.digest, judged.verdict),
                    }
                    for judged in one.judged
                ],
            }
            for one in p.repositories
        ],
        "hosts": [
            {
                "host": on.host,
                "releases": [
                    {"release": release.id, "verdict": verdict, "state": _state(p, on.host, release.id, verdict)}
                    for verdict, releases in (("keep", on.staying), ("delete", on.going))
                    for release in releases
                ],
                "images": [
                    {
                        "image": image.id,
                        "names": list(image.names),
                        "verdict": image.verdict,
                        "cause": image.cause,
                        "bytes": image.bytes,
                        "state": _state(p, on.host, image.id, image.verdict),
                    }
                    for image in on.images
                ],
                "disk": {"before": _room(p.before.get(on.host)), "after": _room(p.after.get(on.host))},
            }
            for on in p.hosts
        ],
    }


def _state(p: Pruned, place: str, thing: str, verdict: str) -> str:
    return "kept" if verdict == "keep" else p.states.get((place, thing), PLANNED)


def _room(room: Room | None) -> dict[str, int | None] | None:
    return {"images_bytes": room.images, "free_bytes": room.free} if room else None


def show(screen: Screen, p: Pruned, *, applied: bool) -> None:
    """Show what goes, or went, of one stack, and how much stays."""
    if p.doubts:
        screen.say(f"{p.stack}: nothing of it is pruned")
        return
    rows = [row for one in p.repositories for row in _digests(p, one)]
    for on in p.hosts:
        rows += [[on.host, f"release {release.id}", "", "", _shown(p, on.host, release.id)] for release in on.going]
        rows += _images(p, on)
    if len(rows) > MOST_ROWS:
        rows = [row for one in p.repositories for row in _summed(p, one)] + [
            row for on in p.hosts for row in _sum(p, on)
        ]
    if rows:
        screen.table(p.stack, ["where", "what", "known as", "size", ""], rows)
    for one in p.repositories:
        screen.say(f"  {one.name}: {_stays(one)}")
    for on in p.hosts:
        before, after = p.before.get(on.host), p.after.get(on.host)
        images = sum(image.verdict == "keep" for image in on.images)
        keeps = f"{counted(len(on.staying), 'release')} and {counted(images, 'image')} stay"
        disk = f"; {_disk(before)}{f' -> {_disk(after)}' if after else ''}" if before else ""
        screen.say(f"  host {on.host}: {keeps}{disk}")
    if not rows:
        screen.say(f"{p.stack}: {'it could not be told what to prune' if p.error else 'nothing to prune'}")
    elif applied and "deleted" in {p.states.get((o.name, j.digest)) for o in p.repositories for j in o.judged}:
        screen.say(f"{p.stack}: {GARBAGE}")


def _digests(p: Pruned, one: Repository) -> list[list[str]]:
    place = one.name.rpartition("/")[2]
    return [
        [place, j.digest[:19], _names(j.tags), spoken(j.bytes), _shown(p, one.name, j.digest)]
        for j in one.judged
        if j.verdict == "delete"
    ]


def _images(p: Pruned, on: OnHost) -> list[list[str]]:
    return [
        [
            on.host,
            f"image {i.id[:19]}",
            _names([_tag(name) for name in i.names]),
            spoken(i.bytes),
            _shown(p, on.host, i.id),
        ]
        for i in on.images
        if i.verdict == "delete"
    ]


def _summed(p: Pruned, one: Repository) -> list[list[str]]:
    going = [j for j in one.judged if j.verdict == "delete"]
    if not going:
        return []
    tags = counted(sum(len(j.tags) for j in going), "tag")
    done = _done(p, one.name, [j.digest for j in going])
    place = one.name.rpartition("/")[2]
    return [[place, counted(len(going), "digest"), tags, spoken(sum(j.bytes for j in going)), done]]


def _sum(p: Pruned, on: OnHost) -> list[list[str]]:
    going = [i for i in on.images if i.verdict == "delete"]
    if not on.going and not going:
        return []
    done = _done(p, on.host, [*(release.id for release in on.going), *(i.id for i in going)])
    what = f"{counted(len(on.going), 'release')}, {counted(len(going), 'image')}"
    return [[on.host, what, "", spoken(sum(i.bytes for i in going)), done]]


def _done(p: Pruned, place: str, things: list[str]) -> str:
    """Return what became of things in one place: `would go`, or `3 deleted, 1 refused`."""
    shown = [_shown(p, place, thing) for thing in things]
    if len(set(shown)) == 1:
        return shown[0]
    return ", ".join(f"{shown.count(state)} {state}" for state in dict.fromkeys(shown))


def _shown(p: Pruned, place: str, thing: str) -> str:
    said = {PLANNED: "would go", "gone": "was gone already", "named": "stays: it got a name meanwhile"}
    state = _state(p, place, thing, "delete")
    return said.get(state, state)


def _stays(one: Repository) -> str:
    """Return how many digests stay, and why: `4 digests stay: 2 in releases, 1 running, 1 tag latest`."""
    words = {"runs": "running", "release": "in releases"}
    causes = [j.cause for j in one.judged if j.verdict == "keep"]
    known = [words.get(cause.partition(" ")[0], cause) for cause in causes]
    kept = ", ".join(f"{known.count(cause)} {cause}" for cause in dict.fromkeys(known))
    stay = "stays" if len(causes) == 1 else "stay"
    return f"{counted(len(causes), 'digest')} {stay}{f': {kept}' if kept else ''}"


def _names(names: tuple[str, ...] | list[str]) -> str:
    shown = [name if len(name) <= 20 else f"{name[:16]}…" for name in names[:3]]  # noqa: PLR2004 - columns
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")  # noqa: PLR2004


def _tag(name: str) -> str:
    _, at, digest = name.partition("@")
    return digest if at else name.rpartition(":")[2]


def _disk(room: Room) -> str:
    return f"images {spoken(room.images)}, free {spoken(room.free)}"
