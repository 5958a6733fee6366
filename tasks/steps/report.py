"""Everything that `doit check` finds by rules, in all stacks."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from tasks.core.errors import OnevmError
from tasks.core.lint.ignoring import sift
from tasks.core.lint.rule import Fault, merged
from tasks.core.model import Stack
from tasks.core.values import replace
from tasks.steps import linting, looking
from tasks.steps.checking import Finding
from tasks.steps.linting import Linted
from tasks.steps.looking import ImageSize, Looked
from tasks.steps.run import Run

PARALLEL_STACKS = 4


class Report(Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        faults: by stack, file and line.
        ignored: what services.toml excepts, with the reasons.
        images: the sizes of images, if they were looked at.
        looks: what stands in the table of tools: which other linters there are, and what could not be read.
    """

    faults: tuple[Fault, ...]
    ignored: tuple[tuple[Fault, str], ...]
    images: tuple[ImageSize, ...]
    looks: tuple[Finding, ...]


def report(r: Run, *, images: bool) -> Report:
    """Ask every rule about every stack.

    Args:
        r: the run's resources.
        images: whether to look into images, too.
    """
    stacks = list(r.project.stacks.values())
    with ThreadPoolExecutor(max(1, min(PARALLEL_STACKS, len(stacks)))) as pool:
        parts = list(pool.map(lambda stack: _of(r, stack, images=images), stacks))
    linted = [part for part, _, _ in parts if part]
    more: list[Fault] = []
    try:
        said, more = linting.others(linted)
        looks = [Finding(subject="linters", state="ok", detail=said)]
    except OnevmError as error:
        looks = [Finding(subject="linters", state="warning", detail=error.what, next_step=error.next_step)]
    looks += [look for _, _, found in parts for look in found.looks]
    faults = [fault for _, _, found in parts for fault in found.faults]
    return Report(
        faults=tuple(merged([*faults, *more])),
        ignored=tuple(pair for _, _, found in parts for pair in found.ignored),
        images=tuple(image for _, _, found in parts for image in found.images),
        looks=tuple(looks),
    )


def _of(r: Run, stack: Stack, *, images: bool) -> tuple[Linted | None, Stack, Report]:
    try:
        active = frozenset(r.project.compose[stack.name].active())
        linted = linting.read(stack, active, logs_bounded=linting.bounds_logs(r, stack))
        looked, unseen = _looked(r, stack, linted) if images else ([], [])
        informed = _informed(linted, looked)
        sifted = sift(stack, together(list(linting.faults(informed)), looked), images=images)
    except OnevmError as error:
        return None, stack, Report(faults=(), ignored=(), images=(), looks=(_failed("rules", stack, error),))
    return (
        linted,
        stack,
        Report(
            faults=sifted.faults,
            ignored=sifted.ignored,
            images=tuple(one.size for one in looked if not one.size.missing),
            looks=tuple(unseen),
        ),
    )


def _failed(subject: str, stack: Stack, error: OnevmError) -> Finding:
    detail = "\n".join(part for part in (error.what, error.detail) if part)
    return Finding(subject=f"{subject} {stack.name}", state="failed", detail=detail, next_step=error.next_step)


def _looked(r: Run, stack: Stack, linted: Linted) -> tuple[list[Looked], list[Finding]]:
    """Return what images show, and what could not be looked at; the rules on files go on without it."""
    looked: list[Looked] = []
    try:
        looked.extend(looking.look(r, stack, linted))
    except OnevmError as error:
        return looked, [_failed("images", stack, error)]
    missing = [f"{one.size.service}: {one.size.missing}" for one in looked if one.size.missing]
    if not missing:
        return looked, []
    return looked, [Finding(subject=f"images {stack.name}", state="warning", detail="\n".join(missing))]


def _informed(linted: Linted, looked: Iterable[Looked]) -> Linted:
    """Return a stack with what its images say of health checks."""
    brought = frozenset(one.size.service for one in looked if one.has_health_check)
    return replace(linted, subject=replace(linted.subject, health_in_image=brought))


def together(static: list[Fault], looked: list[Looked]) -> list[Fault]:
    """Return faults of files and images as one list: what an image answers better is not said twice.

    Where the Dockerfile's line is known, it is that of the image's fault, too.
    """
    judged = {(one.size.service, rule) for one in looked for rule in one.judged}
    found = [fault for one in looked for fault in one.faults]
    lines = {(f.services[0], f.rule): f.place for f in reversed(static) if f.services}
    shown = [replace(f, place=lines.get((f.services[0], f.rule), f.place)) if f.services else f for f in found]
    same = {(f.services[0], f.rule, f.place) for f in shown if f.services}
    kept = [
        f
        for f in static
        if not f.services or ((f.services[0], f.rule) not in judged and (f.services[0], f.rule, f.place) not in same)
    ]
    return [*kept, *shown]
