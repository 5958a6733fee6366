"""push: see that the registry has every image, and name all of them by the commit.

    build -> in the registry? -> bake --push what is missing -> :<commit>, :latest, :key-<content key>

Unchanged services are tagged too, with the same digest, so that every commit can be deployed as a whole.
"""

from collections.abc import Iterator

from tasks.steps import bake, publish, run, selection, tagging
from tasks.steps.naming import Task, broken, tree
from tasks.steps.once import once
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "push what the registry lacks, and tag every service with the commit"


@action
def push(name: str) -> None:
    """Push one service, together with all others that are wanted."""
    bake.batch().images[name].demand()
    stack = name.partition(".")[0]
    named = "push" in selection.current().verbs
    states = {image.state for image in bake.batch().images.values() if image.keyed.definition.stack == stack}
    if "built" in states:
        # Stacks in which nothing changed can wait: their deploys tag while they take the lock.
        publish.begin(stack)
    # There is no deploy of a stack of which an image failed.
    if named or not states <= {"fresh", "built"}:
        publish.publish(stack)
    if named:
        _show(stack)


@once
def _show(stack: str) -> None:
    by_tag: dict[str, list[list[str]]] = {}
    for image in publish.published(stack):
        row = [image.repository, image.state, image.digest]
        by_tag.setdefault(tagging.tags_of(image)[0], []).append(row)
    for tag, rows in by_tag.items():
        run.run().screen.table(f"{stack}: tagged {tag}", ["image", "", "digest"], rows)


def task_push() -> Iterator[Task]:
    """Push what the registry lacks, and tag every service with the commit."""
    found = project()
    if found.broken:
        yield from broken("push", DOC, found.broken)
        return
    services = {
        name: {"actions": [(push, [name])], "task_dep": [f"build:{name}"], "uptodate": [False]}
        for name in found.built()
    }
    yield from tree("push", DOC, services)
