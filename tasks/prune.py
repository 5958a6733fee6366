"""prune: what nobody needs of a stack, in the registry and on its hosts. Only looks, unless told to.

    what all hosts run and have on record -> registry: digests that nobody needs -> hosts: releases, images

`doit prune` shows, `doit prune apply=1` does. Where anything is in doubt nothing of the stack is touched.
"""

from collections.abc import Iterator

from tasks.core.errors import OnevmError
from tasks.steps import outcome, run, selection, variables
from tasks.steps.naming import Task, broken, tree
from tasks.steps.once import once
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "what nobody needs, in registry and on hosts; apply=1 deletes it"


@action
def prune() -> None:
    """Prune everything that was named, once."""
    _prune()


@once
def _prune() -> None:
    # Every command loads this module, and no other needs these.
    from tasks.steps import pruned
    from tasks.steps.pruning import GRACE_SECONDS, Prune

    r = run.run()
    applied = variables.flag("apply")
    names = sorted(selection.current().scopes.get("prune") or r.project.stacks)
    work = Prune(r, branches=variables.flag("branches"), grace=variables.seconds("grace", GRACE_SECONDS))
    if applied:
        r.alone("doit prune")
    found = []
    for name in names:
        found.append(work.apply(name) if applied else work.find(name))
        if not variables.as_json():
            pruned.show(r.screen, found[-1], applied=applied)
    if variables.as_json():
        r.screen.document(pruned.document(work, found, applied=applied))
    if work.forbidden:
        r.screen.warn(f"nothing was deleted in the registry: {work.forbidden}")
    for one in found:
        _end(one.stack, one.doubts, one.error)


def _end(stack: str, doubts: tuple[str, ...], error: OnevmError | None) -> None:
    """Say what kept a stack from being pruned."""
    screen = run.run().screen
    if doubts:
        step = "mend that and run it again; what nobody can tell is never taken for not needed"
        error = OnevmError(f"{stack}: in doubt, so nothing of it is pruned", detail="\n".join(doubts), next_step=step)
    if error:
        screen.error(str(error))
        outcome.note(error.exit_code)


def task_prune() -> Iterator[Task]:
    """Show what nobody needs, in the registry and on the hosts; apply=1 deletes it."""
    found = project()
    if found.broken:
        yield from broken("prune", DOC, found.broken)
        return
    task: Task = {"actions": [(prune, [])], "uptodate": [False]}
    yield from tree("prune", DOC, {}, stacks={name: dict(task) for name in found.stacks})
