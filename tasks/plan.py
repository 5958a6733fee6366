"""plan: what a deploy would build, push and replace, and why. Changes nothing.

    services.toml, checkout, registry, host -> operations with causes

The bare command `doit` means this.
"""

from collections.abc import Iterator
from typing import Any

from tasks.core.errors import OnevmError
from tasks.core.plan import summed
from tasks.core.plurals import counted
from tasks.core.values import plain
from tasks.steps import outcome, planning, run, selection, variables
from tasks.steps.commits import Commits
from tasks.steps.naming import Task, broken, tree
from tasks.steps.once import once
from tasks.steps.outcome import action
from tasks.steps.planning import StackPlan
from tasks.steps.project import project

DOC = "what a deploy would do, and why; changes nothing"
WOULD_CHANGE = 10
MOST_ROWS = 30


@action
def plan() -> None:
    """Plan everything that was named, once."""
    _plan()


@once
def _plan() -> None:
    r = run.run()
    scopes = selection.current().scopes.get("plan") or dict.fromkeys(r.project.stacks)
    ends = planning.plans(r, dict(sorted(scopes.items())))
    plans = [end for _, end in ends.items() if not isinstance(end, OnevmError)]
    failed = [end for _, end in ends.items() if isinstance(end, OnevmError)]
    if not variables.as_json():
        for found in plans:
            _show(found)
        for error in failed[1:]:
            r.screen.error(str(error))
    if failed:
        raise failed[0]
    if variables.as_json():
        r.screen.document({"schema": 1, "stacks": [_document(p) for p in plans]})
    if variables.flag("detailed") and any(p.plan or p.cut_off for p in plans):
        outcome.note(WOULD_CHANGE)


def _document(p: StackPlan) -> dict[str, Any]:
    return {
        "stack": p.plan.stack,
        "sha": p.sha,
        "dirty": p.dirty,
        "current": p.current.id if p.current else None,
        "current_sha": p.current.sha if p.current else None,
        **_commits_document(p.commits),
        "stale": [{"service": name, **plain(cause)} for name, cause in sorted(p.stale.items())],
        "operations": [plain(op) for op in p.plan.operations],
        "rollouts": {name: {"kind": how.kind, "reason": how.reason} for name, how in p.rollouts.items()},
        "notes": list(p.notes),
        "refresh": [{**plain(source), "state": source.state} for source in p.sources],
        "timings": dict(p.timings),
    }


def _commits_document(commits: Commits | None) -> dict[str, Any]:
    known = commits if commits and not commits.unknown else None
    return {
        "commits": list(known.new) if known else None,
        "commit_count": known.new_count if known else None,
        "undone": list(known.undone) if known else None,
        "undone_count": known.undone_count if known else None,
        "commits_unknown": commits.unknown if commits else "",
    }


def _show(p: StackPlan) -> None:
    screen = run.run().screen
    dirty = " with uncommitted changes" if p.dirty else ""
    runs = f"runs {p.current.sha[:7]} (release {p.current.id})" if p.current else "is not deployed yet"
    screen.say(f"{p.plan.stack}: {runs}; checked out is {p.sha[:7]}{dirty}")
    for note in p.notes:
        screen.warn(note)
    for line in _since(p.commits) if p.commits else ():
        screen.say(line)
    if p.sources:
        rows = [[s.service, f"{s.use} {s.image}", s.was[:19] or "?", s.now[:19], s.state] for s in p.sources]
        screen.table("", ["service", "from elsewhere", "was", "is", ""], rows)
    if p.plan:
        rows = [[op.verb, op.service, op.rollout, op.cause] for op in summed(p.plan.operations, MOST_ROWS)]
        screen.table("", ["operation", "service", "rollout", "cause"], rows)
        for line in _rollouts(p):
            screen.say(line)
    else:
        screen.say("  nothing to do")


def _since(commits: Commits) -> Iterator[str]:
    """Yield what happened since the commit that runs."""
    if commits.unknown:
        yield f"  commits since then unknown: {commits.unknown}"
    for count, subjects, words in (
        (commits.new_count, commits.new, "since then"),
        (commits.undone_count, commits.undone, "would be undone"),
    ):
        if count:
            yield f"  {counted(count, 'commit')} {words}:"
            yield from (f"    {subject}" for subject in subjects)
            if count > len(subjects):
                yield f"    and {count - len(subjects)} more"


def _rollouts(p: StackPlan) -> list[str]:
    """Return how services are replaced and why: of those that are now, and from now on of those that are new."""
    concerned = p.plan.services("create", "recreate", "start")
    lines = [f"  {name}: {how.kind}: {how.reason}" for name, how in p.rollouts.items() if name in concerned]
    return lines if len(lines) <= MOST_ROWS else []


def task_plan() -> Iterator[Task]:
    """What a deploy would do, and why; changes nothing."""
    found = project()
    if found.broken:
        yield from broken("plan", DOC, found.broken)
        return
    task: Task = {"actions": [(plan, [])], "uptodate": [False]}
    active = [f"{stack}.{name}" for stack, compose in found.compose.items() for name in compose.active()]
    services = {name: dict(task) for name in active}
    yield from tree("plan", DOC, services, stacks={name: dict(task) for name in found.stacks})
