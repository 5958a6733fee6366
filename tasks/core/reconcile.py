"""Desired against observed: the plan. Pure; no question is asked while deciding."""

from collections.abc import Mapping

from msgspec import Struct, field

from tasks.core.compose import ComposeService
from tasks.core.networks import Renewal
from tasks.core.observed import Container, Observed
from tasks.core.plan import Operation, Plan, ordered
from tasks.core.rollout import Rollout, followers

APART = "two copies would be in different networks"
IN_PLACE = Rollout(kind="recreate", reason="")


class Desired(Struct, frozen=True, kw_only=True):
    """What one service shall be.

    Attributes:
        image: the pinned reference; None while its digest is not known yet (it is still to be built).
        config_hash: the hash its containers carry; None with `image`.
        why: what is known about the reason of a change of image, for example the changed files.
        rollout: how its containers are replaced.
        networks: what its networks are called on the engine, by what the Compose files call them.
        volumes: likewise.
    """

    image: str | None
    config_hash: str | None
    why: str = ""
    rollout: Rollout = IN_PLACE
    networks: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)


def reconcile(
    stack: str,
    services: Mapping[str, ComposeService],
    desired: Mapping[str, Desired],
    observed: Observed,
    *,
    only: frozenset[str] | None = None,
    renewed: Mapping[str, Renewal] | None = None,
) -> Plan:
    """Return the plan that makes `observed` match `desired`.

    Args:
        stack: the stack's name.
        services: the services of the desired Compose files; containers of others are orphans.
        desired: what each service shall be that runs.
        observed: the snapshot of the host.
        only: services to touch; None for all. Orphans are left alone unless it is None.
        renewed: the networks that must be made anew, as the Compose files call them.
    """
    networks = renewed or {}
    operations = [
        Operation(verb="renew", service=name, cause=f"{why}; what is in it stops meanwhile")
        for name, why in networks.values()
    ]
    for c in observed.containers:
        if c.is_leftover and c.state != "running":
            operations.append(Operation(verb="sweep", service=c.name, cause="left behind by a deploy that was killed"))
    for name, want in sorted(desired.items()):
        if only is not None and name not in only:
            continue
        if want.image and "@" in want.image and want.image not in observed.images:
            operations.append(Operation(verb="pull", service=name, cause="the host does not have this digest"))
        inside = [network for network in services[name].definition.get("networks") or () if network in networks]
        operations += _of_service(services[name], want, observed.of(name), inside)
    operations = _with_followers(services, operations)
    if only is None:
        operations += [
            Operation(verb="remove", service=c.name, cause=f"service {c.service} is no longer in the Compose files")
            for c in observed.containers
            if c.service not in services and not c.one_off and not c.is_leftover
        ]
    return Plan(stack=stack, operations=ordered(operations))


def _of_service(
    service: ComposeService, want: Desired, containers: tuple[Container, ...], renewed: list[str]
) -> list[Operation]:
    name = service.name
    if renewed and containers:
        cause = f"its network {', '.join(renewed)} is made anew"
        return [Operation(verb="recreate", service=name, cause=cause, rollout="recreate", reason=APART)]
    return _by_itself(service, want, containers)


def _by_itself(service: ComposeService, want: Desired, containers: tuple[Container, ...]) -> list[Operation]:
    name = service.name
    if service.replicas == 0 and not containers:
        return []
    if not containers:
        return [Operation(verb="create", service=name, cause="no container yet")]
    if cause := _difference(want, containers):
        apart = any(_elsewhere("network", want.networks, c.networks) for c in containers)
        how = Rollout(kind="recreate", reason=APART) if apart else want.rollout
        return [Operation(verb="recreate", service=name, cause=cause, rollout=how.kind, reason=how.reason)]
    if len(containers) != service.replicas:
        return [Operation(verb="start", service=name, cause=f"{len(containers)} of {service.replicas} replicas exist")]
    down = [c for c in containers if c.state != "running" and not (service.is_one_shot and _ended_well(c))]
    if down:
        return [Operation(verb="start", service=name, cause=f"{down[0].name} is {down[0].condition}")]
    return []


def _with_followers(services: Mapping[str, ComposeService], operations: list[Operation]) -> list[Operation]:
    """Add the services whose container lives in one that is replaced, and so goes with it, whoever was named."""
    active = {name: service for name, service in services.items() if service.active}
    replaced = [op.service for op in operations if op.verb == "recreate"]
    hosts = {other: name for name in replaced for other in followers(name, active)}
    along = hosts.keys() - {op.service for op in operations if op.verb in {"create", "recreate"}}
    return [op for op in operations if op.verb != "start" or op.service not in along] + [
        Operation(
            verb="recreate",
            service=name,
            cause=f"it lives in {hosts[name]}'s container",
            rollout="recreate",
            reason=f"together with {hosts[name]}",
        )
        for name in along
    ]


def _ended_well(container: Container) -> bool:
    return container.state == "exited" and container.exit_code == 0


def _difference(want: Desired, containers: tuple[Container, ...]) -> str:
    if want.image is None:
        return want.why or "its image will be built"
    for c in containers:
        if c.image != want.image:
            return want.why or f"image {_short(c.image)} -> {_short(want.image)}"
        if not c.config_hash:
            return "its container was not made by Onevm"
        if c.config_hash != want.config_hash:
            moved = _elsewhere("network", want.networks, c.networks) + _elsewhere("volume", want.volumes, c.volumes)
            return ", ".join(moved) or want.why or "its configuration changed"
    return ""


def _elsewhere(kind: str, wanted: Mapping[str, str], there: frozenset[str]) -> list[str]:
    return [f"its {kind} {key} is now {name}" for key, name in wanted.items() if name not in there]


def _short(image: str) -> str:
    name, at, digest = image.partition("@sha256:")
    return f"{name.rsplit('/', 1)[-1]}@{digest[:12]}" if at else image
