"""What a deploy took and cost, as its release and the log of events keep it. docs/report.md has every field."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from msgspec import Struct, field

PHASES = (
    "load", "key", "lookup", "refresh", "bake", "push", "reach", "lock", "look", "stage", "pull", "hook", "start",
    "healthy", "drain", "stop", "verify", "record", "back", "prune",
)  # fmt: skip


class Sample(NamedTuple):
    """A host at one moment, in bytes: its memory, what of it is available, and what its disk has free."""

    memory: int
    available: int
    disk_free: int


class Resources(Struct, frozen=True, kw_only=True):
    """A host while a stack was deployed, from the lock to the record, in bytes.

    Attributes:
        memory: how much it has.
        memory_before: how much of it was taken at the beginning: what could not be had without swapping.
        memory_peak: the most that was taken.
        disk_free_before: what the file system of the host's `root` had free at the beginning.
        disk_free_lowest: the least it had free.
    """

    memory: int
    memory_before: int
    memory_peak: int
    disk_free_before: int
    disk_free_lowest: int

    @property
    def memory_rise(self) -> int:
        """By how much the peak was above the beginning."""
        return self.memory_peak - self.memory_before


class Measured(Struct, frozen=True, kw_only=True):
    """What a deploy took and cost.

    Attributes:
        took: seconds from the start of the command to the record, building included.
        services: seconds by service and phase, of those that were built, pulled or replaced.
        built: the services whose images were built for it.
        changed: how containers were changed, by service: `create`, `start`, `recreate`, `start-first`, `remove`.
        pushed_bytes: compressed layers that went to the registry; None if that is not known.
        pulled_bytes: compressed layers that came to the host; None if that is not known.
        sizes: bytes of each service's image on the host, as `docker image ls` says.
        resources: the host's memory and disk; None if it does not say.
    """

    took: float = 0.0
    services: dict[str, dict[str, float]] = field(default_factory=dict)
    built: tuple[str, ...] = ()
    changed: dict[str, str] = field(default_factory=dict)
    pushed_bytes: int | None = None
    pulled_bytes: int | None = None
    sizes: dict[str, int] = field(default_factory=dict)
    resources: Resources | None = None


def resources(samples: list[Sample]) -> Resources | None:
    """Return what samples of a host, the first one of its beginning, say together; None if there are none."""
    if not samples:
        return None
    return Resources(
        memory=samples[0].memory,
        memory_before=samples[0].memory - samples[0].available,
        memory_peak=max(sample.memory - sample.available for sample in samples),
        disk_free_before=samples[0].disk_free,
        disk_free_lowest=min(sample.disk_free for sample in samples),
    )


def from_mapping(raw: Mapping[str, Any]) -> Measured:
    """Return what a JSON object says; what a newer Onevm has added is left out.

    Raises:
        TypeError: it is none of these.
    """
    known = {key: value for key, value in raw.items() if key in Measured.__struct_fields__}
    known["built"] = tuple(known.get("built") or ())
    if known.get("resources"):
        names = set(Resources.__struct_fields__)
        known["resources"] = Resources(**{k: v for k, v in known["resources"].items() if k in names})
    return Measured(**known)
