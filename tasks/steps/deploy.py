"""Deploying one stack: from a candidate to containers that run it, or back to what ran before.

    look -> plan -> stage -> pull -> switch -> healthy -> verify -> record -> current
                                        |
                                        +- a service fails -> previous release -> record as failed

The lock is held from the look to the record. Everything before `switch` changes nothing that runs.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

from tasks.adapters import later
from tasks.adapters.later import Postponed
from tasks.adapters.process import go_on
from tasks.adapters.release_folder import OVERRIDE, Current
from tasks.core import desired, retention
from tasks.core.errors import OnevmError
from tasks.core.plan import Plan
from tasks.core.release import Outcome, Release
from tasks.core.values import replace
from tasks.steps import excerpted, hooks, probe, room, target, verify, wait
from tasks.steps.candidate import Candidate
from tasks.steps.deployment import Deployment, Result, performer
from tasks.steps.execute import Executor
from tasks.steps.remembered import Remembered
from tasks.steps.run import now

# An engine that was restarted in the middle of a deploy: to go back, it must answer again.
ENGINE_SECONDS = 60.0
# Releases on record, and notes on those that cannot be read.
Records = tuple[tuple[Release, ...], tuple[str, ...]]


def deploy(d: Deployment, current: Current, candidate: Candidate, *, only: frozenset[str] | None) -> Result:
    """Bring a stack to a candidate. The lock is held by the caller.

    Args:
        d: the stack and its host.
        current: the release that is current, read under the lock.
        candidate: what is to run.
        only: services to touch; None for all.

    Raises:
        OnevmError: it failed; what ran before runs again, unless the stack's `on_failure` is `keep`.
    """
    with d.timings.phase("look"):
        d.folder.drop(current.unrecorded)
        candidate = target.narrowed(candidate, current.release, only)
        unchanged = _unchanged(d, current, candidate)
        known = _remembered(d) if unchanged else None
        stands = known is not None and known.is_empty(candidate, d.folder, d.host.engine)
    if unchanged and stands:
        d.published(current.release)
        return unchanged
    if not unchanged and not candidate.recorded:
        # To stage it, and to put it in place, start it or record it.
        d.folder.transport.expect(2)
    with d.timings.phase("look"):
        aim = _looked(d, current.release, candidate, only)
    if unchanged and not aim.plan and not aim.observed.starting:
        d.published(current.release)
        if known:
            known.learn(candidate, aim, d.folder)
        return unchanged
    return _carry_through(d, current, candidate, aim, only)


def _carry_through(
    d: Deployment, current: Current, candidate: Candidate, aim: target.Target, only: frozenset[str] | None
) -> Result:
    """Do what is planned, and record how it ended."""
    awaited = aim.observed.starting | _unproven(aim, current.release)
    _make_sure(d, candidate, aim)
    d.measuring.begin(aim.plan)
    earlier = Postponed(d.folder.releases) if current.recorded >= d.keep else None
    executor = _executor(d, aim, candidate.compose, earlier)
    pulling = later.begun(lambda: executor.pull(aim.plan, candidate.pins()))
    part = excerpted.begin(d.folder, candidate, aim)
    previous_files = current.release.files if current.release else {}
    asked = executor.asked_first(aim.plan)
    # One session instead of two if nothing comes between staging and switching.
    at_once = not (aim.plan.of("pull") or d.stack.hooks.before_deploy or candidate.files or previous_files or asked)
    if at_once:
        d.published(current.release)
    else:
        d.folder.transport.expect(1)
    release = _staged(d, candidate, aim, current.release, only, part=part.files, switching=at_once)
    if not at_once:
        # The last thing that the registry is needed for: nothing is on record yet, and nothing was touched.
        d.published(current.release)
    try:
        pulling.result()
        d.measuring.has_all(d.host.engine.sizes)
        if not at_once:
            d.before_change()
        with d.timings.phase("hook"):
            said = hooks.run(d.folder, "before_deploy", d.stack.hooks.before_deploy, release, {})
    except OnevmError as error:
        go_on()
        _record(d, release, "failed", error.what)
        _on_failure(d, release, error)
        error.next_step = f"nothing that runs was touched; {error.next_step}"
        raise
    if said:
        d.screen.say(f"{d.stack.name}: before_deploy: {said}")
    with probe.probing(d.stack, d.host, aim.plan) as probes:
        try:
            if not at_once:
                _place(d, release.id, candidate.files, previous_files, asked)
            _carry_out(executor, aim, part.below(d.folder.folder_of(release.id)), awaited)
            with d.timings.phase("verify"):
                verify.verify(d.stack, release, d.host)
        except OnevmError as error:
            # An interrupted step is no failed one: the next run settles it.
            go_on()
            _failed(d, replace(release, outage=probes.outages()), error, current.release, previous_files)
            raise
    release = replace(release, outage=probes.outages())
    with d.timings.phase("record"):
        dropped, unused = _superfluous(d, release, earlier)
        release = _record(d, release, "good", "", dropped)
    _afterwards(d, release, unused)
    return Result(release=release, plan=aim.plan, recorded=True)


def _make_sure(d: Deployment, candidate: Candidate, aim: target.Target) -> None:
    """Say what deserves a look, and return if nothing stands against beginning."""
    for note in aim.notes:
        d.screen.warn(note)
    d.before_change()
    with d.timings.phase("look"):
        lacking = {candidate.pins()[name] for name in aim.plan.services("pull")}
        d.room(image for image in lacking if image not in d.coming or not d.coming[image].has_room())


def _unchanged(d: Deployment, current: Current, candidate: Candidate) -> Result | None:
    """Return how a deployment ends if there is nothing to do; None if the records say that there is."""
    if current.switching or current.release is None or not candidate.matches(current.release):
        return None
    return Result(release=current.release, plan=Plan(stack=d.stack.name), recorded=False)


def _unproven(aim: target.Target, current: Release | None) -> frozenset[str]:
    """Return the unhealthy services that run as they are to, but not as the current release says.

    A run that did not come to its end has started them, and nobody has seen them healthy yet. What the current release
    says was healthy when that was made: a deploy that leaves it alone is not the one to fail for it.
    """
    known = current.config if current else {}
    return frozenset(name for name in aim.observed.unhealthy if known.get(name) != aim.hashes.get(name))


def _remembered(d: Deployment) -> Remembered | None:
    try:
        return d.remembered.result().get(d.stack.name) if d.remembered else None
    except OnevmError:
        # Whoever looks comes to it again.
        return None


def _looked(d: Deployment, current: Release | None, candidate: Candidate, only: frozenset[str] | None) -> target.Target:
    # What runs is there, whatever was pulled again.
    runs = {service.image for service in current.services.values()} if current else set()
    coming = d.coming.keys() - runs
    return target.look(
        d.stack,
        d.folder,
        d.host.engine,
        candidate,
        only=only,
        resolving=d.resolving,
        observing=d.observing,
        coming=coming,
    )


def _superfluous(d: Deployment, release: Release, earlier: Postponed[Records] | None) -> tuple[list[str], list[str]]:
    """Return the releases that need not be kept once this one is good, and the images that nobody needs then."""
    if earlier is None:
        return [], []
    try:
        releases = [replace(release, outcome="good"), *earlier.begin().result()[0]]
    except OnevmError as error:
        d.screen.warn(f"{d.stack.name}: old releases could not be read, so they stay: {error}")
        return [], []
    dropped = retention.superfluous(releases, release.id, d.keep)
    gone = {r.id for r in dropped}
    kept = [r for r in releases if r.id not in gone]
    return sorted(gone), sorted(retention.unused_images(dropped, kept))


def _afterwards(d: Deployment, release: Release, unused: list[str]) -> None:
    """Run the hook and remove images; the release stands, so a failure here is only reported."""
    try:
        with d.timings.phase("hook"):
            said = hooks.run(d.folder, "after_deploy", d.stack.hooks.after_deploy, release, {})
        if said:
            d.screen.say(f"{d.stack.name}: after_deploy: {said}")
    except OnevmError as error:
        d.screen.warn(f"{error}\n  the release itself is deployed")
    try:
        with d.timings.phase("prune"):
            d.host.engine.untag(unused)
    except OnevmError as error:
        d.screen.warn(f"{d.stack.name}: images of old releases could not be removed: {error}")


def _executor(
    d: Deployment, aim: target.Target, compose: tuple[str, ...], earlier: Postponed[Records] | None = None
) -> Executor:
    def waits() -> None:
        """Begin what is needed in the end: nothing else is done while containers are waited for."""
        d.waits()
        d.measuring.ask()
        if earlier:
            earlier.begin()

    return Executor(
        engine=d.host.engine,
        folder=d.folder,
        project=aim.project,
        compose=compose,
        screen=d.screen,
        timings=d.timings,
        waits=waits,
        login=d.login,
        pulled=d.measuring.pulled,
        coming=d.coming,
        hashes=aim.hashes,
        switched=aim.switched,
        drains={name: d.stack.settings(name).drain_seconds for name in aim.project.services},
        doubled={
            name: count
            for name, service in aim.project.active().items()
            if (count := len(aim.observed.of(name))) not in {0, service.replicas}
        },
        starting=aim.observed.starting,
    )


def _staged(
    d: Deployment,
    candidate: Candidate,
    aim: target.Target,
    previous: Release | None,
    only: frozenset[str] | None,
    *,
    part: Mapping[str, bytes],
    switching: bool,
) -> Release:
    created = now()
    dirty = "-dirty" if candidate.dirty else ""
    stamp = created.replace("-", "").replace(":", "")
    fraction = datetime.now(UTC).strftime("%f")[:3]
    release = Release(
        id=f"{stamp[:-1]}.{fraction}Z-{candidate.sha[:7]}{dirty}",
        stack=d.stack.name,
        sha=candidate.sha,
        dirty=candidate.dirty,
        created=created,
        performer=performer(),
        previous=previous.id if previous else None,
        services={name: candidate.services[name] for name in sorted(candidate.services)},
        compose=candidate.hashes(),
        files=dict(candidate.files),
        config=dict(sorted(aim.hashes.items())),
        kind=d.kind,
        built=d.built,
        restores=d.restores,
        scope=tuple(sorted(only or ())),
    )
    override = desired.override(candidate.pins(), aim.hashes, aim.aliases(), aim.networks)
    with d.timings.phase("stage"):
        d.folder.stage(release.id, {**candidate.contents, **part, OVERRIDE: override.encode()}, switching=switching)
    return release


def _place(
    d: Deployment,
    release_id: str,
    files: Mapping[str, str],
    before: Mapping[str, str],
    asked: Mapping[str, str],
) -> None:
    # All of them: a deploy that was killed may have left others than the current release's.
    d.folder.place(release_id, sorted(files), sorted(before.keys() - files.keys()), asked)


def _carry_out(executor: Executor, aim: target.Target, release: PurePosixPath, awaited: frozenset[str]) -> None:
    executor.sweep(aim.plan)
    executor.switch(aim.plan, release, awaited)
    executor.remove(aim.plan)


def _record(d: Deployment, release: Release, outcome: Outcome, reason: str, dropped: Sequence[str] = ()) -> Release:
    """Record how a release ended; a good one is current from then on, and `dropped` are gone."""
    measured = d.measuring.so_far(release)
    final = replace(release, outcome=outcome, reason=reason, timings=dict(d.timings.seconds), measured=measured)
    event = {
        "time": now(),
        "event": d.kind,
        "release": release.id,
        "sha": release.sha,
        "performer": release.performer,
        "outcome": outcome,
        "reason": reason,
    }
    d.folder.record(final, event, activate=outcome == "good", drop=dropped)
    d.measuring.release = final
    return final


def _on_failure(d: Deployment, release: Release, error: OnevmError) -> None:
    try:
        hooks.run(d.folder, "on_failure", d.stack.hooks.on_failure, release, {"ONEVM_FAILURE": error.what})
    except OnevmError as second:
        d.screen.warn(str(second))


def _failed(
    d: Deployment, release: Release, error: OnevmError, previous: Release | None, previous_files: Mapping[str, str]
) -> None:
    if room.is_full(d.host.transport, d.host.engine, d.folder.path):
        # Before the record gives back what was kept for it.
        error.detail = f"{error.detail}\nhost {d.stack.host}: no space left on device, the disk is full".strip()
        error.next_step = f"free space there (`df -h`, `docker system df`); {error.next_step}"
    _record(d, release, "failed", error.what)
    _on_failure(d, release, error)
    if d.stack.on_failure == "keep":
        error.next_step = f"the failed release {release.id} was left as it is (on_failure = keep); {error.next_step}"
        return
    if previous is None:
        error.next_step = f"there is no release to go back to; {error.next_step}"
        return
    d.screen.give_up(d.stack.name)
    d.screen.say(f"{error.what}; {d.stack.name} goes back to release {previous.id}")
    try:
        with d.timings.phase("back"):
            wait.until_answering(d.host.engine, ENGINE_SECONDS)
            _place(d, previous.id, previous_files, release.files, {})
            aim = target.look_back(d.stack, d.folder, d.host.engine, previous)
            executor = _executor(d, aim, tuple(previous.compose))
            executor.pull(aim.plan, {name: s.image for name, s in previous.services.items()})
            d.folder.point(executor.asked_first(aim.plan))
            _carry_out(executor, aim, d.folder.folder_of(previous.id), frozenset())
            d.folder.activate(previous.id)
    except OnevmError as second:
        error.detail += f"\n\ngoing back to release {previous.id} failed too:\n{second}"
        error.next_step = f"`doit deploy:{d.stack.name}` tries again; {error.next_step}"
        return
    error.next_step = f"release {previous.id} runs again; {error.next_step}"
