"""What became of each target of a bake, and the name that is a promise.

What a bake leaves is named `building-…` first. Only when its inputs are seen not to have changed meanwhile does it
get the tag `key-…`.
"""

from collections.abc import Mapping

from tasks.adapters import later
from tasks.adapters.buildx import Baked, failure
from tasks.adapters.engine import Engine
from tasks.core.errors import OnevmError
from tasks.core.images import CONTENT_KEY_LABEL, building_tag, key_tag, same_image
from tasks.steps import run
from tasks.steps.images import Image


def culprits(baked: Baked, images: Mapping[str, Image], names: Mapping[tuple[str, str], str]) -> frozenset[str]:
    """Return the targets that a bake failed for: not those that start from one of them."""
    if baked.ok:
        return frozenset()
    found = {target for target in baked.solve.culprits() if target in images}
    found = found or _misspelt(baked, images) or set(images)
    definitions = {target: images[target].keyed.definition for target in found}
    bases = {target: {names.get((d.stack, base)) for base in d.bases} for target, d in definitions.items()}
    return frozenset(target for target in found if not bases[target] & found)


def _misspelt(baked: Baked, images: Mapping[str, Image]) -> set[str]:
    """Return the targets whose Dockerfile BuildKit made nothing of; of several, those with the line it points at."""
    unread = {target for target in baked.solve.unread() if target in images}
    quoted = set(baked.solve.quoted())
    return {t for t in unread if quoted & set(_dockerfile(images[t]).splitlines())} or unread


def _dockerfile(image: Image) -> str:
    definition = image.keyed.definition
    if definition.dockerfile_inline is not None or definition.dockerfile is None:
        return definition.dockerfile_inline or ""
    try:
        return definition.dockerfile.read_text(errors="replace")
    except OSError:
        return ""


def settle(r: run.Run, image: Image, target: str, *, engine: Engine, baked: Baked, blamed: frozenset[str]) -> None:
    """Say what became of one target, and give it the name that is a promise.

    Args:
        r: the run's resources.
        image: the image that the target was to make.
        target: its name in the bake.
        engine: the engine that has it, if no registry gets it.
        baked: what the bake left.
        blamed: the targets that it failed for.
    """
    building = building_tag(image.sought, r.id)
    digest = baked.digests.get(target, "")
    if not baked.ok:
        # BuildKit may have named nobody: who has its image has not failed.
        digest = "" if target in baked.solve.culprits() else _finished_all_the_same(r, engine, image, building)
        if not digest:
            if target in blamed:
                image.state, image.error = "failed", failure(image.name, target, baked.solve)
            return
    stack = r.project.stacks[image.keyed.definition.stack]
    changed = r.sources(stack).changed_meanwhile(image.keyed)
    if changed:
        image.state = "failed"
        image.error = OnevmError(
            f"{image.name}: inputs changed during the build: {', '.join(changed[:5])}",
            next_step="run the same command again, without editing meanwhile; nothing was recorded",
        )
        return
    # Its name here and its name in the registry say the same, and neither waits for the other.
    named = later.begun(lambda: _name_locally(engine, image, building))
    if image.pushed:
        image.digest = publish_key(r, image, digest)
    if not named.result() and not image.pushed:
        image.state = "failed"
        image.error = OnevmError(
            f"{image.name}: the builder made its image, and keeps it to itself",
            next_step="`doit push` puts it into the registry; for this machine's engine, name a builder of its own",
        )
        return
    image.state = "built"


def _finished_all_the_same(r: run.Run, engine: Engine, image: Image, building: str) -> str:
    """After a failed bake: ask whoever should have the image. Returns its digest, or a mark for the engine's."""
    if image.pushed:
        digest = r.registry.head(image.path, building)
        if digest and r.registry.labels(image.path, digest).get(CONTENT_KEY_LABEL) == image.keyed.key:
            return digest
        return ""
    return "local" if engine.present([f"{image.repository}:{building}"]) else ""


def publish_key(r: run.Run, image: Image, digest: str) -> str:
    """Give pushed bytes their key's tag, unless another run was first: then its bytes are the ones that count."""
    tag = key_tag(image.sought)
    digest = _as_before(r, image, digest)
    # Got before the question, so that as little as may be lies between its answer and what follows from it.
    image.manifest = manifest = r.registry.get_manifest(image.path, digest)
    if first := r.registry.head(image.path, tag):
        return first
    # Whether another run was quicker after all is seen when the image has got its other names (`tagging`).
    return r.registry.put_manifest(image.path, tag, manifest)


def _as_before(r: run.Run, image: Image, digest: str) -> str:
    """Return the digest that the content had before a refresh, if that made the same image once more."""
    if image.sought == image.keyed.key:
        return digest
    before = r.registry.head(image.path, key_tag(image.keyed.key))
    if not before or before == digest:
        return digest
    configs = [r.registry.image_config(image.path, each) for each in (before, digest)]
    return before if same_image(*configs) else digest


def _name_locally(engine: Engine, image: Image, building: str) -> bool:
    """Name what an engine has of a bake by its key; returns whether it has it."""
    name = f"{image.repository}:{building}"
    there = bool(engine.present([name]))
    if there:
        for key in {image.keyed_name, image.sought_name}:
            engine.tag(name, key)
        engine.untag([name])
    return there
