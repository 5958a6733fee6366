"""How a stack stands on its host: the current release against what is observed."""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from tasks.core.durations import spoken
from tasks.core.model import Stack
from tasks.core.observed import Container
from tasks.core.release import Release
from tasks.core.values import plain
from tasks.steps.output import Screen
from tasks.steps.run import Run


class Standing(Struct, frozen=True, kw_only=True):
    """One service as it stands.

    Attributes:
        service: its name.
        container: its container's name, empty if there is none.
        condition: `healthy`, `running`, `exited (1)`, `missing`, …
        since: when it started, ISO 8601, empty if it does not run.
        revision: the commit its image was built from, empty for an external one.
        image: what it runs.
        drift: how it differs from the release, empty if it does not.
    """

    service: str
    container: str
    condition: str
    since: str
    revision: str
    image: str
    drift: str


class StackStanding(Struct, frozen=True, kw_only=True):
    """A stack as it stands: its release, its services, notes, and the line that starts it without Onevm."""

    stack: str
    host: str
    release: Release | None
    services: tuple[Standing, ...]
    notes: tuple[str, ...]
    line: str


def of(r: Run, stack: Stack) -> StackStanding:
    """Return how a stack stands."""
    folder = r.folder(stack)
    current = folder.current()
    release = current.release
    containers = [c for c in r.host(stack).engine.containers(stack.name) if not c.one_off]
    released = release.services if release else {}
    rows: list[Standing] = []
    for c in sorted(containers, key=lambda c: c.name):
        known = released.get(c.service)
        rows.append(
            Standing(
                service=c.service,
                container=c.name,
                condition=c.condition,
                since=c.started if c.state == "running" else "",
                revision=known.revision if known and known.image == c.image else "",
                image=c.image,
                drift=_drift(c, known.image if known else None, release.config.get(c.service, "") if release else ""),
            )
        )
    there = {c.service for c in containers}
    rows += [
        Standing(
            service=name,
            container="",
            condition="missing",
            since="",
            revision="",
            image=service.image,
            drift="the release has it, the host has no container",
        )
        for name, service in released.items()
        if name not in there and (name not in r.project.compose[stack.name].services or _runs(r, stack, name))
    ]
    return StackStanding(
        stack=stack.name,
        host=stack.host,
        release=release,
        services=tuple(sorted(rows, key=lambda row: (row.service, row.container))),
        notes=(current.note,) if current.note else (),
        line=folder.operator_line(tuple(release.compose)) if release else "",
    )


def _runs(r: Run, stack: Stack, service: str) -> bool:
    return r.project.compose[stack.name].services[service].replicas > 0


def _drift(c: Container, image: str | None, config: str) -> str:
    if c.is_leftover:
        return "left behind by a deploy that was killed"
    if image is None:
        return "not in the release"
    if c.image != image:
        return f"runs another image than the release's, since {c.created[:19]}Z"
    if c.config_hash != config:
        return f"was made with another configuration than the release's, at {c.created[:19]}Z"
    return ""


def document(s: StackStanding) -> dict[str, Any]:
    """Return a standing as JSON values."""
    release = s.release
    return {
        "stack": s.stack,
        "host": s.host,
        "release": release.id if release else None,
        "sha": release.sha if release else None,
        "dirty": release.dirty if release else None,
        "deployed": release.created if release else None,
        "built": release.built if release else None,
        "performer": release.performer if release else None,
        "services": [plain(row) for row in s.services],
        "notes": list(s.notes),
        "compose": s.line or None,
    }


def show(screen: Screen, s: StackStanding) -> None:
    """Show a standing as a table."""
    if s.release:
        dirty = " with uncommitted changes" if s.release.dirty else ""
        by = f"deployed {s.release.created} by {s.release.performer}{', built on the host' if s.release.built else ''}"
        screen.say(f"{s.stack} on {s.host}: release {s.release.id}, commit {s.release.sha[:7]}{dirty}, {by}")
    else:
        screen.say(f"{s.stack} on {s.host}: not deployed yet; `doit deploy:{s.stack}` does it")
    for note in s.notes:
        screen.warn(note)
    if s.services:
        columns = ["service", "state", "since", "commit", "image", "drift"]
        rows = [
            [row.service, row.condition, _ago(row.since), row.revision[:7], _short(row.image), row.drift]
            for row in s.services
        ]
        screen.table("", columns, rows)
    if s.line:
        screen.say("without Onevm:")
        screen.quote(f"  {s.line}")


def _short(image: str) -> str:
    name, at, digest = image.partition("@sha256:")
    return f"{name.rpartition('/')[2]}@{digest[:12]}" if at else image


def _ago(since: str) -> str:
    if not since:
        return ""
    try:
        started = datetime.fromisoformat(since[:19] + "+00:00")
    except ValueError:
        return since
    return f"{spoken((datetime.now(UTC) - started).total_seconds())} ago"
