"""build=on-host: the emergency path when the registry or CI are away.

The same bake, differential as ever, on the engine that runs the stack; nothing is pushed. A release names such an image
by its content key, `<repository>:key-<key>`, since there is no registry to give a digest, and says that it was built on
the host. The next normal deploy pushes these keys, but leaves alone what runs under them.
"""

from collections.abc import Mapping

from tasks.adapters.engine import Engine
from tasks.core.model import Builder
from tasks.core.release import Release
from tasks.steps import run, selection, variables
from tasks.steps.bake import Batch, Oven, bake, refuse_uncommitted
from tasks.steps.images import Image, keyed_images, read

ON_HOST = "on-host"


def wanted() -> bool:
    """Whether images are to be built on the hosts."""
    return variables.text("build") == ON_HOST


def batch(r: run.Run, services: Mapping[str, frozenset[str]]) -> Batch:
    """Make the images that the hosts of some stacks lack: one bake for each host.

    Args:
        r: the run's resources.
        services: by stack, the built services that are wanted.

    Raises:
        OnevmError: nothing could be found out or built at all. A service that failed alone is in its `Image`.
    """
    r.reach_early(r.project.stacks[name] for name in services)
    refuse_uncommitted(r, selection.current())
    r.alone("doit deploy build=on-host")
    result = Batch()
    with result.timings.phase("key"):
        names = frozenset(f"{stack}.{service}" for stack, found in services.items() for service in found)
        result.images = keyed_images(r, names, frozenset())
        read(r, list(result.images.values()))
    hosts: dict[str, list[Image]] = {}
    with result.timings.phase("lookup"):
        for stack in services:
            own = [image for image in result.images.values() if image.keyed.definition.stack == stack]
            engine = r.host(r.project.stacks[stack]).engine
            look_up(own, r.folder(r.project.stacks[stack]).current().release, engine)
            hosts.setdefault(r.project.stacks[stack].host, []).extend(own)
    for host, images in hosts.items():
        stale = [image for image in images if image.state != "fresh"]
        if stale:
            with r.screen.live(), result.timings.phase("bake"):
                bake(r, result, stale, _oven(r, host, stale[0]))
    return result


def look_up(images: list[Image], release: Release | None, engine: Engine) -> None:
    """Find out which images of a stack its host has: what runs there, and what was built there before."""
    released = release.services if release else {}
    have = engine.keyed_images()
    present = engine.present(service.image for service in released.values())
    for image in images:
        known = released.get(image.keyed.definition.service)
        if known and known.content_key == image.keyed.key and known.image in present:
            image.state, image.kept = "fresh", known.image
        elif image.keyed_name in have:
            image.state = "fresh"


def _oven(r: run.Run, host: str, image: Image) -> Oven:
    engine = r.host(r.project.stacks[image.keyed.definition.stack]).engine
    # The builder of services.toml is elsewhere, and its cache may be in the registry.
    builder = Builder(name="default", cache="none")
    return Oven(engine=engine, host=host, builder=builder, env={"DOCKER_HOST": engine.socket} if engine.socket else {})
