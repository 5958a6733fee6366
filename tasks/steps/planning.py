"""What `doit plan` says: everything a deploy would do, found out without changing anything."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from msgspec import Struct, field

from tasks.adapters import later, shares
from tasks.adapters.release_folder import Current
from tasks.core.images import repository
from tasks.core.model import Stack
from tasks.core.plan import Operation, Plan, ordered
from tasks.core.release import Release, ReleasedService
from tasks.core.rollout import Rollout
from tasks.core.values import replace
from tasks.steps import bases, early, moved, on_host, ready, recorded, run, target, variables, why
from tasks.steps.candidate import Candidate
from tasks.steps.commits import Commits, between
from tasks.steps.images import PARALLEL_LOOKUPS, Image, look_up
from tasks.steps.moved import Source
from tasks.steps.side_by_side import Ends, in_turn
from tasks.steps.timings import Timings, since_start
from tasks.steps.why import Cause


class StackPlan(Struct, frozen=True, kw_only=True):
    """The plan of one stack with what it stands on.

    Attributes:
        plan: the operations.
        sha: the commit that is checked out.
        dirty: whether uncommitted changes would go in.
        current: the release that runs.
        commits: how the commit of that release and the one of this plan lie to each other; None if nothing runs.
        stale: why images are not the ones that run, by service.
        notes: what deserves a look.
        cut_off: whether a run was cut off on the host, which the next deploy settles.
        rollouts: how each service is replaced, and why.
        sources: images from elsewhere as they were and are; only in a refresh.
        timings: how long its phases took.
    """

    plan: Plan
    sha: str
    dirty: bool
    current: Release | None
    commits: Commits | None
    stale: Mapping[str, Cause] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    cut_off: bool = False
    rollouts: Mapping[str, Rollout] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


class _Begun(Struct, frozen=True, kw_only=True):
    """A plan whose stack is being looked at on its host.

    Attributes:
        stack: the stack.
        only: services to plan for; None for all.
        current: what the host has on record.
        candidate: what is to run.
        aim: the candidate on the host.
        images: the operations of its images; None for a record's, which are there.
        causes: why images are not the ones that run, by service.
        sources: images from elsewhere.
        times: how long its phases take.
    """

    stack: Stack
    only: frozenset[str] | None
    current: Current
    candidate: Candidate
    aim: Future[target.Target]
    images: Future[list[Operation]] | None = None
    causes: Mapping[str, Cause] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    times: Timings


def plans(r: run.Run, scopes: Mapping[str, frozenset[str] | None]) -> Ends[StackPlan]:
    """Return the plans of stacks; one that cannot be told leaves the others alone.

    Their hosts look at all of them side by side; checkouts, which may be of one repository, are asked in turn.

    Args:
        r: the run's resources.
        scopes: the stacks, and the services of each to plan for; None for all.
    """
    load = round(since_start(), 3)
    stacks = [r.project.stacks[name] for name in scopes]
    times = {stack.name: Timings(seconds={"load": load}) for stack in stacks}
    recorded_commit = variables.text("sha")
    if not recorded_commit:
        early.resolve(r, stacks)
    known = {stack.name: later.begun(partial(_current, r, stack, times[stack.name])) for stack in stacks}
    begin = _of_a_record if recorded_commit else _of_the_checkout

    def begun(name: str) -> _Begun:
        return begin(r, r.project.stacks[name], scopes[name], known[name].result(), times[name])

    half = in_turn(tuple(scopes), begun)
    return in_turn(tuple(scopes), lambda name: _finished(r, half.of(name)))


def _current(r: run.Run, stack: Stack, times: Timings) -> Current:
    with times.phase("reach"):
        _ = r.host(stack).engine
    with times.phase("look"):
        return r.folder(stack).current()


def _of_a_record(r: run.Run, stack: Stack, only: frozenset[str] | None, current: Current, times: Timings) -> _Begun:
    with times.phase("lookup"):
        releases = r.folder(stack).releases()[0]
        candidate = recorded.of_commit(r, stack, variables.text("sha"), releases, current.release)
    candidate = target.narrowed(candidate, current.release, only)
    aim = later.begun(partial(_looked, r, stack, candidate, only, times))
    return _Begun(stack=stack, only=only, current=current, candidate=candidate, aim=aim, times=times)


def _of_the_checkout(r: run.Run, stack: Stack, only: frozenset[str] | None, current: Current, times: Timings) -> _Begun:
    built = r.project.compose[stack.name].built()
    with times.phase("key"):
        by_service = _images(r, stack, sorted(name for name in built if only is None or name in only))
    with times.phase("lookup"):
        if on_host.wanted():
            on_host.look_up(list(by_service.values()), current.release, r.host(stack).engine)
        else:
            look_up(r, list(by_service.values()))
        candidate = ready.candidate(r, stack, by_service, current.release, revisions=False)
    candidate = target.narrowed(candidate, current.release, only)
    sources = r.sources(stack)
    released = current.release.services if current.release else {}
    since = current.release.bases if current.release else lambda _: ()
    with times.phase("why"):
        causes = {
            name: why.stale(sources, image.keyed, released.get(name), since(name))
            for name, image in by_service.items()
            if image.state != "fresh" or (name in released and released[name].content_key != image.keyed.key)
        }
    reasons = {name: cause.text for name, cause in causes.items()}
    elsewhere = moved.sources(by_service, candidate.services, current.release) if bases.wanted() else ()
    reasons |= _refreshed(by_service, candidate.services, current.release, moved.reasons(elsewhere))
    stale = {name: reasons[name] for name, image in by_service.items() if image.state != "fresh"}
    active = r.project.compose[stack.name].active()
    unbuilt = {name: reason for name, reason in stale.items() if name in active}
    return _Begun(
        stack=stack,
        only=only,
        current=current,
        candidate=candidate,
        # The host's Compose and the registry work at the same time.
        aim=later.begun(partial(_looked, r, stack, candidate, only, times, unbuilt=unbuilt, why=reasons)),
        images=later.begun(partial(_of_images, r, by_service, stale)),
        causes=causes,
        sources=elsewhere,
        times=times,
    )


def _looked(
    r: run.Run,
    stack: Stack,
    candidate: Candidate,
    only: frozenset[str] | None,
    times: Timings,
    *,
    unbuilt: Mapping[str, str] | None = None,
    why: Mapping[str, str] | None = None,
) -> target.Target:
    with times.phase("look"):
        return target.look(
            stack,
            r.folder(stack),
            r.host(stack).engine,
            candidate,
            unbuilt=unbuilt,
            why=why,
            only=only,
            resolving=r.resolving.get(stack.name),
            observing=r.observing.get(stack.name),
        )


def _finished(r: run.Run, begun: _Begun) -> StackPlan:
    """Return a plan once its host has been looked at."""
    stack, current, candidate = begun.stack, begun.current, begun.candidate
    aim = begun.aim.result()
    with begun.times.phase("lookup"):
        operations = [*aim.plan.operations, *(begun.images.result() if begun.images else ())]
    with begun.times.phase("why"):
        commits = _commits(r, stack, current.release, candidate.sha)
    return StackPlan(
        plan=Plan(stack=stack.name, operations=ordered(operations)),
        sha=candidate.sha,
        dirty=candidate.dirty,
        current=current.release,
        commits=commits,
        stale=begun.causes,
        notes=(*notes_on(current), *aim.notes),
        cut_off=bool(current.switching),
        rollouts=_rollouts(aim, begun.only),
        sources=begun.sources,
        timings=begun.times.seconds,
    )


def _refreshed(
    images: Mapping[str, Image],
    services: Mapping[str, ReleasedService],
    current: Release | None,
    reasons: Mapping[str, str],
) -> dict[str, str]:
    """Return the reasons of a refresh for services that it gives another image."""
    known = current.services if current else {}
    same = {name for name, service in services.items() if name in known and service.image == known[name].image}
    stale = {name for name, image in images.items() if image.state != "fresh"}
    # Where the content itself changed, that says more.
    changed = {n for n, i in images.items() if n in known and i.keyed.key != known[n].content_key}
    return {name: why for name, why in reasons.items() if (name in stale or name not in same) and name not in changed}


def _rollouts(aim: target.Target, only: frozenset[str] | None) -> dict[str, Rollout]:
    """Return how each service is replaced; what is replaced now may have to be on this host as it is now."""
    now = {op.service: op for op in aim.plan.of("recreate")}
    return {
        name: replace(how, kind=now[name].rollout or how.kind, reason=now[name].reason) if name in now else how
        for name, how in sorted(aim.rollouts.items())
        if only is None or name in only
    }


def _images(r: run.Run, stack: Stack, services: Sequence[str]) -> dict[str, Image]:
    sources = r.sources(stack)
    sources.look_at(services)
    return {
        name: Image(
            keyed=sources.glanced(name),
            repository=repository(r.project.configuration.registry, stack.name, name),
            pushed=not on_host.wanted(),
            bases=bases.of(r, sources.glanced(name).definition),
        )
        for name in services
    }


def notes_on(current: Current) -> tuple[str, ...]:
    """Return what deserves a look before a stack is deployed."""
    notes = [current.note] if current.note else []
    if current.switching:
        notes.append(f"a run was cut off on its way to release {current.switching}; the next deploy settles that")
    return tuple(notes)


def _of_images(r: run.Run, images: Mapping[str, Image], stale: Mapping[str, str]) -> list[Operation]:
    asked = list(images.items())
    found = shares.ask(lambda item: _of_image(r, item[1], stale.get(item[0])), asked, threads=PARALLEL_LOOKUPS)
    return [operation for operations in found for operation in operations]


def _of_image(r: run.Run, image: Image, reason: str | None) -> list[Operation]:
    from tasks.steps.tagging import tags_of

    service = image.keyed.definition.service
    if reason is not None:
        build = Operation(verb="build", service=service, cause=reason)
        push = Operation(verb="push", service=service, cause="the registry does not have it")
        return [build, push] if image.pushed else [build]
    if not image.pushed:
        return []
    tag = tags_of(image)[0]
    if r.registry.head(image.path, tag) != image.digest:
        return [Operation(verb="tag", service=service, cause=f"unchanged, but not yet named by commit {tag[:7]}")]
    return []


def _commits(r: run.Run, stack: Stack, current: Release | None, sha: str) -> Commits | None:
    return between(r.sources(stack).checkout, current.sha, sha) if current else None
