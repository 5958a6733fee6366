"""The images of built services: their keys, and which of them are there already."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from tasks.adapters import shares
from tasks.core.errors import OnevmError
from tasks.core.images import key_tag, repository
from tasks.core.keys import refreshed
from tasks.core.manifest import Manifest
from tasks.core.reference import Reference
from tasks.steps import bases, run
from tasks.steps.inputs import Keyed
from tasks.steps.once import once
from tasks.steps.timings import Timings

PARALLEL_LOOKUPS = 16
State = Literal["fresh", "built", "failed", "cancelled"]


class Image(Struct, kw_only=True):
    """A built service's image after the batch.

    Attributes:
        keyed: the service with its key.
        repository: its repository.
        pushed: whether the registry was to have it.
        state: `fresh` (it was there), `built`, `failed` or `cancelled`.
        digest: the registry's digest, empty if only the engine has it.
        manifest: what the registry has, if it was got from there.
        kept: the pin of the current release that is these bytes already, where none is to be had from a registry.
        error: why it failed.
        bases: digests of the images from elsewhere that it shall start from, by image; only in a refresh.
    """

    keyed: Keyed
    repository: str
    pushed: bool
    state: State = "cancelled"
    digest: str = ""
    manifest: Manifest | None = None
    kept: str = ""
    error: OnevmError | None = None
    bases: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`<stack>.<service>`."""
        return self.keyed.name

    @property
    def keyed_name(self) -> str:
        """The name that is a promise: `<repository>:key-<content key>`."""
        return f"{self.repository}:{key_tag(self.keyed.key)}"

    @property
    def sought(self) -> str:
        """The key by which it is looked for: the content key, in a refresh together with the digests of its bases."""
        return refreshed(self.keyed.key, self.bases)

    @property
    def sought_name(self) -> str:
        """Its name by that key."""
        return f"{self.repository}:{key_tag(self.sought)}"

    @property
    def path(self) -> str:
        """The repository without its registry's host."""
        return Reference.parse(self.repository).repository

    @property
    def is_there(self) -> bool:
        """Whether somebody has it."""
        return self.state in {"fresh", "built"}

    @property
    def pin(self) -> str:
        """What a release names it by: its digest, or, where no registry gave one, the name that is a promise."""
        return f"{self.repository}@{self.digest}" if self.digest else self.kept or self.keyed_name

    def revision(self, sha: str) -> str:
        """Return the commit that these bytes are made from; with uncommitted changes it says so."""
        return f"{sha}-dirty" if self.keyed.uncommitted else sha

    def demand(self) -> "Image":
        """Return itself if the image is there.

        Raises:
            OnevmError: it is not.
        """
        if self.error:
            raise self.error
        if self.state == "cancelled":
            raise OnevmError(f"{self.name}: not built: cancelled because another build failed")
        return self


def keyed_images(
    r: run.Run, names: frozenset[str], push: frozenset[str], timings: Timings | None = None
) -> dict[str, Image]:
    """Return the images of services with their content keys; nothing is known of them yet.

    What is to be built of them is to be read first, with `read`.
    """
    times = timings or Timings()
    images = {}
    by_stack: dict[str, list[str]] = {}
    for stack_name, _, service in (name.partition(".") for name in sorted(names)):
        by_stack.setdefault(stack_name, []).append(service)
    for stack_name, services in by_stack.items():
        r.sources(r.project.stacks[stack_name]).look_at(services)
    for name in sorted(names):
        stack_name, _, service = name.partition(".")
        stack = r.project.stacks[stack_name]
        with times.phase("key", name):
            keyed = r.sources(stack).glanced(service)
        where = repository(r.project.configuration.registry, stack_name, service)
        on = bases.of(r, keyed.definition)
        images[name] = Image(keyed=keyed, repository=where, pushed=name in push, bases=on)
    return images


def read(r: run.Run, images: Sequence[Image]) -> list[Image]:
    """Read the inputs of images that are to be built; returns those that changed since their key was looked at."""
    changed = []
    for image in images:
        definition = image.keyed.definition
        keyed = r.sources(r.project.stacks[definition.stack]).keyed(definition.service)
        if keyed.key != image.keyed.key:
            changed.append(image)
        image.keyed = keyed
    return changed


def look_up(r: run.Run, images: Sequence[Image], timings: Timings | None = None) -> None:
    """Find out which images are there already: in the registry, or, for `build` alone, on the engine.

    Raises:
        OnevmError: the registry or the engine could not be asked; that is never taken for "not there".
    """
    times = timings or Timings()

    def digest_of(image: Image) -> str | None:
        with times.phase("lookup", image.name):
            return r.registry.head(image.path, key_tag(image.sought))

    local = [image for image in images if not image.pushed]
    if local:
        have = r.engine.keyed_images()
        for image in local:
            if image.sought_name in have:
                image.state = "fresh"
    ask = [image for image in images if image.pushed]
    for image, digest in zip(ask, shares.ask(digest_of, ask, threads=PARALLEL_LOOKUPS), strict=True):
        if digest:
            image.state, image.digest = "fresh", digest


@once
def _engine_images() -> frozenset[str] | None:
    try:
        return run.run().engine.keyed_images()
    except OnevmError:
        return None


def engine_has(name: str) -> bool:
    """Whether the local engine has an image by its name; if no engine answers, the record is believed."""
    names = _engine_images()
    return names is None or name in names
