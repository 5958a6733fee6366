"""From a stack's checkout, or from a recorded commit, to a candidate for its host."""

from collections.abc import Callable, Mapping
from functools import partial

from tasks.adapters import shares
from tasks.core.errors import OnevmError
from tasks.core.images import REVISION_LABEL
from tasks.core.model import Stack
from tasks.core.release import Release, ReleasedService
from tasks.core.values import replace
from tasks.steps import bases, external
from tasks.steps.candidate import Candidate, missing_files, read_files
from tasks.steps.images import Image
from tasks.steps.run import Run


def candidate(
    r: Run, stack: Stack, images: Mapping[str, Image], previous: Release | None, *, revisions: bool = True
) -> Candidate:
    """Return the candidate of a stack's checkout.

    Args:
        r: the run's resources.
        stack: the stack.
        images: images of its built services by service name; those that are nowhere yet are left out.
        previous: the current release, whose pins of external images stay.
        revisions: whether to ask the registry for the commits that new images were built from; a release needs them.

    Raises:
        OnevmError: a service mounts a file of the checkout that does not travel, or an image is nowhere.
    """
    project = r.project.compose[stack.name]
    if stray := missing_files(stack, project):
        entries = ", ".join(f'"{path}"' for _, path in stray)
        mounts = "; ".join(f"{service} mounts {path}" for service, path in stray)
        raise OnevmError(
            f"stack {stack.name}: {mounts}, which does not travel with the release",
            next_step=f"configuration: add {entries} to stacks.{stack.name}.files in services.toml; data: use a volume",
        )
    sources = r.sources(stack)
    contents, files = read_files(stack)
    wanted: dict[str, Callable[[], ReleasedService]] = {}
    for name, service in project.active().items():
        if service.build is None:
            if not service.image:
                raise OnevmError(f"{stack.name}.{name} has neither `image` nor `build`", next_step="mend it")
            wanted[name] = partial(_external, r, stack, name, service.image, previous)
        elif name in images and images[name].is_there:
            wanted[name] = partial(_built, r, images[name], previous, revisions)
    services = dict(zip(wanted, shares.ask(lambda pin: pin(), wanted.values(), threads=8), strict=True))
    dirty = sources.files_uncommitted() or any(image.keyed.uncommitted for image in images.values())
    return Candidate(
        sha=sources.commit.sha,
        dirty=bool(dirty),
        services=services,
        compose=stack.compose,
        contents=contents,
        files=files,
    )


def _external(r: Run, stack: Stack, name: str, source: str, previous: Release | None) -> ReleasedService:
    return external.pin(
        source,
        f"{stack.name}.{name}",
        previous,
        ask=r.digest_of,
        engine=r.host(stack).engine,
        warn=r.screen.warn,
        refresh=bases.wanted(),
    )


def _built(r: Run, image: Image, previous: Release | None, revisions: bool) -> ReleasedService:
    pinned = image.pin
    service = image.keyed.definition.service
    known = previous.services.get(service) if previous else None
    if known and known.content_key == image.keyed.key:
        if known.image == pinned:
            return replace(known, starts_from=dict(image.bases)) if image.bases else known
        # What was built on the host has no digest: the same content under a digest would only replace its container.
        if not known.has_digest and not bases.wanted():
            return known
    if image.state == "built":
        revision = image.revision(r.sources(r.project.stacks[image.keyed.definition.stack]).commit.sha)
    elif not image.digest:
        revision = r.host(r.project.stacks[image.keyed.definition.stack]).engine.labels(pinned).get(REVISION_LABEL, "")
    elif not revisions:
        revision = ""
    else:
        revision = r.registry.labels(image.path, image.digest).get(REVISION_LABEL, "")
    inputs = r.sources(r.project.stacks[image.keyed.definition.stack]).commits(image.keyed)
    return ReleasedService(
        image=pinned,
        content_key=image.keyed.key,
        revision=revision,
        inputs=inputs,
        starts_from=dict(image.bases),
    )
