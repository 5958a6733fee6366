"""Which releases a host keeps."""

from collections.abc import Sequence

from tasks.core.release import Release


def superfluous(releases: Sequence[Release], current: str, keep: int) -> tuple[Release, ...]:
    """Return the releases that need not be kept.

    Kept are the newest `keep` good ones that differ in content, the current one and the one before it, and every
    release newer than the oldest of these, so that failures can be looked at for as long.

    Args:
        releases: all recorded ones.
        current: id of the current one.
        keep: how many good ones to keep, at least 1.
    """
    newest = sorted(releases, key=lambda r: r.id, reverse=True)
    distinct: list[Release] = []
    for release in newest:
        if release.outcome == "good" and not any(release.same_bytes(other) for other in distinct):
            distinct.append(release)
    if len(distinct) <= keep:
        return ()
    previous = next((r.previous for r in newest if r.id == current), None)
    needed = {release.id for release in distinct[:keep]} | {current, previous}
    oldest = min(r.id for r in newest if r.id in needed)
    return tuple(r for r in newest if r.id < oldest)


def unused_images(dropped: Sequence[Release], kept: Sequence[Release]) -> frozenset[str]:
    """Return the images that only dropped releases name."""
    needed = {service.image for release in kept for service in release.services.values()}
    return (
        frozenset(service.image for release in dropped for service in release.services.values() if not service.external)
        - needed
    )
