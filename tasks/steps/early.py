"""What a host does for a deploy before its turn has come; nothing of it changes what runs there.

Compose there reads the files while images are built, and images are pulled as soon as they are pushed, while the lock
is waited for. Whoever needs one of these waits for it. If it failed he does it himself: so it is told where it belongs.
"""

import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tasks.adapters import host_compose, later
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.steps.candidate import read_files

if TYPE_CHECKING:
    from tasks.steps.images import Image
    from tasks.steps.run import Run

_PULLS = threading.BoundedSemaphore(4)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """An image that was pulled: the layers that were fetched for it, and the seconds it took."""

    layers: frozenset[str]
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Coming:
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


def resolve(r: "Run", stacks: Collection[Stack]) -> None:
    """Begin to ask the hosts of stacks what Compose makes of the checked-out files."""
    for stack in stacks:
        if stack.name not in r.resolving:
            r.resolving[stack.name] = later.begun(partial(_resolved, r, stack))


def _resolved(r: "Run", stack: Stack) -> host_compose.Resolved:
    contents, _ = read_files(stack)
    try:
        return host_compose.resolve(r.folder(stack), contents, stack.compose)
    except OnevmError:
        # If there is no Docker, that says more.
        _ = r.host(stack).engine
        raise


def pull(r: "Run", stack: Stack, images: "Sequence[Image]") -> None:
    """Begin to pull images of a stack that were just built and pushed."""
    from tasks.steps import room

    pins = [image.pin for image in images if image.state == "built" and image.digest]
    if not pins:
        return
    project = r.project.compose[stack.name]
    if any(project.lean_on([image.keyed.definition.service]) for image in images if image.state == "built"):
        later.begun(lambda: host_compose.ask_version(r.folder(stack).transport))
    checked = later.begun(partial(room.check, r, stack, pins))
    r.coming[stack.name] = {
        pin: Coming(room=checked, pulled=later.begun(partial(_pulled, r, stack, pin, checked))) for pin in pins
    }


def _pulled(r: "Run", stack: Stack, image: str, checked: Future[None]) -> Pulled:
    checked.result()
    with _PULLS:
        began = time.monotonic()
        layers = r.host(stack).engine.pull(image, r.login)
        return Pulled(layers=layers, seconds=time.monotonic() - began)
