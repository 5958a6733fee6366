"""report: what deploys took and cost, against the targets: a table here, everything else on a page of HTML.

releases on the hosts, .onevm/events.jsonl -> targets, before, now, trend -> .onevm/report.html
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tasks.core.durations import spoken
from tasks.core.sizes import spoken as bytes_spoken
from tasks.steps import run, selection, variables
from tasks.steps.naming import Task, broken, tree
from tasks.steps.once import once
from tasks.steps.outcome import action
from tasks.steps.project import project

if TYPE_CHECKING:
    from tasks.core.deploys import Deploy
    from tasks.steps.reporting import StackReport

DOC = "what deploys took and cost, against the targets; a page of HTML"
MOST_ROWS = 8


@action
def report() -> None:
    """Report on everything that was named, once."""
    _report()


@once
def _report() -> None:
    # Every command loads this module, and no other needs these.
    from tasks.steps import page, reporting

    r = run.run()
    scopes = selection.current().scopes.get("report") or dict.fromkeys(r.project.stacks)
    found = reporting.report(r, scopes)
    path = page.path(r.project.cache)
    page.write(found, path)
    if variables.as_json():
        r.screen.document(reporting.document(found, str(path)))
        return
    for stack in found.stacks:
        for note in stack.notes:
            r.screen.warn(note)
    rows = [[row.name, row.target, row.before, row.now or "-", row.verdict, row.trend or "-"] for row in found.targets]
    r.screen.table("", ["measured", "target", "before", "now", "", "trend"], rows)
    for stack in found.stacks:
        _show(stack)
    r.screen.say(f"page: {path}")


def _show(stack: "StackReport") -> None:
    screen = run.run().screen
    if not stack.deploys:
        screen.say(f"{stack.name}: no release yet; `doit deploy:{stack.name}` makes the first")
        return
    columns = ["when (UTC)", "commit", "", "outcome", "took", "longest phase", "pulled", "memory"]
    screen.table(stack.name, columns, [_row(one) for one in stack.deploys[: -MOST_ROWS - 1 : -1]])


def _row(one: "Deploy") -> list[str]:
    longest = max(one.seconds, key=lambda name: one.seconds[name], default="")
    cost = one.measured
    return [
        one.when[5:16].replace("T", " "),
        one.sha[:7],
        one.kind,
        one.outcome,
        spoken(one.took),
        f"{longest} {spoken(one.seconds[longest])}" if longest else "",
        bytes_spoken(cost.pulled_bytes) if cost and cost.pulled_bytes is not None else "",
        f"+{bytes_spoken(cost.resources.memory_rise)}" if cost and cost.resources else "",
    ]


def task_report() -> Iterator[Task]:
    """What deploys took and cost, against the targets, as a table and a page of HTML."""
    found = project()
    if found.broken:
        yield from broken("report", DOC, found.broken)
        return
    task: Task = {"actions": [(report, [])], "uptodate": [False]}
    yield from tree("report", DOC, {}, stacks={name: dict(task) for name in found.stacks})
