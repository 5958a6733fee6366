"""The volumes of a stack: what its Compose files define, against what the engine has.

A volume is what it was made as: another driver or other options would need another volume, without the data.
"""

from collections.abc import Mapping
from typing import Any

from tasks.core.compose import ComposeService
from tasks.core.observed import Observed, Volume


def volume(inspected: Mapping[str, Any]) -> Volume:
    """Return the volume that one entry of `docker volume inspect` describes."""
    options = inspected.get("Options") or {}
    return Volume(name=inspected["Name"], driver=inspected.get("Driver") or "local", options=options)


def names(service: ComposeService, project: Mapping[str, Any]) -> dict[str, str]:
    """Return what a service's volumes are called on the engine, by what the Compose files call them."""
    known = project.get("volumes") or {}
    mounts = service.definition.get("volumes") or ()
    keys = [mount["source"] for mount in mounts if mount.get("type") == "volume" and mount.get("source")]
    return {key: known[key]["name"] for key in keys if (known.get(key) or {}).get("name")}


def differences(project: Mapping[str, Any], observed: Observed) -> dict[str, str]:
    """Return how volumes differ from their definitions, by name on the engine.

    Args:
        project: the output of `docker compose config`.
        observed: the snapshot of the host.
    """
    there = {one.name: one for one in observed.volumes}
    found = {}
    for spec in (project.get("volumes") or {}).values():
        made = there.get((spec or {}).get("name", ""))
        if made is None or spec.get("external"):
            continue
        if text := ", ".join(_differences(spec, made)):
            found[made.name] = text
    return found


def _differences(spec: Mapping[str, Any], made: Volume) -> list[str]:
    driver = spec.get("driver") or "local"
    found = [f"driver {made.driver} -> {driver}"] if driver != made.driver else []
    options = {key: str(value) for key, value in (spec.get("driver_opts") or {}).items()}
    return found + [
        f"driver_opts {key}: {made.options.get(key, 'none')} -> {options.get(key, 'none')}"
        for key in sorted(options.keys() | made.options.keys())
        if options.get(key) != made.options.get(key)
    ]
