"""How much the layers of an image weigh on the line: what its registry's manifest says."""

from tasks.adapters.registry import here
from tasks.core.reference import HUB, Reference
from tasks.steps.images import Image
from tasks.steps.measuring import short
from tasks.steps.run import Run


def sizes(r: Run, reference: str) -> dict[str, int] | None:
    """Return the compressed bytes of an image's layers by digest, the lowest first; None if that is not to be asked.

    Raises:
        OnevmError: its registry cannot be asked.
    """
    if Reference.parse(reference).registry == HUB:
        # It counts every manifest that is fetched against a limit.
        return None
    return {layer.digest: layer.size for layer in r.layers_of(reference, here())}


def pushed_bytes(r: Run, image: Image, moved: frozenset[str] | None) -> int | None:
    """Return the compressed bytes of the layers that went to the registry for an image; None if that is not known.

    Args:
        r: the run's resources.
        image: an image that was built.
        moved: its layers that went there, as the builder calls them: as they are when unpacked.
    """
    if not image.pushed:
        return 0
    if moved is None or not image.digest:
        return None
    packed = sizes(r, f"{image.repository}@{image.digest}") or {}
    unpacked = r.engine.unpacked_layers(image.keyed_name)
    if len(packed) != len(unpacked):
        return None
    return sum(size for size, digest in zip(packed.values(), unpacked, strict=True) if short(digest) in moved)
