"""build: make the images of stale services, all of them in one bake.

    files -> stale? -> content key -> on the engine? -> bake -> key-<content key>

Whether a service is stale is doit's decision, by the files that BuildKit would see. Which image that is, and
whether somebody has it already, the content key says.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.steps import bake, bases, freshness, variables
from tasks.steps.freshness import AsFreshAs, There, Unchanged
from tasks.steps.images import engine_has
from tasks.steps.naming import Task, broken, tree
from tasks.steps.outcome import action
from tasks.steps.project import project
from tasks.steps.reach import reach
from tasks.steps.tracking import tracked

DOC = "build the images of stale services, in one bake"


@action
def build(name: str) -> dict[str, Any]:
    """Build one service, together with all others that are wanted."""
    image = bake.batch().images[name].demand()
    if image.state == "fresh":
        freshness.take_note(name)
    return {"image": image.keyed_name, "pushed": bool(image.digest)}


def is_there(values: Mapping[str, Any]) -> bool:
    """Whether somebody still has the image that the last successful run of a build task left."""
    name = values.get("image")
    if variables.text("build") or bases.wanted():
        # It must run: to say that it does not do that; to ask what its base images are now.
        return False
    return bool(name) and (bool(values.get("pushed")) or engine_has(str(name)))


def task_build() -> Iterator[Task]:
    """Build the images of stale services, in one bake."""
    found = project()
    if found.broken:
        yield from broken("build", DOC, found.broken)
        return
    inputs = tracked(found.built(), found.cache)

    def standing_for(names: list[str]) -> Task:
        if not reach().shown:
            return {"uptodate": [True]}
        alone = inputs.get(names[0].partition(":")[2]) if len(names) == 1 else None
        return {"file_dep": alone.files if alone else (), "uptodate": [AsFreshAs(names)]}

    services = {
        name: {
            "actions": [(build, [name])],
            "file_dep": seen.files,
            "uptodate": [Unchanged(seen.shape), There(is_there)],
        }
        for name, seen in inputs.items()
    }
    yield from tree("build", DOC, services, standing_for=standing_for)
