"""Naming images in the registry by the commit: every built service resolves at it, the unchanged ones too."""

from concurrent.futures import Future, wait

from msgspec import Struct

from tasks.adapters import later
from tasks.core.images import commit_tag
from tasks.core.release import Release
from tasks.steps import bake, run
from tasks.steps.images import Image
from tasks.steps.once import once
from tasks.steps.tagging import tag_all, tags_of


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
    built = later.begun(lambda: tag_all([image for image in images if image.state == "built"]))
    begun = run.run().naming.get(stack)

    def fresh() -> list[None]:
        # A deploy goes on as soon as the built ones have theirs.
        wait([built])
        return begun.result() if begun else tag_all([image for image in images if image.state != "built"])

    return Naming(built=built, fresh=later.begun(fresh))


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
