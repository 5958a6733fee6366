"""A Compose project as `docker compose config --format json` resolves it.

Only what Onevm decides with is named; the whole definition of a service stays in `definition`.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec import Struct

from tasks.core.build import BuildDefinition, BuildSecret, is_remote
from tasks.core.dockerfile import starting_images
from tasks.core.durations import seconds
from tasks.core.errors import OnevmError
from tasks.core.model import Stack

# Keys of `build:` that have a place of their own in BuildDefinition, or do not change the image.
_OWN_BUILD_KEYS = {
    "context", "dockerfile", "dockerfile_inline", "target", "args", "additional_contexts", "platforms",
    "secrets", "tags", "cache_from", "cache_to", "pull", "no_cache", "provenance", "sbom",
}  # fmt: skip
_IMAGE = "docker-image://"


class HealthCheck(Struct, frozen=True, kw_only=True):
    """A health check's times in seconds, with the engine's defaults filled in."""

    interval: float = 30
    timeout: float = 30
    retries: int = 3
    start_period: float = 0

    @property
    def patience(self) -> float:
        """Seconds after which a container that never answers is certainly `unhealthy`."""
        return self.start_period + (self.retries + 1) * (self.interval + self.timeout)


class ComposeService(Struct, frozen=True, kw_only=True):
    """One service of a Compose project."""

    name: str
    image: str | None
    build: BuildDefinition | None
    depends_on: tuple[str, ...]
    healthcheck: HealthCheck | None
    replicas: int
    active: bool
    definition: Mapping[str, Any]

    @property
    def stays_ended(self) -> bool:
        """Whether a container that ended stays ended: no restart policy, or one that heeds only failures."""
        if policy := (self.definition.get("deploy") or {}).get("restart_policy"):
            return bool(policy.get("condition", "any") != "any")
        return str(self.definition.get("restart") or "no").partition(":")[0] in {"no", "on-failure"}

    @property
    def is_one_shot(self) -> bool:
        """Whether the service may end by itself: nothing restarts it, and no health check says it should live."""
        return self.healthcheck is None and self.stays_ended

    @property
    def publishes_ports(self) -> bool:
        """Whether a port of the host is bound to the service."""
        return bool(self.definition.get("ports"))

    @property
    def writes_to(self) -> tuple[str, ...]:
        """The volumes and folders of the host that it may write to."""
        return tuple(
            str(volume["source"])
            for volume in self.definition.get("volumes") or ()
            if volume.get("type") in {"bind", "volume"} and volume.get("source") and not volume.get("read_only")
        )


@dataclass(frozen=True, kw_only=True)
class ComposeProject:
    """The services of one stack, by name, and the project's own definition.

    What needs a look at all services is found out once, not once for each of them: so no slots.
    """

    services: dict[str, ComposeService]
    definition: Mapping[str, Any]

    def built(self) -> dict[str, ComposeService]:
        """Services that are built here: active ones, and those that they start from."""
        wanted: dict[str, ComposeService] = {}
        queue = [s for s in self.services.values() if s.active and s.build]
        while queue:
            service = queue.pop()
            if service.name not in wanted and service.build:
                wanted[service.name] = service
                queue += [self.services[base] for base in service.build.bases]
        return {name: self.services[name] for name in self.services if name in wanted}

    def active(self) -> dict[str, ComposeService]:
        """Services that run: those that no inactive profile holds back."""
        return {name: s for name, s in self.services.items() if s.active}

    def lean_on(self, names: Collection[str]) -> frozenset[str]:
        """Return the services besides some that these depend on: an `up` of them would look at those, too."""
        found = {other for name in names if name in self.services for other in self.services[name].depends_on}
        return frozenset(found.difference(names))

    @cached_property
    def followers(self) -> Mapping[str, tuple[str, ...]]:
        """By service, those that live in the namespace or with the volumes of its container."""
        found: dict[str, dict[str, None]] = {}
        for other in self.active().values():
            shared = [str(other.definition.get(key) or "") for key in ("network_mode", "ipc", "pid")]
            owners = [name.removeprefix("service:") for name in shared if name.startswith("service:")]
            owners += [str(source).partition(":")[0] for source in other.definition.get("volumes_from") or ()]
            for owner in owners:
                found.setdefault(owner, {})[other.name] = None
        return {owner: tuple(names) for owner, names in found.items()}

    @cached_property
    def writers(self) -> Mapping[str, frozenset[str]]:
        """By volume or folder of the host, the services that may write to it."""
        found: dict[str, set[str]] = {}
        for service in self.active().values():
            for source in service.writes_to:
                found.setdefault(source, set()).add(service.name)
        return {source: frozenset(names) for source, names in found.items()}


def document(text: str) -> dict[str, Any]:
    """Return what `docker compose config --format json` printed; it doubles every `$`, so that it can be read again."""
    found: dict[str, Any] = json.loads(text.replace("$$", "$"))
    return found


def parse(stack: Stack, definition: Mapping[str, Any], active: frozenset[str]) -> ComposeProject:
    """Return the project that a `docker compose config` document describes.

    Args:
        stack: the stack of services.toml, for what it adds to each service.
        definition: the document, resolved with every profile on.
        active: names of the services that run with the profiles that are really on.

    Raises:
        OnevmError: a Dockerfile cannot be read, or services start from each other in a circle.
    """
    raw: Mapping[str, Any] = definition.get("services") or {}
    images = {_untagged(s["image"]): name for name, s in raw.items() if s.get("image") and s.get("build") is not None}
    services = {
        name: ComposeService(
            name=name,
            image=spec.get("image"),
            build=_build(stack, name, spec, definition, images) if spec.get("build") is not None else None,
            depends_on=tuple(sorted(spec.get("depends_on") or {})),
            healthcheck=_healthcheck(spec.get("healthcheck")),
            replicas=_replicas(spec),
            active=name in active,
            definition=spec,
        )
        for name, spec in sorted(raw.items())
    }
    project = ComposeProject(services=services, definition=definition)
    build_order(project)
    return project


def _replicas(spec: Mapping[str, Any]) -> int:
    replicas = (spec.get("deploy") or {}).get("replicas", spec.get("scale"))
    return 1 if replicas is None else int(replicas)


def _healthcheck(spec: Mapping[str, Any] | None) -> HealthCheck | None:
    if not spec or spec.get("disable") or spec.get("test") in (None, ["NONE"]):
        return None
    default = HealthCheck()
    return HealthCheck(
        interval=seconds(spec.get("interval")) or default.interval,
        timeout=seconds(spec.get("timeout")) or default.timeout,
        retries=int(spec.get("retries") or default.retries),
        start_period=seconds(spec.get("start_period")),
    )


def _build(
    stack: Stack, name: str, spec: Mapping[str, Any], project: Mapping[str, Any], images: Mapping[str, str]
) -> BuildDefinition:
    build = spec["build"]
    settings = stack.settings(name)
    inline = build.get("dockerfile_inline")
    remote = is_remote(build["context"])
    folder = Path() if remote else Path(build["context"])
    dockerfile = None if inline else folder / (build.get("dockerfile") or "Dockerfile")
    args = {key: None if value is None else str(value) for key, value in (build.get("args") or {}).items()}
    text = inline or ("" if remote else _dockerfile_text(dockerfile, f"{stack.name}.{name}"))
    contexts = {
        key: f"target:{value.removeprefix('service:')}" if value.startswith("service:") else value
        for key, value in (build.get("additional_contexts") or {}).items()
    }
    starting = tuple(map(_untagged, starting_images(text, args)))
    for image in starting:
        if image in images and image not in contexts and images[image] != name:
            contexts[image] = f"target:{images[image]}"
    elsewhere = [(key, value.removeprefix(_IMAGE)) for key, value in contexts.items() if value.startswith(_IMAGE)]
    elsewhere += [(image, image) for image in starting if image not in contexts]
    return BuildDefinition(
        stack=stack.name,
        service=name,
        context=build["context"],
        dockerfile=dockerfile,
        dockerfile_inline=inline,
        target=build.get("target"),
        args=tuple(sorted(args.items())),
        volatile_args=frozenset(settings.volatile_args),
        contexts=tuple(sorted(contexts.items())),
        starts_from=tuple(sorted(elsewhere)),
        bases=tuple(sorted({v.removeprefix("target:") for v in contexts.values() if v.startswith("target:")})),
        platforms=tuple(build.get("platforms") or ()),
        inputs=settings.inputs,
        options=tuple(sorted((k, json.dumps(v, sort_keys=True)) for k, v in build.items() if k not in _OWN_BUILD_KEYS)),
        secrets=_secrets(build.get("secrets") or (), project.get("secrets") or {}),
    )


def _untagged(image: str) -> str:
    # As BuildKit compares named contexts.
    return image.removesuffix(":latest")


def _dockerfile_text(path: Path | None, name: str) -> str:
    if path is None:
        return ""
    lower = path.with_name("dockerfile")
    try:
        # As buildx does, where there is no `Dockerfile`.
        return (lower if path.name == "Dockerfile" and not path.exists() and lower.exists() else path).read_text(
            errors="replace"
        )
    except OSError as error:
        msg = f"{name}: its Dockerfile {path} cannot be read: {error.strerror}"
        raise OnevmError(msg, next_step="mend build.dockerfile or build.context in the Compose file") from None


def _secrets(used: tuple[Any, ...] | list[Any], known: Mapping[str, Any]) -> tuple[BuildSecret, ...]:
    secrets = []
    for use in used:
        source = use["source"]
        spec = known.get(source) or {}
        secrets.append(
            BuildSecret(
                id=use.get("target") or source,
                file=Path(spec["file"]) if spec.get("file") else None,
                environment=spec.get("environment"),
            )
        )
    return tuple(sorted(secrets, key=lambda s: s.id))


def build_order(project: ComposeProject) -> tuple[str, ...]:
    """Return the built services so that each comes after those it starts from.

    Raises:
        OnevmError: services start from each other in a circle, or from a service that is not built here.
    """
    order: dict[str, None] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in order:
            return
        service = project.services.get(name)
        if name in path or service is None or service.build is None:
            chain = " -> ".join([*path, name])
            why = "in a circle" if name in path else "from a service that is not built here"
            msg = f"services start from each other {why}: {chain}"
            raise OnevmError(msg, next_step="look at additional_contexts and FROM in these services' builds")
        path.append(name)
        for base in service.build.bases:
            visit(base)
        path.pop()
        order[name] = None

    for name, service in project.services.items():
        if service.build:
            visit(name)
    return tuple(order)


def start_levels(services: Mapping[str, ComposeService], names: frozenset[str]) -> list[list[str]]:
    """Return `names` in levels: each level depends only on earlier ones and can start together."""
    done: set[str] = set()
    levels: list[list[str]] = []
    reach = {name: _reachable(services, name) & names for name in names}
    while len(done) < len(names):
        level = sorted(name for name in names - done if reach[name] <= done)
        if not level:
            level = sorted(names - done)
        levels.append(level)
        done.update(level)
    return levels


def _reachable(services: Mapping[str, ComposeService], start: str) -> set[str]:
    seen: set[str] = set()
    queue = list(services[start].depends_on) if start in services else []
    while queue:
        name = queue.pop()
        if name not in seen and name != start:
            seen.add(name)
            queue += services[name].depends_on if name in services else ()
    return seen


_KEPT = (
    "build", "image", "depends_on", "deploy", "scale", "restart", "ports", "profiles", "network_mode",
    "container_name", "volumes", "volumes_from", "ipc", "pid", "stop_grace_period",
)  # fmt: skip
_KEPT_OF_HEALTHCHECK = ("interval", "timeout", "retries", "start_period", "start_interval", "disable")


def without_values(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return what planning a build needs of a project: no environment, command or test, which may hold secrets."""
    services = {}
    for name, spec in (definition.get("services") or {}).items():
        kept = {key: spec[key] for key in _KEPT if key in spec}
        if check := spec.get("healthcheck"):
            kept["healthcheck"] = {key: check[key] for key in _KEPT_OF_HEALTHCHECK if key in check}
            kept["healthcheck"]["test"] = check["test"][:1] if check.get("test") else None
        services[name] = kept
    return {
        "services": services,
        "secrets": definition.get("secrets") or {},
        "volumes": definition.get("volumes"),
    }
