"""push: see that the registry has every image, and name all of them by the commit.

    build -> in the registry? -> bake --push what is missing -> :<commit>, :latest, :key-<content key>

Unchanged services are tagged too, with the same digest, so that every commit can be deployed as a whole.
"""

from collections.abc import Iterator

from tasks.steps import bake, publish, run, selection
from tasks.steps.naming import Task, broken, tree
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "push what the registry lacks, and tag every service with the commit"


@action
def push(name: str) -> None:
    """Push one service, together with all others that are wanted."""
    image = bake.batch().images[name].demand()
    publish.publish(name.partition(".")[0])
    if "push" in selection.current().verbs:
        run.run().screen.say(f"{name}: {image.repository}:{publish.tags_of(image)[0]} is {image.digest}")


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
