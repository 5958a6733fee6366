"""What nobody needs of a stack, in the registry and on its hosts, and its end.

all hosts: what runs, what is on record -> doubts? -> registry: digests -> judged -> deleted
                                             |         hosts: releases, images -> judged -> deleted
                                             +- one is enough: nothing of the stack is touched
"""

import time
from collections.abc import Mapping
from contextlib import ExitStack

from msgspec import Struct, field

from tasks.adapters.registry import DeletionForbidden, RegistryClient
from tasks.core.compose import ComposeProject
from tasks.core.errors import OnevmError
from tasks.core.images import repository
from tasks.core.model import Stack
from tasks.core.prune import Judged, JudgedImage, is_ours, judge, judge_images, repository_of, subject_of, tag_of
from tasks.core.reference import Reference
from tasks.core.release import Release
from tasks.steps import run, stored, variables
from tasks.steps.deployment import performer
from tasks.steps.holdings import Holdings, hold, there

GRACE_SECONDS = 3600.0
DISK_SECONDS = 30
MOST_NAMES = 100
# registry:2 takes 10 s for a digest with 3,000 tags: it looks at every tag, and removes them one by one.
DELETE_SECONDS = 300


class Repository(Struct, frozen=True, kw_only=True):
    """One repository of a stack: its name in full, the tags it had, and what becomes of its digests."""

    name: str
    tags: frozenset[str]
    judged: tuple[Judged, ...]

    @property
    def path(self) -> str:
        """Its name without the registry's host."""
        return Reference.parse(self.name).repository


class OnHost(Struct, frozen=True, kw_only=True):
    """What a host has of a stack: releases that go and that stay, and what becomes of its images."""

    host: str
    going: tuple[Release, ...]
    staying: tuple[Release, ...]
    images: tuple[JudgedImage, ...]


class Room(Struct, frozen=True, kw_only=True):
    """The disk of a host: bytes that all its images take, and that are free; None if that is not told."""

    images: int | None = None
    free: int | None = None


class Pruned(Struct, kw_only=True):
    """What a prune of one stack found, and what it did.

    Attributes:
        stack: its name.
        doubts: why nothing of it is pruned; empty if it can be.
        repositories: its repositories.
        hosts: the hosts that have it.
        states: what was done, by place (repository or host) and thing: `deleted`, `gone` before us, `named` by
            somebody meanwhile, or `refused`. What is not in it was not tried.
        before: the disk of each host.
        after: likewise, when all was done.
        error: why it ended early.
    """

    stack: str
    doubts: tuple[str, ...] = ()
    repositories: tuple[Repository, ...] = ()
    hosts: tuple[OnHost, ...] = ()
    states: dict[tuple[str, str], str] = field(default_factory=dict)
    before: dict[str, Room] = field(default_factory=dict)
    after: dict[str, Room] = field(default_factory=dict)
    error: OnevmError | None = None


class Prune:
    """One prune of any number of stacks.

    Args:
        r: the run's resources.
        branches: whether images of the heads of branches stay.
        grace: seconds; what is younger stays.
    """

    def __init__(self, r: run.Run, *, branches: bool, grace: float) -> None:
        self.r = r
        self.branches = branches
        self.grace = grace
        self.forbidden: OnevmError | None = None

    def find(self, name: str) -> Pruned:
        """Return what a prune of a stack would do; changes nothing."""
        found = Pruned(stack=name)
        try:
            self._find(found, hold(self.r))
        except OnevmError as error:
            found.error = error
        return found

    def apply(self, name: str) -> Pruned:
        """Prune a stack, under its lock on each host that has it; what stopped it is in the result."""
        found = Pruned(stack=name)
        stack = self.r.project.stacks[name]
        holder = {"performer": performer(), "since": run.now(), "doing": f"prune of {name}"}
        wait = variables.seconds("lock_wait", run.LOCK_SECONDS)
        try:
            with ExitStack() as locks:
                # Always in the same order, so that two prunes never wait for each other.
                for host in hold(self.r).having(name):
                    place = there(stack, host)
                    lock = self.r.host(place).lock(
                        self.r.folder(place), holder, wait_seconds=wait, waiting=self.r.screen.say
                    )
                    locks.enter_context(lock)
                self._find(found, hold(self.r))
                if not found.doubts:
                    self._act(stack, found)
        except OnevmError as error:
            found.error = error
        return found

    def _find(self, found: Pruned, held: Holdings) -> None:
        project = self.r.project
        registry = project.configuration.registry
        built = project.compose[found.stack].built()
        own = {repository_of(f"{repository(registry, found.stack, service)}:x") for service in built}
        # A release may be older than the registry's address in services.toml.
        names = frozenset(own) | {n for n in held.repositories(found.stack) if self._is_here(n)}
        named = {stack: _named(compose, names) for stack, compose in project.compose.items()}
        users = frozenset(stack for stack, images in named.items() if images and stack != found.stack)
        found.doubts = held.doubts(found.stack, names, users)
        if found.doubts:
            return
        only = variables.text("host")
        cleaned = [host for host in held.having(found.stack) if not only or host == only]
        needed = held.needed(found.stack, cleaned=cleaned)
        for stack, images in named.items():
            for image in images:
                if digest := self._resolved(image):
                    needed.setdefault(digest, f"the checkout of {stack} names it")
        heads = self.r.sources(project.stacks[found.stack]).checkout.heads() if self.branches else {}
        found.repositories = tuple(self._repository(found.stack, name, needed, heads) for name in sorted(names))
        found.hosts = tuple(self._on_host(found.stack, host, held, cleaned, names) for host in cleaned)
        found.before = {on.host: self._room(found.stack, on.host) for on in found.hosts}

    def _is_here(self, name: str) -> bool:
        return Reference.parse(name).registry == self.r.registry.host

    def _resolved(self, image: str) -> str:
        reference = Reference.parse(image)
        return reference.digest or self.r.registry.head(reference.repository, reference.manifest) or ""

    def _repository(self, stack: str, name: str, needed: Mapping[str, str], heads: Mapping[str, str]) -> Repository:
        path = Reference.parse(name).repository
        things = stored.stored(self.r.registry, path)
        tags = {tag_of(one): cause for one, cause in needed.items() if repository_of(one) == name}
        now = time.time()
        first = judge(things, needed, heads, named=tags, made={}, now=now, grace=self.grace)
        going = {one.digest for one in first if one.verdict == "delete"}
        checkout = self.r.sources(self.r.project.stacks[stack]).checkout
        doubtful = [thing for thing in things if thing.digest in going] if self.grace else []
        made = stored.made(self.r.registry, path, doubtful, checkout)
        judged = judge(things, needed, heads, named=tags, made=made, now=now, grace=self.grace)
        return Repository(name=name, tags=frozenset(tag for thing in things for tag in thing.tags), judged=judged)

    def _on_host(self, stack: str, host: str, held: Holdings, cleaned: list[str], names: frozenset[str]) -> OnHost:
        holding = held.hosts[host]
        used = {image: container for container, (image, _) in holding.used.items()}
        needed = held.needed(
            stack, cleaned=cleaned, on=[h for h in held.hosts if held.hosts[h].address == holding.address]
        )
        images = judge_images(holding.images, names, needed, used, now=time.time(), grace=self.grace)
        return OnHost(host=host, going=holding.dropped(stack), staying=holding.kept(stack), images=images)

    def _room(self, stack: str, host: str) -> Room:
        place = there(self.r.project.stacks[stack], host)
        engine, transport = self.r.host(place).engine, self.r.host(place).transport
        free = None
        if root := engine.root():
            done = transport.run(["df", "-Pk", root], timeout=DISK_SECONDS, check=False)
            fields = done.stdout.splitlines()[-1].split() if done.returncode == 0 else []
            free = int(fields[3]) * 1024 if len(fields) > 3 else None  # noqa: PLR2004 - size, used, free of POSIX df
        return Room(images=engine.images_bytes(), free=free)

    def _act(self, stack: Stack, found: Pruned) -> None:
        # Records first: one that is left never names what is gone.
        for on in found.hosts:
            self.r.folder(there(stack, on.host)).drop([release.id for release in on.going])
            found.states |= {(on.host, release.id): "deleted" for release in on.going}
        with RegistryClient.of(self.r.project.configuration.registry, read=DELETE_SECONDS) as patient:
            for one in found.repositories:
                self._delete(patient, one, found.states)
        for on in found.hosts:
            self._remove(stack, on, found.states)
            found.after[on.host] = self._room(found.stack, on.host)

    def _delete(self, patient: RegistryClient, one: Repository, states: dict[tuple[str, str], str]) -> None:
        going = [judged for judged in one.judged if judged.verdict == "delete"]
        if not going:
            return
        named = set() if self.forbidden else self._named_meanwhile(one)
        for judged in going:
            place = (one.name, judged.digest)
            if self.forbidden:
                states[place] = "refused"
            elif judged.digest in named:
                states[place] = "named"
            else:
                states[place] = self._deleted(patient, one.path, judged, named)

    def _named_meanwhile(self, one: Repository) -> set[str]:
        """Return the digests that got a name since we looked, or that such a digest lists."""
        now = self.r.registry.tags(one.path)
        movable = [tag for tag in now if tag not in one.tags or not (is_ours(tag) or subject_of(tag))]
        again = stored.tags(self.r.registry, one.path, movable)
        known = {judged.digest for judged in one.judged if judged.verdict == "keep"}
        new = set(again.values()) - known
        things = [stored.one(self.r.registry, one.path, digest, ()) for digest in sorted(new)]
        return new | {part for thing in things for part in thing.parts}

    def _deleted(self, patient: RegistryClient, path: str, judged: Judged, named: set[str]) -> str:
        try:
            # The index first: a name must never lead to something that is only half there.
            there_ = patient.delete(path, judged.digest)
            for part in judged.parts:
                if part not in named:
                    patient.delete(path, part)
        except DeletionForbidden as error:
            self.forbidden = error
            return "refused"
        return "deleted" if there_ else "gone"

    def _remove(self, stack: Stack, on: OnHost, states: dict[tuple[str, str], str]) -> None:
        going = [image for image in on.images if image.verdict == "delete"]
        engine = self.r.host(there(stack, on.host)).engine
        names = [name for image in going for name in image.names]
        for start in range(0, len(names), MOST_NAMES):
            engine.untag(names[start : start + MOST_NAMES])
        wanted = frozenset(names)
        left = {name for image in engine.images(lambda name: name in wanted) for name in image.names}
        for image in going:
            states[on.host, image.id] = "refused" if left & set(image.names) else "deleted"


def _named(project: ComposeProject, repositories: frozenset[str]) -> tuple[str, ...]:
    """Return the images in some repositories that a checkout names: in its Compose files, and to start from."""
    found = [service.image for service in project.services.values() if service.image and service.build is None]
    for service in project.built().values():
        found += [image for _, image in service.build.starts_from] if service.build else []
    return tuple(image for image in found if repository_of(image) in repositories)
