"""rollback: back to a recorded release: images, Compose files and travelling files.

    records on the host -> candidate -> the same path as deploy

Nothing is built. Without `sha=` it is the newest good release before the current one.
"""

from collections.abc import Iterator

from tasks.steps import deploying
from tasks.steps.naming import Task, broken, tree
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "back to a recorded release; without sha= to the last good one"


@action
def rollback(stack: str) -> None:
    """Roll one stack back, as far as it was named."""
    deploying.rollback(stack)


def task_rollback() -> Iterator[Task]:
    """Go back to a recorded release; without sha= to the last good one before the current."""
    found = project()
    if found.broken:
        yield from broken("rollback", DOC, found.broken)
        return
    services: dict[str, Task] = {}
    stacks: dict[str, Task] = {}
    for stack, compose in found.compose.items():
        task: Task = {"actions": [(rollback, [stack])], "uptodate": [False]}
        stacks[stack] = task
        services |= {f"{stack}.{name}": dict(task) for name in compose.active()}
    yield from tree("rollback", DOC, services, stacks=stacks)
