"""The deploy of one stack by a run: lock, candidate, deployment, summary."""

from collections.abc import Mapping

from tasks.core.durations import spoken
from tasks.core.errors import OnevmError
from tasks.steps import bake, publish, ready, run, selection, variables
from tasks.steps import deploy as deployment
from tasks.steps.once import once
from tasks.steps.output import Screen


@once
def deploy(stack_name: str) -> None:
    """Deploy one stack, as far as it was named on the command line; done once per run.

    Raises:
        OnevmError: it failed; the message says what runs now.
    """
    r = run.run()
    stack = r.project.stacks[stack_name]
    only = selection.current().scopes.get("deploy", {}).get(stack_name)
    images = {
        image.keyed.definition.service: image.demand()
        for image in (bake.batch().images.values() if _has_built(r, stack_name, only) else ())
        if image.keyed.definition.stack == stack_name
    }
    if images:
        publish.published(stack_name)
    folder = r.folder(stack)
    screen = r.screen
    commit = r.sources(stack).commit
    holder = {
        "performer": deployment.performer(),
        "since": run.now(),
        "doing": f"deploy of {stack_name} at commit {commit.sha[:7]}",
    }
    host = r.host(stack)
    d = deployment.Deployment(stack=stack, folder=folder, host=host, screen=screen, login=lambda: r.login)
    wait = variables.seconds("lock_wait", run.LOCK_SECONDS)
    with host.lock(folder.path, holder, wait_seconds=wait, waiting=screen.say):
        current = folder.current()
        if only is not None and current.release is None:
            raise OnevmError(
                f"stack {stack_name} was never deployed, and its first deploy cannot be one of single services",
                next_step=f"run `doit deploy:{stack_name}`",
            )
        candidate = ready.candidate(r, stack, images, current.release)
        with screen.live():
            result = deployment.deploy(d, current, candidate, only=only)
    _summary(screen, stack_name, result, d, images)


def _has_built(r: run.Run, stack: str, only: frozenset[str] | None) -> bool:
    built = r.project.compose[stack].built()
    return bool(built if only is None else only & built.keys())


def _summary(
    screen: Screen,
    stack: str,
    result: deployment.Result,
    d: deployment.Deployment,
    images: Mapping[str, bake.Image],
) -> None:
    release = result.release
    if not result.recorded:
        screen.say(f"{stack}: nothing to do, release {release.id} runs")
        return
    done = {op.service: op for op in result.plan.of("create", "start", "recreate")}
    rows = []
    for name, service in release.services.items():
        op = done.get(name)
        what = f"{op.verb}d" if op and op.verb != "start" else "started" if op else "untouched"
        image = images[name].state if name in images else "external" if service.external else "kept"
        digest = service.image.rpartition("@")[2][:19]
        rows.append([f"{stack}.{name}", image, what, service.revision[:7], digest])
    screen.table(f"{stack}: release {release.id}", ["service", "image", "container", "built from", "digest"], rows)
    seconds = {**bake.batch_seconds(), **d.timings.seconds}
    shown = [f"{name} {spoken(value)}" for name, value in seconds.items() if " " not in name and value >= 0.05]  # noqa: PLR2004
    screen.say(f"{stack}: {', '.join(shown)}")
