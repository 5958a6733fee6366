"""What the registry stores of a service: every digest with its tags, and when it was made."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from tasks.adapters.git import Checkout
from tasks.adapters.registry import NotThere, RegistryClient
from tasks.adapters.retry import CouldNotAsk
from tasks.core.durations import moment
from tasks.core.errors import OnevmError
from tasks.core.images import CREATED_LABEL
from tasks.core.manifest import Manifest
from tasks.core.prune import Stored, commit_of

PARALLEL = 16


def tags(registry: RegistryClient, repository: str, names: Iterable[str]) -> dict[str, str]:
    """Return the digest by tag; tags that are gone meanwhile are left out.

    Raises:
        OnevmError: the registry could not be asked about one of them.
    """
    wanted = list(names)
    with ThreadPoolExecutor(PARALLEL) as pool:
        digests = pool.map(lambda tag: registry.head(repository, tag), wanted)
        return {tag: digest for tag, digest in zip(wanted, digests, strict=True) if digest}


def stored(registry: RegistryClient, repository: str) -> tuple[Stored, ...]:
    """Return every manifest of a repository that has a tag.

    Raises:
        OnevmError: the registry could not be asked.
    """
    by_digest: dict[str, list[str]] = {}
    for tag, digest in tags(registry, repository, registry.tags(repository)).items():
        by_digest.setdefault(digest, []).append(tag)
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = pool.map(lambda item: one(registry, repository, *item), sorted(by_digest.items()))
        return tuple(found)


def one(registry: RegistryClient, repository: str, digest: str, names: Sequence[str]) -> Stored:
    """Return one manifest with its parts.

    Raises:
        OnevmError: the registry does not have it any more, or could not be asked.
    """
    blobs: dict[str, int] = {}
    parts: dict[str, None] = {}
    queue = [registry.get_manifest(repository, digest)]
    while queue:
        manifest: Manifest = queue.pop()
        blobs |= manifest.blobs
        for part in manifest.children:
            if part not in parts:
                parts[part] = None
                try:
                    queue.append(registry.get_manifest(repository, part))
                except NotThere:
                    # Somebody pushed, or kept, only some of an index's platforms.
                    continue
    return Stored(digest=digest, tags=tuple(sorted(names)), parts=tuple(parts), blobs=blobs)


def made(
    registry: RegistryClient, repository: str, things: Sequence[Stored], checkout: Checkout
) -> dict[str, float | None]:
    """Return when manifests were made, by digest, in seconds since 1970; None where nothing tells.

    What counts is the newest of: when the image says that it was made, and the dates of the commits that name it, as
    far as they are in this clone. A registry itself does not tell.

    Raises:
        OnevmError: the registry could not be asked.
    """
    commits = sorted({commit for thing in things for tag in thing.tags if (commit := commit_of(tag))})
    dates = checkout.times(commits)
    with ThreadPoolExecutor(PARALLEL) as pool:
        said = pool.map(lambda thing: _said(registry, repository, thing.digest), things)
        return {thing.digest: _newest(thing, dates, own) for thing, own in zip(things, said, strict=True)}


def _newest(thing: Stored, dates: Mapping[str, float], own: Iterable[float | None]) -> float | None:
    known = [dates[commit] for tag in thing.tags if (commit := commit_of(tag)) in dates]
    return max((when for when in (*own, *known) if when is not None), default=None)


def _said(registry: RegistryClient, repository: str, digest: str) -> tuple[float | None, float | None]:
    try:
        config = registry.image_config(repository, digest)
    except CouldNotAsk:
        raise
    except (OnevmError, ValueError):
        # No image, or none that can be read: whether it goes, its commits' dates decide.
        return None, None
    labels = (config.get("config") or {}).get("Labels") or {}
    return moment(str(config.get("created") or "")), moment(str(labels.get(CREATED_LABEL) or ""))
