"""What each service shall be: its image and the hash of everything else Compose would start it with.

Compose's own config hash ignores the content of mounted files, configs and secrets, and lies about `env_file`
(docker/compose#11900, #14001). So Onevm puts a hash of its own on each container, as the label
`dev.onevm.config-hash`, and plans with that. The label is in Compose's hash, so Compose recreates exactly when
Onevm says so, and a later plain `docker compose up -d` finds nothing to do.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from tasks.core import networks
from tasks.core.observed import CONFIG_LABEL

# What `docker compose up` does not look at either (pkg/compose/hash.go, ServiceHash).
_NOT_HASHED = ("build", "pull_policy", "scale", "depends_on", "profiles", "env_file", "develop")


def config_hash(
    definition: Mapping[str, Any],
    project: Mapping[str, Any],
    *,
    folder: PurePosixPath,
    files: Mapping[str, str],
    elsewhere: Mapping[str, str],
    switched: bool = False,
) -> str:
    """Return the hash of one service as Compose would start it.

    Args:
        definition: the service in the output of `docker compose config`, its image pinned.
        project: the whole output, for its configs, secrets, networks and volumes.
        folder: the project folder on the host; relative mounts are below it.
        files: the travelling files, path in the project -> sha256.
        elsewhere: other files of configs and secrets, absolute path -> sha256.
        switched: whether its containers get a name of their own in its networks (see core/rollout.py).
    """
    spec = {key: value for key, value in definition.items() if key not in _NOT_HASHED and not key.startswith("x-")}
    if "deploy" in spec:
        spec["deploy"] = {k: v for k, v in (spec["deploy"] or {}).items() if k != "replicas"}
    if labels := spec.pop("labels", None):
        own = {key: value for key, value in labels.items() if key != CONFIG_LABEL}
        spec |= {"labels": own} if own else {}
    if switched:
        spec["\0switched"] = True
    for volume in spec.get("volumes") or ():
        if volume.get("type") == "bind" and (under := _below(folder, volume.get("source", ""))) is not None:
            spec.setdefault("\0files", []).append(_content(under, files))
    for kind in ("configs", "secrets"):
        for use in spec.get(kind) or ():
            known = (project.get(kind) or {}).get(use.get("source")) or {}
            spec.setdefault(f"\0{kind}", []).append(_referenced(known, folder, files, elsewhere))
    if special := _special(spec, project):
        spec["\0special"] = special
    text = json.dumps(spec, sort_keys=True, separators=(",", ":")).replace(str(folder), ".")
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _special(spec: Mapping[str, Any], project: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a service's networks and volumes are called and are like, beyond what they are by default."""
    found = {}
    for kind, keys in (
        ("networks", list(spec.get("networks") or ())),
        ("volumes", [volume.get("source") for volume in spec.get("volumes") or () if volume.get("type") == "volume"]),
    ):
        for key in keys:
            known = (project.get(kind) or {}).get(key) or {}
            # The options of a volume are those that it was made with, and none of its containers'.
            said = networks.said(known) if kind == "networks" else {}
            if known and known.get("name") != f"{project.get('name')}_{key}":
                said["name"] = known.get("name")
            if said:
                found[f"{kind} {key}"] = said
    return found


def referenced_files(project: Mapping[str, Any], folder: PurePosixPath, files: Mapping[str, str]) -> tuple[str, ...]:
    """Return the host's paths of files that configs and secrets name and that do not travel with the release."""
    paths = set()
    for kind in ("configs", "secrets"):
        for spec in (project.get(kind) or {}).values():
            path = spec.get("file")
            if path and _below(folder, path) not in files:
                paths.add(path)
    return tuple(sorted(paths))


def _below(folder: PurePosixPath, path: str) -> str | None:
    try:
        return str(PurePosixPath(path).relative_to(folder))
    except ValueError:
        return None


def _content(under: str, files: Mapping[str, str]) -> list[list[str]]:
    prefix = "" if under == "." else f"{under}/"
    return sorted([path, sha] for path, sha in files.items() if path == under or path.startswith(prefix))


def _referenced(
    known: Mapping[str, Any], folder: PurePosixPath, files: Mapping[str, str], elsewhere: Mapping[str, str]
) -> str:
    path = known.get("file")
    if not path:
        return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    under = _below(folder, path)
    return files[under] if under is not None and under in files else elsewhere.get(path, "absent")


def override(
    pins: Mapping[str, str],
    labels: Mapping[str, str],
    aliases: Mapping[str, tuple[str, Sequence[str]]] | None = None,
    definitions: Mapping[str, str] | None = None,
) -> str:
    """Return the Compose file that is read after the user's own: exact images, no build, our label, our names.

    Args:
        pins: image by service.
        labels: config hash by service; may lack services while the hashes are still being made.
        aliases: by service, one more name for its containers, and the networks to have it in.
        definitions: by network, the label with the hash of its definition.
    """
    lines = [
        "# Written by Onevm: the exact images of this release. Read after the stack's own Compose files.",
        "services:",
    ]
    for name, image in sorted(pins.items()):
        lines += [f"  {json.dumps(name)}:", f"    image: {json.dumps(image)}", "    build: !reset null"]
        lines += ["    pull_policy: missing"]
        if name in labels:
            lines += ["    labels:", f"      {CONFIG_LABEL}: {json.dumps(labels[name])}"]
        if name in (aliases or {}):
            alias, networks = (aliases or {})[name]
            lines += ["    networks:"]
            lines += [f"      {json.dumps(network)}: {{aliases: [{json.dumps(alias)}]}}" for network in networks]
    lines = lines if pins else ["services: {}"]
    lines += ["networks:"] if definitions else []
    for name, label in sorted((definitions or {}).items()):
        lines += [f"  {json.dumps(name)}: {{labels: {{{CONFIG_LABEL}: {json.dumps(label)}}}}}"]
    return "\n".join(lines) + "\n"
