"""What every host of services.toml runs and has on record, of every stack: nobody may delete what is named there.

A stack can be on any host (`host=`), and a release can name another stack's image. So all of them are asked about all
stacks, and what one of them does not tell is a doubt, never an absence.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from msgspec import Struct, field

from tasks.adapters import records
from tasks.adapters.records import Records
from tasks.adapters.release_folder import ReleaseFolder
from tasks.core import retention
from tasks.core.errors import OnevmError
from tasks.core.hosts import LOCAL
from tasks.core.model import Stack
from tasks.core.prune import LocalImage, known_by, repository_of
from tasks.core.release import Release
from tasks.core.values import replace
from tasks.steps.run import Run


class Holding(Struct, frozen=True, kw_only=True):
    """What one host holds.

    Attributes:
        address: where it is; two hosts with different roots can be one machine.
        records: what it has on record, by stack.
        keep: how many good releases of a stack it keeps.
        used: by container, the id of its image and the name by which that was asked for; of whatever project.
        images: its images from services.toml's registry.
        unrecorded: stacks of which it has containers made by Onevm, and no record.
        error: why it could not be asked, if it could not.
    """

    address: str = ""
    records: Mapping[str, Records] = field(default_factory=dict)
    keep: int = 1
    used: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    images: tuple[LocalImage, ...] = ()
    unrecorded: frozenset[str] = frozenset()
    error: OnevmError | None = None

    def dropped(self, stack: str) -> tuple[Release, ...]:
        """Return the recorded releases of a stack that need not be kept."""
        known = self.records.get(stack, Records())
        if known.current is None:
            return ()
        found = retention.superfluous(known.releases, known.current.id, self.keep)
        return tuple(r for r in found if r.id != known.switching)

    def kept(self, stack: str) -> tuple[Release, ...]:
        """Return the recorded releases of a stack that are kept, newest first."""
        gone = {r.id for r in self.dropped(stack)}
        return tuple(r for r in self.records.get(stack, Records()).releases if r.id not in gone)


class Holdings(Struct, frozen=True, kw_only=True):
    """What all hosts hold, by the host's name."""

    hosts: Mapping[str, Holding]

    def having(self, stack: str) -> tuple[str, ...]:
        """Return the hosts that have a stack on record."""
        return tuple(name for name, h in self.hosts.items() if h.records.get(stack, Records()).there)

    def needed(
        self, pruned: str, *, cleaned: Collection[str] | None = None, on: Collection[str] | None = None
    ) -> dict[str, str]:
        """Return why images are needed, by what they are known by: a digest, or `repository:tag` in full.

        Args:
            pruned: the stack whose superfluous releases do not count,
            cleaned: on these hosts, which drop them; None for all.
            on: the hosts that count; None for all.
        """
        found: dict[str, str] = {}
        for name in self.hosts if on is None else on:
            holding = self.hosts[name]
            names = {image.id: image.names for image in holding.images}
            for image, asked in holding.used.values():
                for reference in (asked, *names.get(image, ())):
                    found.setdefault(reference, f"runs on {name}")
            for stack, record in holding.records.items():
                dropping = stack == pruned and (cleaned is None or name in cleaned)
                for release in holding.kept(stack) if dropping else record.releases:
                    for service in release.services.values():
                        found.setdefault(service.image, f"release {release.id} of {stack} on {name}")
        return {known: cause for reference, cause in found.items() if (known := known_by(reference))}

    def repositories(self, stack: str) -> frozenset[str]:
        """Return the repositories of built images that releases of a stack name, with the registry's host."""
        return frozenset(
            repository_of(service.image)
            for holding in self.hosts.values()
            for release in holding.records.get(stack, Records()).releases
            for service in release.services.values()
            if not service.external
        )

    def doubts(self, stack: str, repositories: frozenset[str], users: frozenset[str]) -> tuple[str, ...]:
        """Return why nothing of a stack may be deleted, a sentence each; empty if all is clear.

        Args:
            stack: the stack.
            repositories: its repositories.
            users: other stacks whose checkout names its images.
        """
        found = []
        for name, holding in self.hosts.items():
            if holding.error:
                found.append(f"host {name} could not be asked, and it may have the stack: {holding.error.what}")
            same = [h for h in self.hosts.values() if h.address == holding.address]
            if stack in holding.unrecorded and not any(h.records.get(stack, Records()).there for h in same):
                found.append(f"host {name} runs containers of it and has no record of it (is its `root` mounted?)")
            for other, record in holding.records.items():
                concerned = other == stack or other in users or self._uses(other, repositories)
                found += record.doubts if concerned else ()
        if not found and not any(h.records.get(stack, Records()).current for h in self.hosts.values()):
            found.append("no host has a release of it that runs, so nobody knows what it needs")
        return tuple(found)

    def _uses(self, stack: str, repositories: frozenset[str]) -> bool:
        return any(
            repository_of(service.image) in repositories
            for holding in self.hosts.values()
            for release in holding.records.get(stack, Records()).releases
            for service in release.services.values()
        )


def hold(r: Run) -> Holdings:
    """Return what all hosts hold; one that cannot be asked says why in its place."""
    hosts = r.project.configuration.hosts
    named = {stack.host for stack in r.project.stacks.values()}
    written = {key[1] for key in r.project.configuration.source.lines if key[0] == "hosts" and len(key) > 1}
    with ThreadPoolExecutor(max(1, len(hosts))) as pool:
        asked = {
            name: pool.submit(_ask, r, name, sure=name != LOCAL or name in named | written) for name in sorted(hosts)
        }
        found = {name: answer.result() for name, answer in asked.items()}
    return Holdings(hosts={name: holding for name, holding in found.items() if holding is not None})


def _ask(r: Run, name: str, *, sure: bool) -> Holding | None:
    """Ask one host; this machine, if nobody named it, counts only if it has a record."""
    url = repository_of(f"{r.project.configuration.registry.url}/x").removesuffix("x")
    host = r.project.configuration.hosts[name]
    try:
        some = there(next(iter(r.project.stacks.values())), name)
        transport, root = r.host(some).transport, PurePosixPath(host.root)
        # Others may deploy to this host, too, and their releases may name our images.
        stacks = {*r.project.stacks, *records.stacks(transport, root)}
        known = {stack: _read(ReleaseFolder(transport, root, stack)) for stack in sorted(stacks)}
        if not sure and not any(record.there for record in known.values()):
            return None
        engine = r.host(some).engine
        return Holding(
            address=host.address,
            records=known,
            keep=host.keep_releases,
            used=engine.used(),
            images=engine.images(lambda image: repository_of(image).startswith(url)),
            unrecorded=frozenset(
                stack
                for stack in r.project.stacks
                if not known[stack].there and any(c.config_hash for c in engine.containers(stack))
            ),
        )
    except OnevmError as error:
        return Holding(error=error)


def _read(folder: ReleaseFolder) -> Records:
    try:
        return records.read(folder)
    except OnevmError as error:
        return Records(there=True, doubts=(error.what,))


def there(stack: Stack, host: str) -> Stack:
    """Return a stack as if it were on a host."""
    return replace(stack, host=host)
