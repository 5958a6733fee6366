"""deploy: bring each stack on its host to the checked-out commit.

    build -> push -> lock -> look -> plan -> pull -> switch -> healthy -> verify -> record

With `sha=` an existing release is deployed and nothing is built. Services that do not differ are not touched. If one
fails, the stack goes back to what ran before.
"""

from collections.abc import Iterator

from tasks.steps import deploying, on_host, variables
from tasks.steps.naming import Task, broken, tree
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "build, push, pull on the host, replace what differs, verify, record"


@action
def deploy(stack: str) -> None:
    """Deploy one stack, as far as it was named."""
    deploying.deploy(stack)


def task_deploy() -> Iterator[Task]:
    """Build, push, pull on the host, replace what differs, wait until healthy, record."""
    found = project()
    if found.broken:
        yield from broken("deploy", DOC, found.broken)
        return
    services: dict[str, Task] = {}
    stacks: dict[str, Task] = {}
    for stack, compose in found.compose.items():
        built = () if variables.text("sha") or on_host.wanted() else compose.built()
        task = {"actions": [(deploy, [stack])], "uptodate": [False]}
        for name in compose.active():
            needs = [f"push:{stack}.{name}"] if name in built else []
            services[f"{stack}.{name}"] = {**task, "task_dep": needs}
        stacks[stack] = {**task, "task_dep": [f"push:{stack}.{name}" for name in built]}
    yield from tree("deploy", DOC, services, stacks=stacks)
