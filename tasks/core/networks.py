"""The networks of a stack: what its Compose files define, against what the engine has.

Compose up to 2.31 leaves a network that is there as it is, whatever its definition says; later ones make it anew if
they made it, and fail where containers of other services are still in it. So Onevm writes on a network which
definition it is made from, as the label `dev.onevm.config-hash`, and makes it anew itself. One without that label is
held against what its definition says; what was taken out of the definition since cannot be told then.
"""

import hashlib
import ipaddress
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tasks.core.compose import ComposeService
from tasks.core.observed import CONFIG_LABEL, Network, Observed

_FLAGS = {"internal": "Internal", "attachable": "Attachable", "enable_ipv6": "EnableIPv6"}
_ADDRESSES = {"subnet": "Subnet", "gateway": "Gateway", "ip_range": "IPRange"}


class Renewal(NamedTuple):
    """A network that must be made anew: what it is called on the engine, and why."""

    name: str
    why: str


def network(inspected: Mapping[str, Any]) -> Network:
    """Return the network that one entry of `docker network inspect` describes."""
    labels_ = inspected.get("Labels") or {}
    return Network(
        name=inspected["Name"],
        project=labels_.get("com.docker.compose.project", ""),
        definition_hash=labels_.get(CONFIG_LABEL, ""),
        inspected=inspected,
    )


def own(project: Mapping[str, Any], services: Iterable[ComposeService]) -> dict[str, Mapping[str, Any]]:
    """Return the definitions of the networks that a stack has for itself, as its Compose files call them.

    Args:
        project: the output of `docker compose config`.
        services: the services that run: a network that none of them is in is not made.
    """
    known = project.get("networks") or {}
    used = sorted({key for service in services for key in service.definition.get("networks") or ()})
    specs = {key: known.get(key) or {} for key in used}
    return {key: spec for key, spec in specs.items() if spec.get("name") and not spec.get("external")}


def renewals(stack: str, definitions: Mapping[str, Mapping[str, Any]], observed: Observed) -> dict[str, Renewal]:
    """Return the networks that must be made anew, as the Compose files call them.

    Args:
        stack: the stack's name.
        definitions: its own networks.
        observed: the snapshot of the host.
    """
    known = {one.name: one for one in observed.networks}
    lost = {name for c in observed.containers if not c.one_off for name in c.networks} - known.keys()
    found = {}
    for key, spec in definitions.items():
        made = known.get(spec["name"])
        if spec["name"] in lost:
            found[key] = Renewal(spec["name"], "the host has lost it")
        elif made and made.project == stack and (text := difference(spec, made)):
            found[key] = Renewal(made.name, text)
    return found


def definition_hash(definition: Mapping[str, Any]) -> str:
    """Return the hash of a network's definition."""
    text = json.dumps(said(definition), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def said(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a definition says, without what Compose adds to one that says nothing."""
    rest = {key: value for key, value in definition.items() if key not in {"name", "labels"} and value}
    others = {key: value for key, value in (definition.get("labels") or {}).items() if key != CONFIG_LABEL}
    return rest | ({"labels": others} if others else {})


def difference(definition: Mapping[str, Any], made: Network) -> str:
    """Return how a network differs from its definition; empty if it does not."""
    if made.definition_hash == definition_hash(definition):
        return ""
    # What Onevm had made says nothing but what its definition said; others may have options of the engine's own.
    whole = bool(made.definition_hash)
    found = ", ".join(dict.fromkeys(_differences(said(definition), made.inspected, whole=whole)))
    return found or ("its definition changed" if whole else "")


def _differences(wanted: Mapping[str, Any], made: Mapping[str, Any], *, whole: bool) -> Iterator[str]:
    if "driver" in wanted and wanted["driver"] != made.get("Driver"):
        yield f"driver {made.get('Driver')} -> {wanted['driver']}"
    for key, name in _FLAGS.items():
        before, after = bool(made.get(name)), bool(wanted.get(key))
        if (whole or key in wanted) and before != after:
            yield f"{key} {str(before).lower()} -> {str(after).lower()}"
    for key, name in (("driver_opts", "Options"), ("labels", "Labels")):
        there, options = made.get(name) or {}, wanted.get(key) or {}
        gone = there.keys() - options.keys() if whole and key == "driver_opts" else set()
        for option in sorted(options.keys() | gone):
            old, new = there.get(option, "none"), str(options.get(option, "none"))
            if old != new:
                yield f"{key} {option}: {old} -> {new}"
    pools = [pool for pool in (made.get("IPAM") or {}).get("Config") or () if pool]
    for pool in (wanted.get("ipam") or {}).get("config") or ():
        for key, name in _ADDRESSES.items():
            if pool.get(key) and not any(_same_address(pool[key], each.get(name) or "") for each in pools):
                yield f"{key} -> {pool[key]}"


def _same_address(one: str, other: str) -> bool:
    try:
        return ipaddress.ip_interface(one).network == ipaddress.ip_interface(other).network and (
            "/" in one or ipaddress.ip_interface(one) == ipaddress.ip_interface(other)
        )
    except ValueError:
        return one == other


def names(service: ComposeService, project: Mapping[str, Any]) -> dict[str, str]:
    """Return what a service's networks are called on the engine, by what the Compose files call them."""
    known = project.get("networks") or {}
    keys = service.definition.get("networks") or ()
    return {key: known[key]["name"] for key in keys if (known.get(key) or {}).get("name")}


def inside(
    definitions: Mapping[str, Mapping[str, Any]], services: Iterable[ComposeService], names: Collection[str]
) -> frozenset[str]:
    """Return the services that are in one of some networks.

    Args:
        definitions: a stack's own networks.
        services: its services.
        names: the networks, as they are called on the engine.
    """
    keys = {key for key, spec in definitions.items() if spec["name"] in names}
    return frozenset(service.name for service in services if keys & set(service.definition.get("networks") or ()))


def labels(definitions: Mapping[str, Mapping[str, Any]], observed: Observed) -> dict[str, str]:
    """Return the label that each network has, or is to be made with, as the Compose files call them.

    One that was made without it and is as it shall be stays so: with a label more, it would differ for Compose.

    Args:
        definitions: a stack's own networks.
        observed: the snapshot of the host.
    """
    plain = {one.name: one for one in observed.networks if not one.definition_hash}
    return {
        key: definition_hash(spec)
        for key, spec in definitions.items()
        if spec["name"] not in plain or difference(spec, plain[spec["name"]])
    }
