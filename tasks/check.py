"""check: are tools, engine, builder, registry and hosts as Onevm needs them? Only looks.

services.toml and the Compose files are checked by every command before anything else.
"""

from collections.abc import Iterator
from dataclasses import asdict

from tasks.steps import checking, outcome, run, variables
from tasks.steps.naming import Task, broken
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "check tools, engine, builder, registry, hosts and stacks; only looks"


@action
def check() -> None:
    """Look at everything, and end with 1 if something fails."""
    r = run.run()
    found = checking.findings(r)
    if variables.as_json():
        r.screen.document({"schema": 1, "findings": [asdict(f) for f in found]})
    else:
        rows = [[f.subject, f.state, f.detail, f.next_step] for f in found]
        r.screen.table("", ["what", "state", "found", "next step"], rows)
    if any(f.state == "failed" for f in found):
        outcome.note(1)


def task_check() -> Iterator[Task]:
    """Check tools, engine, builder, registry, hosts and stacks; only looks."""
    found = project()
    if found.broken:
        yield from broken("check", DOC, found.broken)
        return
    yield {"basename": "check", "doc": DOC, "actions": [(check, [])], "uptodate": [False], "io": {"capture": False}}
