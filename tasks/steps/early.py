"""What a host does for a deploy before its turn has come; nothing of it changes what runs there.

Compose there reads the files while images are built, and images are pulled as soon as they are pushed, while the lock
is waited for. Whoever needs one of these waits for it. If it failed he does it himself: so it is told where it belongs.
"""

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from tasks.adapters import host_compose, later
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.steps import remembered, room
from tasks.steps.candidate import read_files
from tasks.steps.remembered import Remembered
from tasks.steps.target import Observing

if TYPE_CHECKING:
    from tasks.steps.run import Run

_PULLS = threading.BoundedSemaphore(4)


class Pulled(Struct, frozen=True, kw_only=True):
    """An image that was pulled: the layers that were fetched for it, and the seconds it took."""

    layers: frozenset[str]
    seconds: float


class Coming(Struct, frozen=True, kw_only=True):
    """An image on its way to a host: whether the host has room for it, and then the image."""

    room: Future[None]
    pulled: Future[Pulled]

    def has_room(self) -> bool:
        """Whether the host was seen to have room for it."""
        return _succeeded(self.room)

    def get(self) -> Pulled | None:
        """Wait for it; None if it did not come."""
        return self.pulled.result() if _succeeded(self.pulled) else None


def _succeeded(begun: Future[None] | Future[Pulled]) -> bool:
    try:
        begun.result()
    except OnevmError:
        return False
    return True


def begin(r: "Run", scopes: Mapping[str, frozenset[str] | None]) -> None:
    """Begin to ask the hosts of stacks what Compose makes of the checked-out files, where that is not remembered.

    Args:
        r: the run's resources.
        scopes: the stacks, and the services of each that were named; None for all.
    """
    hosts: dict[str, list[Stack]] = {}
    for stack in map(r.project.stacks.__getitem__, scopes):
        hosts.setdefault(stack.host, []).append(stack)
    for stacks in hosts.values():
        known = later.begun(partial(_known, r, stacks, scopes))
        asking = later.begun(partial(_asked, r, stacks[0], known))
        for stack in stacks:
            r.remembered[stack.name] = asking
            r.resolving[stack.name] = later.begun(partial(_unless_remembered, r, stack, known, asking))


def resolve(r: "Run", stacks: Iterable[Stack]) -> None:
    """Begin to ask the hosts of stacks what Compose makes of the checked-out files, whatever is remembered."""
    for stack in stacks:
        begun = r.resolving.get(stack.name)
        if begun is None or stack.name in r.remembered:
            r.resolving[stack.name] = later.begun(partial(_anyway, r, stack, begun))


def prepare(r: "Run", stacks: Sequence[Stack]) -> None:
    """Begin what stacks that get new images will need, while these are built."""
    resolve(r, stacks)
    for stack in stacks:
        later.begun(partial(_expect_lock, r, stack))
    for stack in {stack.host: stack for stack in stacks}.values():
        room.look(r, stack)


def _expect_lock(r: "Run", stack: Stack) -> None:
    r.host(stack).transport.expect_lock()


def _known(r: "Run", stacks: Sequence[Stack], scopes: Mapping[str, frozenset[str] | None]) -> dict[str, Remembered]:
    """Return what is remembered of the plans of a host's stacks, without those whose checkout cannot be read."""
    found = {}
    for stack in stacks:
        # Whoever needs it says what is wrong; the other stacks have nothing to do with that.
        with suppress(OnevmError):
            found[stack.name] = remembered.of(
                r.plans,
                stack,
                r.project.configuration.hosts[stack.host],
                sha=r.sources(stack).commit.sha,
                only=scopes[stack.name],
                contents=read_files(stack)[0],
            )
    return found


def _asked(r: "Run", one: Stack, known: Future[dict[str, Remembered]]) -> dict[str, Remembered]:
    """Return the same once their host, that of `one` of them, has said whether it still holds."""
    plans = known.result()
    return remembered.asked(r.host(one).transport, plans) if any(plan.read for plan in plans.values()) else plans


def _unless_remembered(
    r: "Run", stack: Stack, known: Future[dict[str, Remembered]], asking: Future[dict[str, Remembered]]
) -> host_compose.Resolved | None:
    plan = known.result().get(stack.name)
    if plan and plan.read and asking.result()[stack.name].inputs:
        return None
    return _resolved(r, stack, stamped=True)


def _anyway(r: "Run", stack: Stack, begun: Future[host_compose.Resolved | None] | None) -> host_compose.Resolved | None:
    return (begun.result() if begun else None) or _resolved(r, stack)


def _resolved(r: "Run", stack: Stack, *, stamped: bool = False) -> host_compose.Resolved:
    contents, _ = read_files(stack)
    try:
        return host_compose.resolve(r.folder(stack), contents, stack.compose, stamped=stamped)
    except OnevmError:
        # If there is no Docker, that says more.
        _ = r.host(stack).engine
        raise


def observe(r: "Run", stack: Stack, images: Iterable[str]) -> Observing:
    """Begin to take the snapshot of a stack; whoever changes it does so under its lock.

    Args:
        r: the run's resources.
        stack: the stack.
        images: the images that it will be asked about.
    """
    engine, asked = r.host(stack).engine, frozenset(images)
    seen = Observing(images=asked, found=later.begun(lambda: engine.observe(stack.name, asked)))
    r.observing[stack.name] = seen
    return seen


def pull(r: "Run", stacks: Iterable[Stack], pins: Mapping[str, str]) -> None:
    """Begin to pull images of stacks that were just built and pushed.

    Args:
        r: the run's resources.
        stacks: those that are deployed.
        pins: the images by `<stack>.<service>`.
    """
    for stack in stacks:
        own = {s: pin for name, pin in pins.items() for at, _, s in [name.partition(".")] if at == stack.name}
        if not own:
            continue
        project = r.project.compose[stack.name]
        if any(project.lean_on([service]) for service in own):
            later.begun(partial(host_compose.ask_version, r.folder(stack).transport))
        checked = later.begun(partial(room.check, r, stack, tuple(own.values())))
        r.coming[stack.name] = {
            pin: Coming(room=checked, pulled=later.begun(partial(_pulled, r, stack, pin, checked)))
            for pin in own.values()
        }


def _pulled(r: "Run", stack: Stack, image: str, checked: Future[None]) -> Pulled:
    checked.result()
    with _PULLS:
        began = time.monotonic()
        layers = r.host(stack).engine.pull(image, r.login)
        return Pulled(layers=layers, seconds=time.monotonic() - began)
