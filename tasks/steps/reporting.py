"""What `doit report` stands on: the releases of the hosts, this clone's log of events, and the build graph."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from tasks.adapters import event_log
from tasks.core import deploys, graph, targets
from tasks.core.build import BuildDefinition, is_remote
from tasks.core.deploys import Deploy
from tasks.core.errors import OnevmError
from tasks.core.graph import Picture
from tasks.core.model import Stack
from tasks.core.release import Release
from tasks.core.values import plain
from tasks.steps import events
from tasks.steps.run import Run

_BECAME = {"create": "created", "start": "started", "recreate": "replaced", "start-first": "replaced, start-first"}


class StackReport(Struct, frozen=True, kw_only=True):
    """One stack.

    Attributes:
        name: its name.
        host: its host's name.
        current: the id of the release that runs, empty if none does or nobody says.
        deploys: its deploys and rollbacks, oldest first.
        graph: its build graph after the last of them.
        notes: what could not be read.
    """

    name: str
    host: str
    current: str
    deploys: tuple[Deploy, ...]
    graph: Picture
    notes: tuple[str, ...] = ()


class Report(Struct, frozen=True, kw_only=True):
    """The stacks, and the targets over all of them."""

    stacks: tuple[StackReport, ...]
    targets: tuple[targets.Row, ...]


def report(r: Run, names: Iterable[str]) -> Report:
    """Return the report of some stacks. Of a host that cannot be reached, the log of events has something too."""
    log = event_log.read(events.path(r.project.cache))
    stacks = tuple(_stack(r, r.project.stacks[name], log) for name in sorted(names))
    return Report(stacks=stacks, targets=targets.table([one for stack in stacks for one in stack.deploys]))


def _stack(r: Run, stack: Stack, log: list[dict[str, Any]]) -> StackReport:
    current = ""
    releases: tuple[Release, ...] = ()
    notes: tuple[str, ...] = ()
    try:
        folder = r.folder(stack)
        releases, notes = folder.releases()
        standing = folder.current()
        current = standing.release.id if standing.release else ""
    except OnevmError as error:
        notes = (f"{stack.name}: only this clone's log of events is shown: {error.what}",)
    found = deploys.joined(releases, log, stack.name)
    return StackReport(
        name=stack.name,
        host=stack.host,
        current=current,
        deploys=found,
        graph=_graph(r, stack, [one for one in found if one.outcome in {"good", "failed"}]),
        notes=notes,
    )


def _graph(r: Run, stack: Stack, recorded: list[Deploy]) -> Picture:
    project = r.project.compose[stack.name]
    built = {name: service.build for name, service in project.built().items() if service.build}
    last = recorded[-1].measured if recorded else None
    became = last.changed if last else {}
    stale = frozenset(last.built if last else ()) & built.keys()
    notes = {}
    for name in {**built, **project.active()}:
        seconds = (last.services.get(name, {}) if last else {}).get("bake")
        image = (f"built in {seconds:.1f} s" if seconds else "built") if name in stale else "fresh"
        words = [image if name in built else "external", _BECAME.get(became.get(name, ""), "untouched")]
        notes[name] = ", ".join(words) if last else ""
    sources = {name: _sources(definition, stack.path) for name, definition in built.items()}
    return graph.picture(
        built, [name for name in project.active() if name not in built], sources, stale=stale, notes=notes
    )


def _sources(definition: BuildDefinition, checkout: Path) -> tuple[str, ...]:
    """Return what an image is made of besides other images, as people call it: paths relative to the checkout."""
    values = [definition.context, *(value for _, value in definition.contexts), *map(str, definition.inputs)]
    return tuple(
        dict.fromkeys(
            value if is_remote(value) else os.path.relpath(value, checkout)
            for value in values
            if not value.startswith("target:")
        )
    )


def document(found: Report, html: str) -> dict[str, Any]:
    """Return a report as JSON values.

    Args:
        found: the report.
        html: the path of its page.
    """
    return {
        "schema": 1,
        "html": html,
        "targets": [plain(row) for row in found.targets],
        "stacks": [
            {
                "stack": stack.name,
                "host": stack.host,
                "current": stack.current or None,
                "deploys": [_deploy(one) for one in reversed(stack.deploys)],
                "notes": list(stack.notes),
            }
            for stack in found.stacks
        ],
    }


def _deploy(one: Deploy) -> Mapping[str, Any]:
    return {**plain(one), "took": one.took, "gap": one.gap, "release": one.release or None}
