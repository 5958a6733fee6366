"""history: the releases of each stack, newest first, with outcome and timings."""

from collections.abc import Iterator

from tasks.core.durations import spoken
from tasks.core.release import Release
from tasks.core.values import plain
from tasks.steps import run, selection, variables
from tasks.steps.naming import Task, broken, tree
from tasks.steps.once import once
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "releases of each stack, newest first, with outcome and timings"
MOST_ROWS = 30


@action
def history() -> None:
    """Show everything that was named, once."""
    _history()


@once
def _history() -> None:
    r = run.run()
    scopes = selection.current().scopes.get("history") or dict.fromkeys(r.project.stacks)
    found = {name: r.folder(r.project.stacks[name]) for name in sorted(scopes)}
    if variables.as_json():
        documents = []
        for name, folder in found.items():
            releases, notes = folder.releases()
            current = folder.current().release
            documents.append(
                {
                    "stack": name,
                    "current": current.id if current else None,
                    "releases": [plain(release) for release in releases],
                    "notes": list(notes),
                }
            )
        r.screen.document({"schema": 1, "stacks": documents})
        return
    for name, folder in found.items():
        releases, notes = folder.releases()
        for note in notes:
            r.screen.warn(note)
        current = folder.current().release
        if not releases:
            r.screen.say(f"{name}: no release yet")
            continue
        rows = [_row(release, current.id if current else "") for release in releases[:MOST_ROWS]]
        r.screen.table(name, ["", "release", "commit", "kind", "outcome", "took", "failed", "gap", "by", "why"], rows)


def _row(release: Release, current: str) -> list[str]:
    took = spoken(release.took)
    commit = release.sha[:7] + ("-dirty" if release.dirty else "")
    why = release.reason or (f"back to {release.restores}" if release.restores else "")
    mark = "*" if release.id == current else ""
    failed = max((noticed.failed for noticed in release.outage.values()), default=0)
    gap = max((noticed.longest_gap for noticed in release.outage.values()), default=0.0)
    noticed = [str(failed), f"{gap:.1f} s"] if release.outage else ["", ""]
    return [
        mark,
        release.id,
        commit,
        f"{release.kind}, built {release.built}" if release.built else release.kind,
        release.outcome,
        took,
        *noticed,
        release.performer,
        why,
    ]


def task_history() -> Iterator[Task]:
    """Show the releases of each stack, newest first, with outcome and timings."""
    found = project()
    if found.broken:
        yield from broken("history", DOC, found.broken)
        return
    task: Task = {"actions": [(history, [])], "uptodate": [False]}
    yield from tree("history", DOC, {}, stacks={name: dict(task) for name in found.stacks})
