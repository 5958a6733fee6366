"""build: make the images of stale services, all of them in one bake.

    files -> stale? -> content key -> on the engine? -> bake -> key-<content key>

Whether a service is stale is doit's decision, by the files that BuildKit would see. Which image that is, and
whether somebody has it already, the content key says.
"""

from collections.abc import Iterator
from typing import Any

from doit.tools import config_changed

from tasks.steps import bake, run
from tasks.steps.naming import Task, broken, tree
from tasks.steps.outcome import action
from tasks.steps.project import project
from tasks.steps.tracking import tracked

DOC = "build the images of stale services, in one bake"


@action
def build(name: str) -> dict[str, Any]:
    """Build one service, together with all others that are wanted."""
    image = bake.batch().images[name].demand()
    if image.state == "fresh":
        run.run().screen.say(f"{name}: fresh, {image.keyed.key[:12]} is there already")
    return {"content_key": image.keyed.key, "pushed": bool(image.digest)}


def is_there(task: Any, values: dict[str, Any]) -> bool:
    """Whether somebody still has the image that the last successful run of a build task left."""
    del task
    key = values.get("content_key")
    return bool(key) and (bool(values.get("pushed")) or bake.engine_has(str(key)))


def task_build() -> Iterator[Task]:
    """Build the images of stale services, in one bake."""
    found = project()
    if found.broken:
        yield from broken("build", DOC, found.broken)
        return
    inputs = tracked(found.built(), found.cache)

    def fresh_when(names: list[str]) -> Task:
        files = sorted({file for name in names for file in inputs[name].files})
        return {"file_dep": files, "uptodate": [config_changed("\n".join(inputs[name].shape for name in names))]}

    services = {name: {"actions": [(build, [name])], **fresh_when([name])} for name in found.built()}
    for task in services.values():
        task["uptodate"].append(is_there)
    yield from tree("build", DOC, services, fresh_when=fresh_when)
