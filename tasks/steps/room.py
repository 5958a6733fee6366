"""Whether a host's disk has room for the images that it lacks; asked before the first is pulled."""

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct

from tasks.adapters import later
from tasks.adapters.registry import platform_of
from tasks.adapters.transport import Transport
from tasks.core.errors import OnevmError
from tasks.core.manifest import Layer, Platform
from tasks.core.model import Stack
from tasks.core.reference import Reference

if TYPE_CHECKING:
    from tasks.adapters.engine import Engine
    from tasks.steps.run import Run

READ_SECONDS = 10
MEGABYTE = 1_000_000
PARALLEL_LOOKUPS = 8
MOST_KNOWN = 100  # images of the host whose layers are looked up
# What a compressed layer takes unpacked, beside itself: an engine keeps both until it is done, containerd's for good.
UNPACKED = 2.5
CONTAINERD = "/var/lib/containerd"
# With less free on its disk a host can start nothing.
FULL_BYTES = MEGABYTE
# What was free while images were built is what is free when they are pulled, unless that took longer.
FRESH_SECONDS = 20.0


class Place(Struct, frozen=True, kw_only=True):
    """Where a host's engine keeps its images.

    Attributes:
        path: the folder.
        free: the bytes that are free there; None if that cannot be seen.
        platform: what the engine runs.
        seen: when that was so, by the monotonic clock.
    """

    path: str
    free: int | None
    platform: Platform
    seen: float


def look(r: "Run", stack: Stack) -> None:
    """Begin to look how much is free on a stack's host, where images will be pulled soon."""
    r.places[stack.host] = later.begun(lambda: _place(r, stack))


def _place(r: "Run", stack: Stack) -> Place:
    seen, host = time.monotonic(), r.host(stack)
    host.transport.expect(1)
    info = host.engine.info()
    path, free = _free(host.transport, info)
    return Place(path=path, free=free, platform=platform_of(str(info.get("Architecture", ""))), seen=seen)


def _seen(r: "Run", stack: Stack) -> Place:
    begun = r.places.get(stack.host)
    if begun and (found := begun.result()).seen > time.monotonic() - FRESH_SECONDS:
        return found
    return _place(r, stack)


def check(r: "Run", stack: Stack, images: Iterable[str]) -> None:
    """Make sure that a host has room for images.

    Where a registry or the host does not say how large something is, this says nothing either: the pull will.

    Args:
        r: the run's resources.
        stack: the stack.
        images: `repository@digest` of those that the host lacks.

    Raises:
        OnevmError: it has not; with the figures.
    """
    lacking = sorted(set(images))
    if not lacking:
        return
    with ThreadPoolExecutor(PARALLEL_LOOKUPS) as pool:
        seen = pool.submit(_seen, r, stack)
        found = list(pool.map(lambda image: _layers(r, image, Platform()), lacking))
        place = seen.result()
        wanted = {layer.digest: layer for layers in found for layer in layers}
        if place.free is None or _need(wanted.values()) <= place.free:
            return
        # Only now, for it takes more questions: without the layers that the host has, and for its own platform.
        found = list(pool.map(lambda image: _layers(r, image, place.platform), lacking))
        wanted = {layer.digest: layer for layers in found for layer in layers}
        engine = r.host(stack).engine
        known = islice(engine.digests_in({Reference.parse(image).name for image in lacking}), MOST_KNOWN)
        for layers in pool.map(lambda image: _layers(r, image, place.platform), known):
            for layer in layers:
                wanted.pop(layer.digest, None)
    need = _need(wanted.values())
    if need > place.free:
        size = sum(layer.size for layer in wanted.values())
        raise OnevmError(
            f"stack {stack.name}: host {stack.host} has no room for its new images: {_megabytes(size)} to pull,"
            f" about {_megabytes(need)} with what they unpack to,"
            f" and {_megabytes(place.free)} are free at {place.path}",
            detail="\n".join(
                f"{_megabytes(sum(x.size for x in layers if x.digest in wanted))} of {image}"
                for image, layers in zip(lacking, found, strict=True)
            ),
            next_step="nothing was touched; make room there: /usr/local/lib/onevm/prune (of `doit vm`)",
        )


def is_full(transport: Transport, engine: "Engine", folder: PurePosixPath) -> bool:
    """Whether a host is seen to have no room, where its engine keeps things or in another folder.

    A program that writes to a full disk often cannot say any more what is wrong.
    """
    with suppress(OnevmError):
        free = _free(transport, engine.info(), str(folder))[1]
        return free is not None and free < FULL_BYTES
    return False


def _layers(r: "Run", image: str, platform: Platform) -> Sequence[Layer]:
    try:
        return r.layers_of(image, platform)
    except OnevmError:
        return ()


def _need(layers: Iterable[Layer]) -> int:
    return int(sum(layer.size * (1 + (UNPACKED if layer.compressed else 1)) for layer in layers))


def _free(transport: Transport, info: Mapping[str, object], *more: str) -> tuple[str, int | None]:
    """Return where the engine keeps its images, and the bytes that are free there; None if that cannot be seen.

    Of `more` folders and that, the one with the least counts.
    """
    root = str(info.get("DockerRootDir") or "")
    places = [*more, root] if root else [*more]
    if "io.containerd.snapshotter.v1" in str(info.get("DriverStatus")):
        places.append(CONTAINERD)
    said = transport.run(["df", "-P", "-k", "--", *places], timeout=READ_SECONDS, check=False).stdout if places else ""
    rows = [line.split() for line in said.splitlines()[1:]]
    free = [int(row[3]) * 1024 for row in rows if len(row) > 4 and row[3].isdigit()]  # noqa: PLR2004 - see df(1), -P
    return root, min(free, default=None)


def _megabytes(size: int) -> str:
    return f"{-(-size // MEGABYTE)} MB"
