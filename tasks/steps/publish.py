"""Naming images in the registry by the commit: every built service resolves at it, the unchanged ones too."""

from collections.abc import Sequence
from concurrent.futures import Future, wait

from msgspec import Struct

from tasks.adapters import later, shares
from tasks.core.errors import OnevmError
from tasks.core.images import commit_tag, key_tag
from tasks.core.release import Release
from tasks.steps import bake, run
from tasks.steps.images import Image
from tasks.steps.once import once

PARALLEL_TAGS = 16
ROUNDS = 5


class Naming(Struct, frozen=True, kw_only=True):
    """The images of a stack that are being named.

    Attributes:
        built: those that this run has built; afterwards they have the digests that count.
        fresh: those that were there.
    """

    built: Future[list[None]]
    fresh: Future[list[None]]


@once
def begin(stack: str) -> Naming:
    """Begin to give the pushed images of a stack their commit's tags; done once per run."""
    images = published(stack)
    built = later.begun(lambda: _tag_all([image for image in images if image.state == "built"]))

    def fresh() -> list[None]:
        # A deploy goes on as soon as the built ones have theirs.
        wait([built])
        return _tag_all([image for image in images if image.state != "built"])

    return Naming(built=built, fresh=later.begun(fresh))


def _tag_all(images: Sequence[Image]) -> list[None]:
    return shares.ask(lambda i: _tag(i, tags_of(i)), images, threads=PARALLEL_TAGS)


def settle(stack: str, release: Release | None = None) -> None:
    """Return when the images of a stack have the digests that count.

    Args:
        stack: its name.
        release: the current release; what has got its names with that is not asked for.

    Raises:
        OnevmError: an image is missing, or the registry could not be told.
    """
    if not _is_named(stack, release):
        begin(stack).built.result()


def publish(stack: str, release: Release | None = None) -> None:
    """Return when the pushed images of a stack have their commit's tags, and the digests that count; see `settle`."""
    if not _is_named(stack, release):
        settle(stack)
        begin(stack).fresh.result()


def _is_named(stack: str, release: Release | None) -> bool:
    """Whether the images of a stack got their names when a release was made of all of them, at the same commit."""
    if release is None or release.kind != "deploy" or release.dirty or release.scope:
        return False
    return all(
        image.state == "fresh"
        and tags_of(image) == (commit_tag(release.sha), "latest")
        and (known := release.services.get(image.keyed.definition.service)) is not None
        and known.image == image.pin
        for image in published(stack)
    )


def published(stack: str) -> list[Image]:
    """Return the images of a stack that are in the registry now."""
    images = bake.batch().images.values()
    return [i for i in images if i.pushed and i.keyed.definition.stack == stack and i.digest]


def tags_of(image: Image) -> tuple[str, ...]:
    """Return the tags that a pushed image gets at the checked-out commit. `latest` never moves to a dirty one.

    A refresh also moves the content's key, so that every later run comes to the refreshed image.
    """
    r = run.run()
    sha = r.sources(r.project.stacks[image.keyed.definition.stack]).commit.sha
    key = (key_tag(image.keyed.key),) if image.sought != image.keyed.key else ()
    if image.keyed.uncommitted:
        return (commit_tag(sha, dirty_key=image.keyed.key), *key)
    return (commit_tag(sha), "latest", *key)


def _tag(image: Image, tags: Sequence[str]) -> None:
    """Name an image, and stay with it until the names stand on the bytes that its content key stands for.

    A registry cannot set a tag only where there is none. So of two runs that build the same content, one may give the
    key to its bytes after the other has seen its own there. Each looks once more when all its names are written:
    whichever comes last, both end with what the key says.
    """
    for _ in range(ROUNDS):
        _name(image, tags)
        if image.state != "built":
            return
        stands = run.run().registry.head(image.path, key_tag(image.sought))
        if stands in (image.digest, None):
            return
        image.digest = str(stands)
    raise OnevmError(
        f"{image.name}: its content key was given to other bytes {ROUNDS} times while it was named",
        next_step="other runs build the same content: run the same command again when they are through",
    )


def _name(image: Image, tags: Sequence[str]) -> None:
    registry = run.run().registry
    missing = [tag for tag in tags if registry.glance(image.path, tag) != image.digest]
    if missing:
        manifest = image.manifest
        if manifest is None or manifest.digest != image.digest:
            manifest = registry.get_manifest(image.path, image.digest)
        for tag in missing:
            digest = registry.put_manifest(image.path, tag, manifest)
            if digest != image.digest:
                raise OnevmError(f"{image.repository}:{tag} got digest {digest} instead of {image.digest}")
