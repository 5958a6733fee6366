"""The deploy of one stack by a run: lock, candidate, deployment, summary."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from tasks.adapters.release_folder import Current
from tasks.core import history
from tasks.core.durations import spoken
from tasks.core.errors import OnevmError, UsageError
from tasks.core.model import Stack
from tasks.core.release import Release
from tasks.steps import bake, planning, publish, ready, recorded, run, selection, variables
from tasks.steps import deploy as deployment
from tasks.steps.candidate import Candidate
from tasks.steps.images import Image
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
    if sha := variables.text("sha"):

        def recorded_one(current: Current) -> Candidate:
            releases, _ = r.folder(stack).releases()
            return recorded.of_commit(r, stack, sha, releases, current.release)

        _go(r, stack, recorded_one, only=only, doing=f"deploy of {stack_name} at commit {sha}")
        return
    images = {
        image.keyed.definition.service: image.demand()
        for image in (bake.batch().images.values() if _has_built(r, stack_name, only) else ())
        if image.keyed.definition.stack == stack_name
    }
    if images:
        publish.publish(stack_name)

    def checked_out(current: Current) -> Candidate:
        return ready.candidate(r, stack, images, current.release)

    commit = r.sources(stack).commit.sha[:7]
    _go(r, stack, checked_out, only=only, doing=f"deploy of {stack_name} at commit {commit}", images=images)


@once
def rollback(stack_name: str) -> None:
    """Bring one stack, or the services named, back to a recorded release; done once per run.

    Raises:
        UsageError: there is no such release; with the candidates.
        OnevmError: its images are gone, or it failed.
    """
    r = run.run()
    stack = r.project.stacks[stack_name]
    only = selection.current().scopes.get("rollback", {}).get(stack_name)
    sha = variables.text("sha")
    chosen: list[Release] = []

    def earlier(current: Current) -> Candidate:
        releases, notes = r.folder(stack).releases()
        for note in notes:
            r.screen.warn(note)
        if current.release is None:
            raise UsageError(f"{stack_name} has no current release to go back from", next_step="see `doit status`")
        found = history.named(stack_name, sha, releases) if sha else history.before(current.release, releases)
        if found is None:
            raise UsageError(
                f"{stack_name} has no good release of {sha}",
                next_step=f"known ones: {history.candidates(releases)}; a pushed commit: `doit deploy sha={sha}`",
            )
        chosen.append(found)
        r.screen.say(f"{stack_name}: going back to release {found.id}, commit {found.sha[:7]}")
        back = recorded.of_release(r, stack, found)
        if only is None:
            return back
        now = recorded.of_release(r, stack, current.release)
        return replace(now, services={**now.services, **{n: s for n, s in back.services.items() if n in only}})

    doing = f"rollback of {stack_name}{f' to {sha}' if sha else ''}"
    _go(r, stack, earlier, only=only, doing=doing, kind="rollback", restores=lambda: chosen[-1].id)


def _go(
    r: run.Run,
    stack: Stack,
    candidate: Callable[[Current], Candidate],
    *,
    only: frozenset[str] | None,
    doing: str,
    images: Mapping[str, Image] | None = None,
    kind: str = "deploy",
    restores: Callable[[], str] = str,
) -> None:
    """Take the lock, find out what is to run, and bring the stack there."""
    folder, host, screen = r.folder(stack), r.host(stack), r.screen
    holder = {"performer": deployment.performer(), "since": run.now(), "doing": doing}
    wait = variables.seconds("lock_wait", run.LOCK_SECONDS)
    with host.lock(folder.path, holder, wait_seconds=wait, waiting=screen.say):
        current = folder.current()
        if only is not None and current.release is None:
            raise OnevmError(
                f"stack {stack.name} was never deployed, and its first deploy cannot be one of single services",
                next_step=f"run `doit deploy:{stack.name}`",
            )
        for text in planning.notes_on(current):
            screen.warn(f"{stack.name}: {text}")
        found = candidate(current)
        d = deployment.Deployment(
            stack=stack,
            folder=folder,
            host=host,
            screen=screen,
            login=lambda: r.login,
            keep=r.project.configuration.hosts[stack.host].keep_releases,
            kind=kind,
            restores=restores(),
        )
        with screen.live():
            result = deployment.deploy(d, current, found, only=only)
    _summary(screen, stack.name, result, d, images or {})


def _has_built(r: run.Run, stack: str, only: frozenset[str] | None) -> bool:
    built = r.project.compose[stack].built()
    return bool(built if only is None else only & built.keys())


def _summary(
    screen: Screen,
    stack: str,
    result: deployment.Result,
    d: deployment.Deployment,
    images: Mapping[str, Image],
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
    for name, noticed in release.outage.items():
        screen.say(f"{stack}: asked at {name} meanwhile: {noticed.words}")
    seconds = {**bake.batch_seconds(), **d.timings.seconds}
    shown = [f"{name} {spoken(value)}" for name, value in seconds.items() if " " not in name and value >= 0.05]  # noqa: PLR2004
    screen.say(f"{stack}: {', '.join(shown)}")
