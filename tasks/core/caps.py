"""Which containers may take all memory of their host, and the cap that what they take suggests."""

from collections.abc import Iterable

from msgspec import Struct

MEGABYTE = 1024 * 1024
STEP = 32  # MB: what is proposed is a multiple of it
HEADROOM = 1.5
AT_MOST = 4  # times what it takes now: a peak counts the files that the kernel kept for it, which it can do without


class Usage(Struct, frozen=True, kw_only=True):
    """What one container takes.

    Attributes:
        name: `<project>.<service>`, or the container's name.
        now: bytes, without the files that the kernel keeps for it.
        peak: the most since it was made, with these; 0 if it is not known.
        cap: the bytes it may take; 0 for all.
    """

    name: str
    now: int
    peak: int
    cap: int


class Proposal(Struct, frozen=True, kw_only=True):
    """A service without a cap: what its containers take, and the cap for each, in megabytes."""

    name: str
    containers: int
    now: int
    peak: int
    cap: int


def proposals(found: Iterable[Usage]) -> tuple[Proposal, ...]:
    """Return the services of which a container has no cap, largest first."""
    by_name: dict[str, list[Usage]] = {}
    for usage in found:
        if not usage.cap:
            by_name.setdefault(usage.name, []).append(usage)
    proposed = [
        Proposal(
            name=name,
            containers=len(usages),
            now=_megabytes(max(usage.now for usage in usages)),
            peak=_megabytes(max(usage.peak for usage in usages)),
            cap=max(_cap(usage) for usage in usages),
        )
        for name, usages in by_name.items()
    ]
    return tuple(sorted(proposed, key=lambda one: (-one.cap, one.name)))


def _cap(usage: Usage) -> int:
    wanted = max(usage.now * HEADROOM, min(usage.peak * HEADROOM, usage.now * AT_MOST))
    return STEP * max(-(-int(wanted) // (STEP * MEGABYTE)), 1)


def _megabytes(size: int) -> int:
    return round(size / MEGABYTE)
