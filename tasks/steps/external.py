"""External images, pinned by digest: the pin stays while the Compose file names the same reference."""

from collections.abc import Callable

from tasks.adapters.engine import Engine
from tasks.core.errors import OnevmError
from tasks.core.reference import Reference
from tasks.core.release import Release, ReleasedService


def pin(
    source: str,
    name: str,
    previous: Release | None,
    *,
    ask: Callable[[str], str | None],
    engine: Engine,
    warn: Callable[[str], None],
    refresh: bool = False,
) -> ReleasedService:
    """Return the released service of an external image.

    Args:
        source: the reference in the Compose file.
        name: `<stack>.<service>`, for messages.
        previous: the current release; its pin is kept if it came from the same reference.
        ask: asks the reference's registry for its digest; None if the registry does not have it.
        engine: the local engine, for images that no registry has.
        warn: called with a warning if the image cannot be pinned.
        refresh: whether a pin is to follow its reference to where that is now.

    Raises:
        OnevmError: neither a registry nor the engine has the image.
    """
    service = name.rpartition(".")[2]
    known = previous.services.get(service) if previous else None
    known = known if known and known.external and known.source == source else None
    if known and not refresh:
        return known
    reference = Reference.parse(source)
    if reference.digest:
        return ReleasedService(image=source, external=True, source=source)
    reason = "its registry does not have it"
    try:
        digest = ask(source)
    except OnevmError as error:
        if refresh and known:
            raise
        digest, reason = None, str(error)
    if digest:
        return ReleasedService(image=reference.with_digest(digest).familiar, external=True, source=source)
    if known:
        warn(f"{name}: {reason}: {source} stays as it is")
        return known
    known_as = engine.digests_of(source)
    here = [d for d in known_as if Reference.parse(d).name == reference.name]
    if here:
        return ReleasedService(image=here[0], external=True, source=source)
    if engine.present([source]):
        warn(f"{name}: no registry has {source}, only this engine: it is not pinned, a rollback cannot restore it")
        return ReleasedService(image=source, external=True, source=source)
    raise OnevmError(f"{name}: its image {source} is nowhere to be had", detail=reason, next_step="mend `image:`")
