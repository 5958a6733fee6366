"""What a refresh would change: images from elsewhere that are not what they were under their name."""

from collections.abc import Mapping

from msgspec import Struct

from tasks.core.prune import digest_of
from tasks.core.release import Release, ReleasedService
from tasks.steps.images import Image


class Source(Struct, frozen=True, kw_only=True):
    """An image from elsewhere that a service runs, or is built on.

    Attributes:
        service: the service.
        image: the reference in the Compose file or the Dockerfile.
        use: `image` or `FROM`.
        was: the digest that the current release has of it; empty if that is not on record.
        now: the digest that its registry has under that name now.
    """

    service: str
    image: str
    use: str
    was: str
    now: str

    @property
    def state(self) -> str:
        """`unchanged`, `moved`, or `unknown` if nobody knows what it was."""
        return "unknown" if not self.was else "unchanged" if self.was == self.now else "moved"


def sources(
    images: Mapping[str, Image], services: Mapping[str, ReleasedService], current: Release | None
) -> tuple[Source, ...]:
    """Return what services run and are built on, as it was and as it is.

    Args:
        images: the images of built services by service, with the digests of their bases as they are.
        services: the candidate's services, with external images as they are.
        current: the release that runs.
    """
    known = current.services if current else {}
    found = [
        Source(
            service=name,
            image=base,
            use="FROM",
            was=known[name].starts_from.get(base, "") if name in known else "",
            now=digest,
        )
        for name, image in images.items()
        for base, digest in image.bases.items()
    ]
    found += [
        Source(
            service=name,
            image=service.source,
            use="image",
            was=digest_of(known[name].image) if name in known and known[name].source == service.source else "",
            now=digest_of(service.image),
        )
        for name, service in services.items()
        if service.external
    ]
    return tuple(sorted(found, key=lambda s: (s.service, s.use, s.image)))


def reasons(found: tuple[Source, ...]) -> dict[str, str]:
    """Return why a refresh replaces services, by service, for those that it may replace."""
    texts: dict[str, list[str]] = {}
    for source in found:
        if source.state == "moved":
            texts.setdefault(source.service, []).append(f"{source.use} {source.image} moved")
        elif source.state == "unknown" and source.use == "FROM":
            texts.setdefault(source.service, []).append(f"not known to be built on {source.image} as it is now")
    return {service: "; ".join(parts) for service, parts in texts.items()}
