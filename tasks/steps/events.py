"""What is written down of each run in the clone's log of events; docs/report.md has the schema."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.adapters import event_log
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.core.release import Release
from tasks.core.values import plain
from tasks.steps import why
from tasks.steps.images import Image
from tasks.steps.measuring import Measuring
from tasks.steps.timings import since_start

if TYPE_CHECKING:
    from tasks.steps.bake import Batch
    from tasks.steps.run import Run

SCHEMA = 1
KEY_DIGITS = 12
FILE = "events.jsonl"


def path(cache: Path) -> Path:
    """Return where the log is, given the folder of the clone's caches."""
    return cache / FILE


def batch(r: "Run", made: "Batch", verbs: Collection[str]) -> None:
    """Write down what was built; not if all was fresh and a deploy says so anyway."""
    stale = {name: image for name, image in made.images.items() if image.state != "fresh"}
    if not stale and "deploy" in verbs:
        return
    _write(
        r,
        {
            "event": "build",
            "verbs": sorted(verbs),
            "outcome": "good" if all(image.state == "built" for image in stale.values()) else "failed",
            "fresh": len(made.images) - len(stale),
            "seconds": dict(made.timings.seconds),
            "services": {
                name: {
                    "state": image.state,
                    "content_key": image.keyed.key[:KEY_DIGITS],
                    "seconds": made.timings.services.get(name, {}),
                }
                for name, image in sorted(stale.items())
            },
        },
    )


def stack(
    r: "Run",
    of: Stack,
    kind: str,
    measuring: Measuring,
    *,
    outcome: str,
    reason: str = "",
) -> None:
    """Write down how the deploy or rollback of a stack ended.

    Args:
        r: the run's resources.
        of: the stack.
        kind: `deploy` or `rollback`.
        measuring: what was noted.
        outcome: `good`, `failed`, `unchanged` or `interrupted`.
        reason: why it failed.
    """
    release, before = measuring.release, measuring.before
    found: dict[str, Any] = {
        "event": kind,
        "stack": of.name,
        "host": of.host,
        "outcome": outcome,
        "reason": reason,
        "sha": release.sha if release else before.sha if before else "",
        "release": release.id if release else None,
        "seconds": dict(measuring.timings.seconds),
    }
    if release and release.measured:
        found |= {"performer": release.performer, "dirty": release.dirty, "previous": release.previous}
        found["measured"] = plain(release.measured)
        found["outage"] = {name: plain(noticed) for name, noticed in release.outage.items()}
    if measuring.built:
        found["why"] = measuring.causes()
    _write(r, found)


def causes(r: "Run", of: Stack, built: Mapping[str, Image], before: Release | None) -> dict[str, str]:
    """Return why images were built, as far as this clone can tell: nothing is fetched for it.

    Args:
        r: the run's resources.
        of: the stack.
        built: its images that were built, by service.
        before: the release that was current.
    """
    sources = r.sources(of)
    found = {}
    try:
        for name, image in sorted(built.items()):
            bases = (
                [sha for sha in before.bases(name) if sources.checkout.has(sha.removesuffix("-dirty"))]
                if before
                else []
            )
            released = before.services.get(name) if before else None
            if bases or released is None:
                found[name] = why.stale(sources, image.keyed, released, bases).text
    except OnevmError:
        pass
    return found


def _write(r: "Run", event: Mapping[str, Any]) -> None:
    known = {
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "run": r.id,
        "took": round(since_start(), 3),
    }
    try:
        event_log.append(path(r.project.cache), [{**known, **event}])
    except OSError as error:
        r.screen.warn(f"{path(r.project.cache)} cannot be written: {error.strerror}; only `doit report` misses it")
