"""Images from elsewhere that services are built on, at the digests that their registries have now.

Only in runs with `refresh=1`: otherwise such an image counts by its name, and nobody asks.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tasks.adapters.registry import LoginRefusedByRegistry
from tasks.core.build import BuildDefinition
from tasks.core.errors import OnevmError
from tasks.core.reference import Reference, ReferenceInvalid
from tasks.steps import run, variables
from tasks.steps.once import once

if TYPE_CHECKING:
    from tasks.steps.images import Image

PARALLEL_QUESTIONS = 8


def wanted() -> bool:
    """Whether this run refreshes."""
    return variables.flag("refresh")


def of(r: run.Run, definition: BuildDefinition) -> dict[str, str]:
    """Return the digests of the images that a build starts from, by image; empty unless this run refreshes.

    Those of the services that it starts from are among them. What is pinned already, and what no registry has, is not.

    Raises:
        OnevmError: a registry could not be asked.
    """
    if not wanted():
        return {}
    images = sorted(set(_all(r, definition)))
    with ThreadPoolExecutor(PARALLEL_QUESTIONS) as pool:
        return {image: digest for image, digest in zip(images, pool.map(now, images), strict=True) if digest}


def _all(r: run.Run, definition: BuildDefinition) -> Iterator[str]:
    yield from (image for _, image in definition.starts_from)
    for base in definition.bases:
        build = r.project.compose[definition.stack].services[base].build
        yield from _all(r, build) if build else ()


@once
def now(image: str) -> str:
    """Return the digest that an image's registry has under its name now; empty if that can be none.

    Raises:
        OnevmError: the registry could not be asked.
    """
    r = run.run()
    try:
        reference = Reference.parse(image)
    except ReferenceInvalid:
        r.screen.warn(f"FROM {image} is no image's name here: BuildKit alone knows what it means, it stays as it is")
        return ""
    if reference.digest:
        return ""
    try:
        digest = r.digest_of(image)
    except LoginRefusedByRegistry:
        # Docker Hub does not tell what is not there from what is private.
        if not r.engine.present([image]):
            raise
        digest = None
    if not digest:
        r.screen.warn(f"FROM {image}: its registry does not have it, it stays as it is")
    return digest or ""


def pins(definition: BuildDefinition, digests: Mapping[str, str]) -> dict[str, str]:
    """Return what a bake takes in the place of the images that a Dockerfile names, by the name of a named context."""
    found = {}
    for name, image in definition.starts_from:
        if image in digests:
            reference = Reference.parse(image)
            # As BuildKit looks for it (client/llb: familiar, and without `latest`).
            context = reference.familiar.removesuffix(":latest") if name == image else name
            found[context] = f"docker-image://{reference.with_digest(digests[image]).familiar}"
    return found


def renew(r: run.Run, images: "Iterable[Image]") -> None:
    """Let this engine's own names follow, where it has some: the next build without a refresh would go by them."""
    images = list(images)
    for image in images:
        if image.state == "fresh" and not image.pushed and image.sought != image.keyed.key:
            r.engine.tag(image.sought_name, image.keyed_name)
    for name, digest in sorted({item for image in images for item in image.bases.items()}):
        if not r.engine.present([name]) or any(known.endswith(digest) for known in r.engine.digests_of(name)):
            continue
        try:
            r.engine.pull(name, r.login)
        except OnevmError as error:
            r.screen.warn(f"{name}: this engine still has another image under that name: {error.what}")
