"""start-first: a new copy beside the old one, healthy, asked instead of it; then the old one goes.

    up beside -> healthy -> switch -> drain -> stop the old one -> remove it
        |                               |
        +- fails: the old one was asked all the time  (drain: it is asked again)

Killed at any moment, one set of copies is asked and runs. The next deploy finds the copies that are as they shall be,
makes what is missing, and removes the others: it needs to know nothing of what the killed one had in mind.
"""

import time
from collections.abc import Callable
from pathlib import PurePosixPath

from msgspec import Struct, field

from tasks.adapters import host_compose
from tasks.adapters.engine import Engine
from tasks.adapters.release_folder import ReleaseFolder
from tasks.core import rollout
from tasks.core.compose import ComposeService
from tasks.core.errors import OnevmError
from tasks.core.observed import Container, Observed
from tasks.steps import wait
from tasks.steps.output import Screen
from tasks.steps.timings import Timings

UP_SECONDS = 120.0
# The phases of a change-over besides `start`.
PARTS = ("healthy", "drain", "stop")
LOOK_SECONDS = 0.25


class Shift(Struct, frozen=True, kw_only=True):
    """One service that changes over.

    Attributes:
        service: the service.
        config_hash: what the new copies carry.
        switched: whether a proxy reads its name from a file.
        drain_seconds: how long the old copies go on with the requests they have.
        flags: of an `up` that shall look at nothing else.
    """

    service: ComposeService
    config_hash: str
    switched: bool
    drain_seconds: float
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def alias(self) -> str:
        """The name that only the new copies have."""
        return rollout.alias(self.name, self.config_hash)

    def is_new(self, c: Container) -> bool:
        """Whether a container is a new copy."""
        return c.service == self.name and c.config_hash == self.config_hash and not c.one_off


class Ground(Struct, frozen=True, kw_only=True):
    """Where it happens: the engine and the folder of a stack's host, the release, its Compose files, the events.

    `waits` is told when containers are waited for.
    """

    engine: Engine
    folder: ReleaseFolder
    release: PurePosixPath
    compose: tuple[str, ...]
    events: wait.Watch
    screen: Screen
    timings: Timings = field(default_factory=Timings)
    waits: Callable[[], None] = lambda: None

    def copies(self, service: str) -> list[Container]:
        """Return a service's containers."""
        return list(Observed(containers=self.engine.containers(self.folder.stack, {service})).of(service))


def change_over(on: Ground, shift: Shift) -> None:
    """Bring the new copies up beside the old ones, let them be asked, and take the old ones away.

    Raises:
        OnevmError: a new copy failed; the old ones are asked as before, and everything else is left as it is.
    """
    copies = on.copies(shift.name)
    dead = [c.id for c in copies if not shift.is_new(c) and c.state != "running"]
    on.engine.remove(dead, grace_seconds=0)
    old = [c for c in copies if not shift.is_new(c) and c.id not in dead]
    if shift.switched:
        _hold(on, shift, old)
    there = len(copies) - len(dead)
    missing = shift.service.replicas - (there - len(old))
    # One after the other: the memory for the next is taken when the last one is known to live.
    for number in range(there + 1, there + missing + 1):
        on.screen.begin(f"{on.folder.stack}.{shift.name}", "starting beside the old one")
        flags = [*shift.flags, "--no-recreate", "--scale", f"{shift.name}={number}"]
        with on.timings.phase("start", shift.name):
            host_compose.up(on.folder, on.release, on.compose, [shift.name], flags=flags, timeout=UP_SECONDS)
        _healthy(on, shift)
    if missing <= 0:
        _healthy(on, shift)
    before = on.folder.point({shift.name: shift.alias}) if shift.switched else {}
    try:
        with on.timings.phase("drain", shift.name):
            _drain(on, shift, old)
    except OnevmError:
        on.folder.point(before)
        raise
    for c in old:
        on.screen.begin(f"{on.folder.stack}.{shift.name}", "stopping the old one")
        with on.timings.phase("stop", shift.name):
            on.engine.remove([c.id])
    on.screen.end(f"{on.folder.stack}.{shift.name}", "replaced")


def _hold(on: Ground, shift: Shift, old: list[Container]) -> None:
    """See that nobody but the old copies is asked while the new ones start."""
    asked = on.folder.point({shift.name: ""}).get(shift.name, "")
    names = {name: c for c in old for name in c.aliases if rollout.is_alias(shift.name, name)}
    if asked in names or asked == shift.alias or not names:
        return
    # Healthy ones first: another may be what a killed deploy left.
    best = min(names, key=lambda name: (names[name].condition != "healthy", names[name].created))
    on.folder.point({shift.name: best})


def _healthy(on: Ground, shift: Shift) -> None:
    on.waits()
    key = f"{on.folder.stack}.{shift.name}"

    def tell(_: str, condition: str) -> None:
        on.screen.note(key, f"beside the old one: {condition}")

    with on.timings.phase("healthy", shift.name):
        wait.until_healthy(
            on.engine,
            on.folder.stack,
            [shift.service],
            on.events,
            tell=tell,
            healthy=lambda _: None,
            counts=shift.is_new,
        )


def _drain(on: Ground, shift: Shift, old: list[Container]) -> None:
    """Let old copies finish what they have, and see that the new ones live.

    Raises:
        OnevmError: a new copy died meanwhile.
    """
    asked = any(c.condition in {"healthy", "running"} for c in old)
    until = time.monotonic() + (shift.drain_seconds if shift.switched and asked else 0)
    if asked and shift.switched:
        on.screen.begin(f"{on.folder.stack}.{shift.name}", "draining the old one")
    while True:
        new = [c for c in on.copies(shift.name) if shift.is_new(c)]
        for c in new:
            problem = wait.hopeless(shift.service, c) or ("" if c.state == "running" else f"is {c.condition}")
            if problem:
                raise wait.failure(on.engine, on.folder.stack, shift.name, c, f"{problem}, after it was healthy")
        if not new:
            raise OnevmError(f"{on.folder.stack}.{shift.name}: somebody removed its new container")
        if time.monotonic() >= until:
            return
        on.events.wait(on.events.count, min(LOOK_SECONDS, until - time.monotonic()))
