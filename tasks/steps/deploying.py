"""The deploys of a run: its stacks side by side, each with its lock, its candidate and its deployment."""

from collections.abc import Callable, Mapping
from concurrent.futures import wait
from contextlib import ExitStack
from functools import partial

from tasks.adapters.release_folder import Current
from tasks.core import history
from tasks.core.errors import OnevmError, UsageError
from tasks.core.model import Stack
from tasks.core.release import Release
from tasks.core.values import replace
from tasks.steps import (
    bake,
    early,
    events,
    layers,
    on_host,
    planning,
    publish,
    ready,
    recorded,
    room,
    run,
    selection,
    summary,
    variables,
)
from tasks.steps.candidate import Candidate
from tasks.steps.deploy import deploy as carry_through
from tasks.steps.deployment import Deployment, performer
from tasks.steps.images import Image
from tasks.steps.measuring import Measuring
from tasks.steps.once import once
from tasks.steps.side_by_side import Ends, Gate, side_by_side
from tasks.steps.summary import Done
from tasks.steps.timings import Timings, merged, since_start


def deploy(stack_name: str) -> None:
    """Deploy one stack, as far as it was named on the command line, together with all others that were.

    Raises:
        OnevmError: it failed; the message says what runs now.
    """
    _all("deploy").of(stack_name)


def rollback(stack_name: str) -> None:
    """Bring one stack, or the services named, back to a recorded release, together with all others that were named.

    Raises:
        UsageError: there is no such release; with the candidates.
        OnevmError: its images are gone, or it failed.
    """
    _all("rollback").of(stack_name)


@once
def _all(verb: str) -> Ends[Done]:
    """Deploy, or roll back, the stacks that were named; once per run, whichever of them doit comes to first."""
    r = run.run()
    scopes = selection.current().scopes.get(verb, {})
    work = {"deploy": _deploy, "rollback": _rollback}[verb]
    changing: set[str] = set()
    if verb == "deploy" and any(_built(r, name, only) for name, only in scopes.items()):
        # One bake for all of them, before any of them is deployed.
        changing = {image.keyed.definition.stack for image in _batch().stale} & scopes.keys()
    gate = Gate(fail_fast=variables.flag("fail_fast"), first=changing)
    with r.screen.live():
        ends = side_by_side(tuple(scopes), lambda name: work(r, name, scopes[name], gate), gate)
    summary.show(r.screen, ends.items())
    return ends


def _deploy(r: run.Run, name: str, only: frozenset[str] | None, gate: Gate) -> Done:
    stack = r.project.stacks[name]
    if sha := variables.text("sha"):
        return _deploy_recorded(r, stack, sha, only, gate)
    measuring = _beginning(r)
    images = {
        image.keyed.definition.service: image.demand()
        for image in (_batch().images.values() if _built(r, name, only) else ())
        if image.keyed.definition.stack == name
    }
    if images:
        measuring = _after_the_bake(r, stack, images)
    named = bool(images) and not on_host.wanted()
    built = named and any(image.state == "built" for image in images.values())
    if built:
        publish.begin(name)

    def checked_out(current: Current) -> Candidate:
        if named:
            _look_ahead(r, stack, current, images)
            with measuring.timings.phase("push"):
                publish.settle(name, current.release)
        return ready.candidate(r, stack, images, current.release)

    def published(release: Release | None) -> None:
        if named:
            with measuring.timings.phase("push"):
                publish.publish(name, release)

    commit = r.sources(stack).commit.sha[:7]
    doing = f"deploy of {name} at commit {commit}"
    try:
        return _go(
            r,
            stack,
            checked_out,
            only=only,
            gate=gate,
            doing=doing,
            images=images,
            measuring=measuring,
            published=published,
        )
    except OnevmError:
        if built:
            # What was built is for every later run, whatever became of this one.
            naming = publish.begin(name)
            wait([naming.built, naming.fresh])
        raise


def _look_ahead(r: run.Run, stack: Stack, current: Current, images: Mapping[str, Image]) -> None:
    """Begin to look at what runs while names settle, if something else is to run."""
    if current.release and any(image.state == "built" for image in images.values()):
        pinned = {service.image for service in current.release.services.values()}
        early.observe(r, stack, pinned | {image.pin for image in images.values()})


def _deploy_recorded(r: run.Run, stack: Stack, sha: str, only: frozenset[str] | None, gate: Gate) -> Done:
    records = recorded.records(r, stack)

    def candidate(current: Current) -> Candidate:
        releases, _ = records(current)
        return recorded.of_commit(r, stack, sha, releases, current.release)

    return _go(r, stack, candidate, only=only, gate=gate, doing=f"deploy of {stack.name} at commit {sha}")


def _rollback(r: run.Run, name: str, only: frozenset[str] | None, gate: Gate) -> Done:
    stack = r.project.stacks[name]
    sha = variables.text("sha")
    chosen: list[Release] = []
    records = recorded.records(r, stack)

    def earlier(current: Current) -> Candidate:
        releases, notes = records(current)
        for note in notes:
            r.screen.warn(note)
        if current.release is None:
            raise UsageError(f"{name} has no current release to go back from", next_step="see `doit status`")
        found = history.named(name, sha, releases) if sha else history.before(current.release, releases)
        if found is None:
            raise UsageError(
                f"{name} has no good release of {sha}",
                next_step=f"known ones: {history.candidates(releases)}; a pushed commit: `doit deploy sha={sha}`",
            )
        chosen.append(found)
        r.screen.say(f"{name}: going back to release {found.id}, commit {found.sha[:7]}")
        back = recorded.of_release(r, stack, found)
        if only is None:
            return back
        now = recorded.of_release(r, stack, current.release)
        return replace(now, services={**now.services, **{n: s for n, s in back.services.items() if n in only}})

    doing = f"rollback of {name}{f' to {sha}' if sha else ''}"
    return _go(r, stack, earlier, only=only, gate=gate, doing=doing, kind="rollback", restores=lambda: chosen[-1].id)


def _go(
    r: run.Run,
    stack: Stack,
    candidate: Callable[[Current], Candidate],
    *,
    only: frozenset[str] | None,
    gate: Gate,
    doing: str,
    images: Mapping[str, Image] | None = None,
    kind: str = "deploy",
    restores: Callable[[], str] = str,
    measuring: Measuring | None = None,
    published: Callable[[Release | None], None] = lambda _: None,
) -> Done:
    """Bring a stack where it is to go, and write down how that ended."""
    noted = measuring or _beginning(r)
    outcome, reason = "interrupted", ""
    try:
        done = _under_lock(
            r,
            stack,
            candidate,
            noted,
            only=only,
            gate=gate,
            doing=doing,
            images=images or {},
            kind=kind,
            restores=restores,
            published=published,
        )
        outcome = "good" if done.result.recorded else "unchanged"
    except OnevmError as error:
        outcome, reason = "failed", error.what
        raise
    finally:
        events.stack(r, stack, kind, noted, outcome=outcome, reason=reason)
    return done


def _under_lock(
    r: run.Run,
    stack: Stack,
    candidate: Callable[[Current], Candidate],
    noted: Measuring,
    *,
    only: frozenset[str] | None,
    gate: Gate,
    doing: str,
    images: Mapping[str, Image],
    kind: str,
    restores: Callable[[], str],
    published: Callable[[Release | None], None],
) -> Done:
    """Take the lock, find out what is to run, and bring the stack there."""
    with noted.timings.phase("reach"):
        folder, host, screen = r.folder(stack), r.host(stack), r.screen
    holder = {"performer": performer(), "since": run.now(), "doing": doing}
    patience = variables.seconds("lock_wait", run.LOCK_SECONDS)
    with ExitStack() as held:
        with noted.timings.phase("lock"):
            lock = held.enter_context(host.lock(folder, holder, wait_seconds=patience, waiting=screen.say))
            noted.gauge, current = lock.gauge, lock.current
        with noted.timings.phase("reach"):
            # Whether its engine may be used was asked meanwhile; whoever may not is told so before anything is done.
            _ = host.engine
        with noted.timings.phase("look"):
            noted.before = current.release
            if only is not None and current.release is None:
                raise OnevmError(
                    f"stack {stack.name} was never deployed, and its first deploy cannot be one of single services",
                    next_step=f"run `doit deploy:{stack.name}`",
                )
            for text in planning.notes_on(current):
                screen.warn(f"{stack.name}: {text}")
            found = candidate(current)
        d = Deployment(
            stack=stack,
            folder=folder,
            host=host,
            screen=screen,
            login=lambda: r.login,
            published=published,
            before_change=lambda: gate.check(stack.name),
            waits=lambda: gate.over(stack.name),
            room=lambda lacking: room.check(r, stack, lacking),
            measuring=noted,
            resolving=r.resolving.get(stack.name),
            observing=r.observing.get(stack.name),
            remembered=r.remembered.get(stack.name),
            coming=r.coming.get(stack.name, {}),
            keep=r.project.configuration.hosts[stack.host].keep_releases,
            kind=kind,
            built=on_host.ON_HOST if any(not image.pushed for image in images.values()) else "",
            restores=restores(),
        )
        result = carry_through(d, current, found, only=only)
    return Done(deployment=d, result=result, images=images)


def _beginning(r: run.Run) -> Measuring:
    """Begin to note what a deployment takes; what was done until now is doit's and services.toml's."""
    return Measuring(
        timings=Timings(seconds={"load": round(since_start(), 3)}),
        layers=lambda image: layers.sizes(r, image),
        meanwhile=r.meanwhile,
    )


def _after_the_bake(r: run.Run, stack: Stack, images: Mapping[str, Image]) -> Measuring:
    """Go on from what the batch took, in which all stacks of the run have a part."""
    made = _batch()
    own = {
        name.partition(".")[2]: dict(of)
        for name, of in made.timings.services.items()
        if name.startswith(f"{stack.name}.")
    }
    built = {name: image for name, image in images.items() if image.state == "built"}
    return replace(
        _beginning(r),
        timings=Timings(seconds=dict(made.timings.seconds), services=own),
        built={
            name: partial(layers.pushed_bytes, r, image, made.pushed_layers.get(image.name))
            for name, image in built.items()
        },
        why=partial(events.causes, r, stack, built),
    )


@once
def _batch() -> bake.Batch:
    """Return the images of all stacks that are deployed; made once, in one bake (on hosts: in one for each)."""
    if not on_host.wanted():
        return bake.batch()
    r = run.run()
    before = Timings(seconds={"load": round(since_start(), 3)})
    scopes = selection.current().scopes.get("deploy", {})
    made = on_host.batch(r, {name: _built(r, name, only) for name, only in scopes.items()})
    made.timings = merged(before, made.timings)
    events.batch(r, made, ("deploy",))
    return made


def _built(r: run.Run, stack: str, only: frozenset[str] | None) -> frozenset[str]:
    built = r.project.compose[stack].built()
    return frozenset(built) if only is None else only & built.keys()
