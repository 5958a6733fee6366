"""status: what runs on each host, since when, from which commit, healthy or not, and what differs from the release."""

from collections.abc import Iterator

from tasks.steps import run, selection, standing, variables
from tasks.steps.naming import Task, broken, tree
from tasks.steps.once import once
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "what runs, since when, from which commit, healthy or not, drift"


@action
def status() -> None:
    """Show everything that was named, once."""
    _status()


@once
def _status() -> None:
    r = run.run()
    scopes = selection.current().scopes.get("status") or dict.fromkeys(r.project.stacks)
    found = [standing.of(r, r.project.stacks[name]) for name in sorted(scopes)]
    if variables.as_json():
        r.screen.document({"schema": 1, "stacks": [standing.document(s) for s in found]})
    else:
        for one in found:
            standing.show(r.screen, one)


def task_status() -> Iterator[Task]:
    """What runs, since when, from which commit, healthy or not, drift from the release."""
    found = project()
    if found.broken:
        yield from broken("status", DOC, found.broken)
        return
    task: Task = {"actions": [(status, [])], "uptodate": [False]}
    yield from tree("status", DOC, {}, stacks={name: dict(task) for name in found.stacks})
