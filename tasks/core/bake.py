"""One bake file for everything that is stale."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from tasks.core.build import BuildDefinition
from tasks.core.images import CONTENT_KEY_LABEL, CREATED_LABEL, REVISION_LABEL, SOURCE_LABEL
from tasks.core.model import Builder


class Target(Struct, frozen=True, kw_only=True):
    """One service to build.

    Attributes:
        definition: what to build.
        context: where BuildKit is to find its build context, if under another name than its own.
        content_key: the key of its inputs.
        reference: the tag to give the image.
        repository: its repository, for the cache.
        push: whether the registry gets it; else the local engine does.
        args: build args with the volatile ones filled in.
        revision: the commit.
        source: where the checkout came from.
        created: the commit's date.
        pins: images to take in the place of those that the Dockerfile names, by the name of a named context.
    """

    definition: BuildDefinition
    content_key: str
    reference: str
    repository: str
    push: bool
    args: Mapping[str, str]
    revision: str
    source: str
    created: str
    context: str = ""
    pins: Mapping[str, str] = field(default_factory=dict)


def target_names(definitions: Sequence[BuildDefinition]) -> dict[tuple[str, str], str]:
    """Return a bake target name for each (stack, service); bake allows no dots in them."""
    names: dict[tuple[str, str], str] = {}
    stacks = {d.stack for d in definitions}
    for d in definitions:
        name = d.service if len(stacks) == 1 else f"{d.stack}-{d.service}"
        name = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)
        while name in names.values():
            name += "-"
        names[d.stack, d.service] = name
    return names


def bake_file(
    targets: Sequence[Target], only_context: Sequence[Target], builder: Builder, names: Mapping[tuple[str, str], str]
) -> str:
    """Return the bake file as JSON.

    Args:
        targets: services to build.
        only_context: fresh services that a target starts from: in the file, not built for themselves.
        builder: where the cache is kept.
        names: bake target names.
    """
    document = {
        names[t.definition.stack, t.definition.service]: _target(t, builder, names) for t in (*targets, *only_context)
    }
    return json.dumps({"target": document}, indent=1, sort_keys=True)


def _target(target: Target, builder: Builder, names: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    d = target.definition
    own: dict[str, str] = next((json.loads(text) for name, text in d.options if name == "labels"), {})
    labels = {
        **own,
        CONTENT_KEY_LABEL: target.content_key,
        REVISION_LABEL: target.revision,
        SOURCE_LABEL: target.source,
        CREATED_LABEL: target.created,
    }
    spec: dict[str, Any] = {
        "context": target.context or d.context,
        "args": dict(target.args),
        "labels": {name: value for name, value in labels.items() if value or name in own},
        "tags": [target.reference],
        "output": ["type=image,push=true" if target.push else "type=docker"],
        "contexts": {**{name: _context(d, value, names) for name, value in d.contexts}, **target.pins},
        "secret": [_secret(s.id, s.environment, str(s.file or "")) for s in d.secrets],
        **{_BAKE_OPTIONS[name]: _option(name, json.loads(text)) for name, text in d.options if name in _BAKE_OPTIONS},
    }
    if d.dockerfile_inline:
        spec["dockerfile-inline"] = d.dockerfile_inline
    elif d.dockerfile:
        spec["dockerfile"] = str(d.dockerfile)
    if d.target:
        spec["target"] = d.target
    if d.platforms:
        spec["platforms"] = list(d.platforms)
    spec |= _cache(builder, target)
    return {key: _literal(value) for key, value in spec.items() if value not in ({}, [])}


# Compose's name -> bake's. What bake cannot say is refused in steps/preflight.
_BAKE_OPTIONS = {"network": "network", "ssh": "ssh", "shm_size": "shm-size", "ulimits": "ulimits"}


def unsupported_options(definition: BuildDefinition) -> tuple[str, ...]:
    """Return the build options of Compose that a bake file cannot express."""
    return tuple(name for name, _ in definition.options if name not in {*_BAKE_OPTIONS, "labels"})


def _option(name: str, value: Any) -> Any:
    if name != "ulimits":
        return value
    limits = {kind: limit if isinstance(limit, dict) else {"soft": limit} for kind, limit in value.items()}
    return [
        f"{kind}={':'.join(str(limit[end]) for end in ('soft', 'hard') if end in limit)}"
        for kind, limit in limits.items()
    ]


def _literal(value: Any) -> Any:
    # Bake expands ${…} and %{…} in JSON strings; a doubled mark is itself.
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {key: _literal(inner) for key, inner in value.items()}
    return [_literal(inner) for inner in value] if isinstance(value, list) else value


def _context(definition: BuildDefinition, value: str, names: Mapping[tuple[str, str], str]) -> str:
    if value.startswith("target:"):
        return f"target:{names[definition.stack, value.removeprefix('target:')]}"
    return value


def _secret(identity: str, environment: str | None, file: str) -> str:
    return f"id={identity},env={environment}" if environment else f"id={identity},src={file}"


def _cache(builder: Builder, target: Target) -> dict[str, list[str]]:
    if not target.push or builder.cache == "none":
        return {}
    latest = f"type=registry,ref={target.repository}:latest"
    cached = f"{target.repository}:buildcache"
    match builder.cache:
        case "inline":
            return {"cache-to": ["type=inline"], "cache-from": [latest]}
        case "registry":
            return {
                "cache-to": [f"type=registry,ref={cached},mode=max"],
                "cache-from": [f"type=registry,ref={cached}", latest],
            }
        case "gha":
            scope = f"{target.definition.stack}-{target.definition.service}"
            return {"cache-to": [f"type=gha,scope={scope},mode=max"], "cache-from": [f"type=gha,scope={scope}"]}
