"""How a service's container is replaced: start-first or in place, and why.

start-first needs two copies side by side for a while, and somebody in front who can be told which of them to ask. The
somebody reads a file: `upstreams/<service>` in the stack's project folder holds a name in the stack's network, and
Onevm renames another one into its place once the new copy is healthy. Measured behind Caddy 2.11, it is the scheme
that loses no request: no reload, no address that is cached for a minute, no new request for a copy that is not ready
or that is about to go (docs/architecture.md).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from tasks.core.compose import ComposeProject, ComposeService
from tasks.core.model import RolloutKind

UPSTREAMS = "upstreams"
_MENTIONED = re.compile(rb"\b" + UPSTREAMS.encode() + rb"/([A-Za-z0-9][A-Za-z0-9._-]*)")
_HASH_LENGTH = 12


class Rollout(Struct, frozen=True, kw_only=True):
    """How one service is replaced.

    Attributes:
        kind: `start-first` or `recreate`.
        reason: why, for `doit plan`.
        switched: whether a proxy reads the service's name from its file in `upstreams/`.
        refused: why start-first cannot be done although services.toml asks for it; empty if it can, or does not.
    """

    kind: RolloutKind
    reason: str
    switched: bool = False
    refused: str = ""

    @property
    def is_start_first(self) -> bool:
        """Whether the new copy is up before the old one goes."""
        return self.kind == "start-first"


def switched(contents: Mapping[str, bytes], services: Iterable[str]) -> frozenset[str]:
    """Return the services whose name a proxy reads from a file: those that a travelling file calls `upstreams/NAME`.

    Args:
        contents: the release's files by path; Compose files may be among them.
        services: the stack's services.
    """
    named = {m.decode() for content in contents.values() for m in _MENTIONED.findall(content)}
    # A placeholder's closing brace or a full stop at the end of a sentence is no part of a name.
    named |= {name.rstrip(".") for name in named}
    return frozenset(named & set(services))


def choose(service: ComposeService, project: ComposeProject, asked: RolloutKind, *, switched: bool) -> Rollout:
    """Return how a service is replaced.

    Args:
        service: the service.
        project: its stack's project.
        asked: what services.toml says.
        switched: whether a proxy reads its name from a file.
    """
    if asked == "recreate":
        return Rollout(kind="recreate", reason="services.toml says so", switched=switched)
    hindrance = obstacle(service, project)
    if asked == "start-first":
        reason = hindrance or "services.toml says so"
        kind: RolloutKind = "recreate" if hindrance else "start-first"
        return Rollout(kind=kind, reason=reason, switched=switched, refused=hindrance)
    if hindrance:
        return Rollout(kind="recreate", reason=hindrance, switched=switched)
    if not switched:
        return Rollout(kind="recreate", reason=f"no proxy in front reads {UPSTREAMS}/{service.name}")
    return Rollout(kind="start-first", reason=f"a proxy in front reads {UPSTREAMS}/{service.name}", switched=True)


def obstacle(service: ComposeService, project: ComposeProject) -> str:
    """Return why two copies of a service cannot stand side by side; empty if they can."""
    return next(filter(None, _obstacles(service, project)), "")


def _obstacles(service: ComposeService, project: ComposeProject) -> Iterable[str]:
    spec = service.definition
    if service.healthcheck is None:
        yield "it has no health check: nobody can tell when the new copy is ready"
    if name := spec.get("container_name"):
        yield f"container_name: {name} can be taken only once"
    if service.publishes_ports:
        yield f"it publishes the host's port {_port(spec['ports'])}, which can be taken only once"
    if mode := spec.get("network_mode"):
        yield f"network_mode: {mode} leaves it no network of the stack"
    if any(_is_fixed(network) for network in (spec.get("networks") or {}).values()):
        yield "it has a fixed address, which can be taken only once"
    if service.name in project.followers and (inside := followers(service.name, project.active())):
        yield f"{', '.join(inside)} {'live' if len(inside) > 1 else 'lives'} in its container"
    if volume := _exclusive(service, project):
        yield f"it alone writes to {volume}: two copies would write side by side"


def followers(name: str, services: Mapping[str, ComposeService]) -> tuple[str, ...]:
    """Return the services that live in the namespace or with the volumes of another one's container.

    Args:
        name: the one that they live in, at first or second hand.
        services: the services that run.
    """
    found: dict[str, None] = {}
    queue = [name]
    while queue:
        host = queue.pop(0)
        inside = [other.name for other in services.values() if _lives_in(other, host)]
        queue += [other for other in inside if other not in found]
        found |= dict.fromkeys(other for other in inside if other != name)
    return tuple(found)


def _lives_in(service: ComposeService, host: str) -> bool:
    spaces = {service.definition.get(key) for key in ("network_mode", "ipc", "pid")}
    sources = service.definition.get("volumes_from") or ()
    return f"service:{host}" in spaces or any(source.partition(":")[0] == host for source in sources)


def alias(service: str, config_hash: str) -> str:
    """Return the name under which the copies of one configuration are reached, and no others."""
    return f"{service}-{config_hash[:_HASH_LENGTH]}"


def is_alias(service: str, name: str) -> bool:
    """Whether a name is one that `alias` makes for a service."""
    return re.fullmatch(rf"{re.escape(service)}-[0-9a-f]{{{_HASH_LENGTH}}}", name) is not None


def memory_bytes(service: ComposeService) -> int:
    """Return what one copy may take, in bytes; 0 if nothing limits it."""
    limits = ((service.definition.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    return int(service.definition.get("mem_limit") or limits.get("memory") or 0)


def _port(ports: list[Any]) -> str:
    first = ports[0]
    return str(first.get("published") or first.get("target")) if isinstance(first, dict) else str(first)


def _is_fixed(network: Mapping[str, Any] | None) -> bool:
    return any((network or {}).get(key) for key in ("ipv4_address", "ipv6_address", "mac_address"))


def _exclusive(service: ComposeService, project: ComposeProject) -> str:
    """Return a volume or folder that this service alone may write to; several writers are meant to share."""
    if service.replicas > 1:
        return ""
    own = {service.name}
    return next((source for source in service.writes_to if project.writers.get(source, own) <= own), "")
