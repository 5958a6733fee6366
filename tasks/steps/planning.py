"""What `doit plan` says: everything a deploy would do, found out without changing anything."""

from dataclasses import dataclass

from tasks.core.model import Stack
from tasks.core.plan import Operation, Plan, ordered
from tasks.core.release import Release
from tasks.steps import bake, ready, run, target, why
from tasks.steps.bake import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class StackPlan:
    """The plan of one stack with what it stands on.

    Attributes:
        plan: the operations.
        sha: the commit that is checked out.
        dirty: whether uncommitted changes would go in.
        current: the release that runs.
        commits: commits since then, newest first, as `sha7 subject`; None if that cannot be told.
        notes: what was found wrong with the records.
    """

    plan: Plan
    sha: str
    dirty: bool
    current: Release | None
    commits: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def plan(r: run.Run, stack: Stack, only: frozenset[str] | None) -> StackPlan:
    """Return the plan of one stack.

    Args:
        r: the run's resources.
        stack: the stack.
        only: services to plan for; None for all.
    """
    folder = r.folder(stack)
    current = folder.current()
    built = r.project.compose[stack.name].built()
    names = frozenset(f"{stack.name}.{name}" for name in built if only is None or name in only)
    images = bake.keyed_images(r, names, names)
    bake.look_up(r, list(images.values()))
    by_service = {image.keyed.definition.service: image for image in images.values()}
    candidate = ready.candidate(r, stack, by_service, current.release)
    candidate = target.narrowed(candidate, current.release, only)
    sources = r.sources(stack)
    released = current.release.services if current.release else {}
    stale = {
        name: why.stale(sources, image.keyed, released.get(name))
        for name, image in by_service.items()
        if image.state != "fresh"
    }
    active = r.project.compose[stack.name].active()
    unbuilt = {name: reason for name, reason in stale.items() if name in active}
    aim = target.look(stack, folder, r.host(stack).engine, candidate, unbuilt=unbuilt, only=only)
    operations = list(aim.plan.operations)
    for name, image in by_service.items():
        operations += _of_image(r, image, stale.get(name))
    return StackPlan(
        plan=Plan(stack=stack.name, operations=ordered(operations)),
        sha=candidate.sha,
        dirty=candidate.dirty,
        current=current.release,
        commits=_commits(r, stack, current.release),
        notes=(current.note,) if current.note else (),
    )


def _of_image(r: run.Run, image: Image, reason: str | None) -> list[Operation]:
    from tasks.steps.publish import tags_of

    service = image.keyed.definition.service
    if reason is not None:
        return [
            Operation(verb="build", service=service, cause=reason),
            Operation(verb="push", service=service, cause="the registry does not have it"),
        ]
    tag = tags_of(image)[0]
    if r.registry.head(image.path, tag) != image.digest:
        return [Operation(verb="tag", service=service, cause=f"unchanged, but not yet named by commit {tag[:7]}")]
    return []


def _commits(r: run.Run, stack: Stack, current: Release | None) -> tuple[str, ...] | None:
    checkout = r.sources(stack).checkout
    if current is None or not checkout.has(current.sha):
        return None
    return tuple(f"{c.sha[:7]} {c.subject}" for c in checkout.commits_between(current.sha, "HEAD"))
