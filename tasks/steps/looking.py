"""What only images can tell (`doit check images=1`): those of the local engine are looked into, none is started."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from tasks.adapters import container_process, image_files, yaml_tree
from tasks.adapters.container_process import Process
from tasks.core.errors import OnevmError
from tasks.core.images import key_tag, repository
from tasks.core.lint import images, listening, tree
from tasks.core.lint.inventory import Image, Inventory, Layer
from tasks.core.lint.rule import Fault
from tasks.core.lint.subject import Service
from tasks.core.model import Stack
from tasks.core.observed import Container
from tasks.core.release import Release
from tasks.steps.linting import Linted
from tasks.steps.run import Run

_DEEPEST = 3


class ImageSize(Struct, frozen=True, kw_only=True):
    """How large a service's image is, in bytes; `before` is that of the previous release's, 0 if nobody knows.

    `missing` says why there is no image to look at.
    """

    stack: str
    service: str
    image: str = ""
    size: int = 0
    before: int = 0
    layers: tuple[Layer, ...] = ()
    missing: str = ""


class Looked(Struct, frozen=True, kw_only=True):
    """What a service's image showed; `judged` are the rules that it answers better than the Dockerfile."""

    size: ImageSize
    faults: tuple[Fault, ...] = ()
    judged: frozenset[str] = frozenset()
    has_health_check: bool = False


def look(r: Run, stack: Stack, linted: Linted) -> Iterator[Looked]:
    """Yield what the images of a stack's running services show.

    Raises:
        OnevmError: the engine or the host does not answer.
    """
    releases, _ = r.folder(stack).releases()
    current = r.folder(stack).current().release
    good = [release for release in (current, *releases) if release and release.outcome == "good"]
    containers = [c for c in r.host(stack).engine.containers(stack.name) if not c.one_off and c.state == "running"]
    for service in linted.subject.services():
        container = next((c for c in containers if c.service == service.name), None)
        process = _process(r, stack, container) if container else None
        image = _image(r, stack, service, current)
        if image is None:
            how = f"doit build:{stack.name}.{service.name}" if service.service.build else "docker pull"
            size = ImageSize(stack=stack.name, service=service.name, missing=f"not on this machine; `{how}` brings it")
            yield Looked(size=size, faults=tuple(_listening(service, container, process)))
            continue
        before = _before(r, stack, service.name, image, good)
        locks = {**_locks(service), **image.inventory.texts}
        found = [
            *images.faults(service, image, locks, _yaml, user=process.user if process else None),
            *images.growth(service, image, before),
            *_listening(service, container, process),
        ]
        yield Looked(
            size=ImageSize(
                stack=stack.name,
                service=service.name,
                image=image.reference,
                size=image.size,
                before=before,
                layers=image.layers,
            ),
            faults=tuple(found),
            judged=_judged(service, locks),
            has_health_check=image.has_health_check,
        )


def _judged(service: Service, texts: Iterable[str]) -> frozenset[str]:
    if service.service.build is None:
        return frozenset()
    locked = any(Inventory.is_lock(path) for path in texts)
    return frozenset({"package-cache", "build-tools", *(["dev-dependencies"] if locked else [])})


def _process(r: Run, stack: Stack, container: Container) -> Process | None:
    host = r.host(stack)
    entry = next(iter(host.engine.inspect([container.id])), None)
    return container_process.look(host.transport, int(entry["State"].get("Pid") or 0)) if entry else None


def _image(r: Run, stack: Stack, service: Service, current: Release | None) -> Image | None:
    """Return the image that a deploy would run, as far as the local engine has it."""
    names = []
    released = current.services.get(service.name) if current else None
    if service.service.build is None:
        names += [str(service.spec.get("image") or "")]
        names += [released.image] if released else []
    else:
        key = r.sources(stack).glanced(service.name).key
        names.append(f"{repository(r.project.configuration.registry, stack.name, service.name)}:{key_tag(key)}")
        names += [released.image] if released and released.content_key == key else []
    found = (image_files.look(r.engine, name) for name in names if name)
    return next((image for image in found if image), None)


def _before(r: Run, stack: Stack, name: str, image: Image, released: Sequence[Release]) -> int:
    """Return the size of the last released image of a service that is another one than this; 0 if nobody has it."""
    mine = (r.engine.image(image.reference) or {}).get("Id")
    for service in (release.services[name] for release in released if name in release.services):
        said = r.host(stack).engine.image(service.image)
        if said and said.get("Id") != mine:
            return int(said.get("Size") or 0)
    return 0


def _locks(service: Service) -> dict[str, str]:
    """Return the lock files of a service's build context, by path."""
    build = service.service.build
    if build is None or build.is_remote:
        return {}
    found: dict[str, str] = {}
    folders = [(Path(build.context), 0)]
    while folders:
        folder, depth = folders.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for path in entries:
            if path.is_dir() and not path.is_symlink() and depth < _DEEPEST and path.name not in _NOT_OURS:
                folders.append((path, depth + 1))
            elif Inventory.wants(str(path)) and path.is_file():
                found[str(path)] = path.read_text(errors="replace")
    return found


_NOT_OURS = frozenset({"node_modules", ".git", ".venv", "venv", "__pycache__", "dist", "target", ".next"})


def _yaml(text: str, file: str) -> tree.Node | None:
    try:
        documents = yaml_tree.parse(text, file)
    except OnevmError:
        return None
    return documents[-1].root if documents else None


def _listening(service: Service, container: Container | None, process: Process | None) -> Iterator[Fault]:
    """Yield why a container's health check gets no answer, if it gets none."""
    if container is None or process is None or container.health not in {"unhealthy", "starting"}:
        return
    # One that has just been started may listen soon.
    if process.listening or container.health == "unhealthy":
        yield from listening.faults(service, process.listening)
