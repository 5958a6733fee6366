"""An image's names in the registry: at the commit, as `latest`, and, in a refresh, by its content's key."""

from collections.abc import Collection, Sequence
from functools import partial

from tasks.adapters import later, shares
from tasks.core.errors import OnevmError
from tasks.core.images import commit_tag, key_tag
from tasks.steps import run
from tasks.steps.images import Image

PARALLEL_TAGS = 16
# Images are built meanwhile, which takes processors and the registry.
PARALLEL_TAGS_BESIDE = 4
ROUNDS = 5


def begin(r: run.Run, images: Collection[Image]) -> None:
    """Begin to name the images that are there, of stacks of which others are to be built now.

    They are named whatever becomes of those: that this commit's image of a service is this one does not depend on it.

    Args:
        r: the run's resources.
        images: all images that are wanted; those that are not pushed have no names.
    """
    stacks = {image.keyed.definition.stack for image in images if image.pushed and image.state != "fresh"}
    for stack in stacks:
        there = [i for i in images if i.keyed.definition.stack == stack and i.state == "fresh" and i.digest]
        if there:
            r.naming[stack] = later.begun(partial(tag_all, there, threads=PARALLEL_TAGS_BESIDE))


def tag_all(images: Sequence[Image], *, threads: int = PARALLEL_TAGS) -> list[None]:
    """Give images their commit's tags.

    Raises:
        OnevmError: an image is missing, or the registry could not be told.
    """
    return shares.ask(lambda i: _tag(i, tags_of(i)), images, threads=threads)


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
    # What was built just now has no names yet, or takes them from something else.
    built = image.state == "built"
    missing = [tag for tag in tags if built or registry.glance(image.path, tag) != image.digest]
    if missing:
        manifest = image.manifest
        if manifest is None or manifest.digest != image.digest:
            manifest = registry.get_manifest(image.path, image.digest)
        for tag in missing:
            digest = registry.put_manifest(image.path, tag, manifest)
            if digest != image.digest:
                raise OnevmError(f"{image.repository}:{tag} got digest {digest} instead of {image.digest}")
