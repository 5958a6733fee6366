"""Rules on what makes a rollout longer, or one without a gap impossible; and on what makes every commit one."""

import re
from collections.abc import Iterator

from tasks.core.lint.rule import Fault, Place
from tasks.core.lint.stages import variables
from tasks.core.lint.subject import Service, Subject

_COMMIT = re.compile(
    r"(?:^|_)(?:COMMIT(?:_\w+)?|(?:GIT|VCS|BUILD|SOURCE)_(?:SHA1?|HASH|REF|REV|REVISION|DATE|TIME|TIMESTAMP|NUMBER|ID)"
    r"|SHA|REVISION)$",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$(?:\{(\w+)|(\w+))")
_MOVING = frozenset({"latest", "edge", "nightly", "main", "master", "dev", "canary"})
_PROXIES = re.compile(r"(?:^|/)(?:nginx|nginx-unprivileged|caddy|traefik|haproxy|envoy|httpd|openresty)(?::|@|$)")
_NONE_OF_AN_IMAGE = re.compile(r"^(?:scratch|[^/]*\$.*)$")


def replacing(subject: Subject) -> Iterator[Fault]:
    """Yield what stands in the way of a quick rollout without a gap."""
    for service in subject.services():
        yield from _once_only(service)
        yield from _external(service)
        yield from _container(service)
    for service in subject.built():
        yield from _build_args(service)
        yield from _bases(service)
        yield from _early(service)


def names_commit(name: str) -> bool:
    """Whether a variable's name says that its value changes with every commit."""
    return _COMMIT.search(name) is not None


def _once_only(service: Service) -> Iterator[Fault]:
    if not service.wants_start_first or not service.lives_on:
        return
    if (name := service.spec.get("container_name")) and not service.spec.get("network_mode"):
        mend = "# remove the line; docker compose takes the service's name"
        yield service.fault(
            "container-name", service.at("container_name"), f"only one container can be called {name}", mend
        )
    ports = [p for p in service.spec.get("ports") or () if p.get("published")]
    # An external service that publishes a port is the proxy itself, or a database; neither is deployed daily.
    if ports and service.service.build is not None and not _is_proxy(service):
        mend = f'expose: ["{ports[0]["target"]}"]   # the proxy asks it in the stack\'s network'
        what = f"it is published on port {ports[0]['published']} of the host"
        yield service.fault("host-port", service.at("ports"), what, mend)


def _is_proxy(service: Service) -> bool:
    """Whether a built service is what answers on the host's web ports: something has to."""
    runtime = service.dockerfile.runtime() if service.dockerfile else []
    published = {str(port.get("published")) for port in service.spec.get("ports") or ()}
    return bool(runtime) and _PROXIES.search(runtime[0].base) is not None and bool(published & {"80", "443"})


def _external(service: Service) -> Iterator[Fault]:
    image = service.spec.get("image") or ""
    others = service.subject.project.services.values()
    built_here = {(other.image or "").removesuffix(":latest") for other in others if other.build}
    if image.removesuffix(":latest") in built_here:
        return
    if service.service.build is None and image and (moving := _moves(image)):
        yield service.fault("unpinned-image", service.at("image"), f"{image} {moving}", f"image: {_pinned(image)}")


def _pinned(image: str) -> str:
    name, colon, tag = image.rpartition(":")
    return f"{name if colon and '/' not in tag else image}:<version>   # the one that you tested"


def _moves(image: str) -> str:
    """Return why an image may be another one tomorrow, empty if its name holds it."""
    if "@" in image:
        return ""
    name, colon, tag = image.rpartition(":")
    if not colon or "/" in tag or not name:
        return "has no tag, which means latest"
    return f"is whatever was pushed as {tag} last" if tag in _MOVING else ""


def _bases(service: Service) -> Iterator[Fault]:
    dockerfile = service.dockerfile
    build = service.service.build
    if dockerfile is None or build is None:
        return
    contexts = dict(build.contexts)
    names = {stage.name for stage in dockerfile.stages}
    for stage in dockerfile.stages:
        base = stage.base
        local = base.lower() in names or base in contexts or base.isdigit() or _NONE_OF_AN_IMAGE.match(base)
        if not local and base and (moving := _moves(base)):
            place = Place(dockerfile.file, dockerfile.first + stage.line)
            yield service.fault("unpinned-image", place, f"FROM {base} {moving}", f"FROM {_pinned(base)}")


def _build_args(service: Service) -> Iterator[Fault]:
    moving = {
        name: place
        for name, (place, value) in service.subject.places.names(service.name, "build", "args").items()
        if name not in service.volatile() and _takes_commit(name, value)
    }
    volatile = ", ".join(f'"{name}"' for name in dict.fromkeys((*sorted(service.volatile()), *moving)))
    section = f"[stacks.{service.subject.stack.name}.services.{_key(service.name)}]"
    for name, place in moving.items():
        what = f"{name} is part of the content key"
        yield service.fault(
            "commit-in-build-arg", place, what, f"{section}   # services.toml\nvolatile_args = [{volatile}]"
        )


def _takes_commit(name: str, value: str | None) -> bool:
    """Whether an arg is a commit's: by its own name, or that of the variable it takes; a constant never is."""
    if value is None:
        return names_commit(name)
    references = _references(value)
    return bool(references) and any(map(names_commit, (name, *references)))


def _references(value: str) -> list[str]:
    return [m[1] or m[2] for m in _REFERENCE.finditer(value.replace("$$", ""))]


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def _container(service: Service) -> Iterator[Fault]:
    for section in ("environment", "labels"):
        for name, (place, value) in service.subject.places.names(service.name, section).items():
            moving = [n for n in _references(value or "") if names_commit(n)]
            if moving or (value is None and names_commit(name) and section == "environment"):
                what = (
                    f"{name} in {section} takes the value of {(moving or [name])[0]}, which changes with every commit"
                )
                arg = (moving or [name])[0]
                word = "ENV" if section == "environment" else "LABEL"
                mend = f"# last in the Dockerfile, with {arg} in volatile_args:\nARG {arg}\n{word} {name}=${arg}"
                yield service.fault("commit-in-container", place, what, mend)


def _early(service: Service) -> Iterator[Fault]:
    dockerfile = service.dockerfile
    for stage in dockerfile.runtime() if dockerfile else ():
        for index, instruction in enumerate(stage.instructions):
            if instruction.word != "ARG":
                continue
            names = [n for n, _ in variables(instruction) if n in service.volatile() or names_commit(n)]
            later = [i for i in stage.instructions[index + 1 :] if i.word == "RUN"]
            if names and later and dockerfile:
                place = Place(dockerfile.file, dockerfile.first + instruction.line)
                what = f"ARG {names[0]} stands above {len(later)} RUN of its stage"
                last = dockerfile.first + later[-1].line
                mend = f"# move ARG {names[0]}, and what uses it, below the RUN on line {last}"
                yield service.fault("early-commit-arg", place, what, mend)
