"""Stacks of the configuration: their folders and files, and what two stacks say together."""

import os.path
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.core.fields import Fields
from tasks.core.hints import did_you_mean
from tasks.core.model import Hooks, ServiceSettings, Stack, Verify
from tasks.core.source import Source
from tasks.core.toml_lines import KeyPath

COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
"""The names that Compose itself looks for, in its order (override files are not among them)."""

Values = Mapping[str, Any]


def check(fields: Fields, name: str, values: Values, base: Path) -> None:
    """Report folders and files of one stack that are not there, or that lead out of it."""
    key: KeyPath = ("stacks", name)
    if "path" not in values:
        return
    path = folder(values, base)
    if not path.is_dir():
        fields.report((*key, "path"), _not_a_folder(path))
        return
    _check_compose(fields, (*key, "compose"), values, path)
    for index, file in _good(values, "files"):
        _check_inner(fields, (*key, "files", index), path, file)
    for files in ("compose", "files"):
        _check_spellings(fields, (*key, files), _good(values, files))
    for service, settings in values.get("services", {}).items():
        for index, more in _good(settings, "inputs"):
            if not os.path.lexists(path / more):
                message = f'"{more}" is not there (looked at {os.path.normpath(path / more)})'
                fields.report((*key, "services", service, "inputs", index), message)


def check_pairs(fields: Fields, stacks: Mapping[str, Values], base: Path) -> None:
    """Report two stacks that are the same checkout with the same Compose files."""
    seen: dict[tuple[Path, tuple[str, ...]], str] = {}
    for name, values in stacks.items():
        wrong = "compose" not in values and fields.has(("stacks", name, "compose"))
        if "path" not in values or wrong or None in values.get("compose", ()):
            continue
        place = (folder(values, base), compose_files(values, folder(values, base)))
        if not place[1]:
            continue
        if place in seen:
            message = (
                f"is the same folder and the same Compose files as stacks.{seen[place]};"
                " one stack can go to another host with host=NAME"
            )
            fields.report(("stacks", name), message)
        seen.setdefault(place, name)


def folder(values: Values, base: Path) -> Path:
    """Return the absolute path of a stack's checkout."""
    return Path(os.path.realpath(base / values["path"]))


def compose_files(values: Values, path: Path) -> tuple[str, ...]:
    """Return the stack's Compose files, relative to `path`: those it names, or the first default there is."""
    if values.get("compose"):
        return tuple(os.path.normpath(file) for file in values["compose"])
    return tuple(name for name in COMPOSE_FILES if (path / name).is_file())[:1]


def build(name: str, values: Values, host: str, base: Path, source: Source) -> Stack:
    """Make the stack of checked values."""
    path = folder(values, base)
    services = {service: _settings(settings, path) for service, settings in values.get("services", {}).items()}
    more = {"on_failure": values["on_failure"]} if "on_failure" in values else {}
    return Stack(
        name=name,
        path=path,
        compose=compose_files(values, path),
        host=host,
        files=tuple(os.path.normpath(file) for file in values.get("files", ())),
        verify=_verify(values["verify"]) if "verify" in values else None,
        hooks=Hooks(**values.get("hooks", {})),
        ignore=values.get("ignore", {}),
        services=services,
        source=source,
        **more,
    )


def _settings(values: Values, path: Path) -> ServiceSettings:
    inputs = tuple(Path(os.path.normpath(path / more)) for more in values.get("inputs", ()))
    renamed = {"drain": "drain_seconds"}
    return ServiceSettings(**{**{renamed.get(name, name): value for name, value in values.items()}, "inputs": inputs})


def _verify(values: Values) -> Verify:
    renamed = {"timeout": "timeout_seconds"}
    return Verify(**{renamed.get(name, name): value for name, value in values.items()})


def _good(values: Values, name: str) -> Iterator[tuple[int, str]]:
    """Yield index and text of the strings of an array that are well formed."""
    return ((index, text) for index, text in enumerate(values.get(name, ())) if text is not None)


def _not_a_folder(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file; name its folder, and the file itself in compose"
    return f"no such folder: {path}"


def _check_compose(fields: Fields, key: KeyPath, values: Values, path: Path) -> None:
    if "compose" not in values:
        if not fields.has(key) and not compose_files(values, path):
            fields.report(key, f"is missing, and {path} has none of {', '.join(COMPOSE_FILES)}")
        return
    if not values["compose"]:
        fields.report(key, "names no file; leave it out for the default")
    for index, file in _good(values, "compose"):
        _check_inner(fields, (*key, index), path, file, is_file=True)


def _check_spellings(fields: Fields, key: KeyPath, files: Iterable[tuple[int, str]]) -> None:
    """Report a file that is there twice, written differently."""
    seen: set[str] = set()
    for index, file in files:
        plain = os.path.normpath(file)
        if plain in seen:
            fields.report((*key, index), f'"{file}" is "{plain}" again')
        seen.add(plain)


def _check_inner(fields: Fields, key: KeyPath, path: Path, file: str, *, is_file: bool = False) -> None:
    """Report a file that is not there, or that a symbolic link leads out of the stack's folder."""
    place = path / file
    if not place.exists():
        siblings = [entry.name for entry in place.parent.iterdir()] if place.parent.is_dir() else []
        hint = did_you_mean(place.name, siblings)
        near = hint if "did you mean" in hint else ""
        fields.report(key, f'"{file}" is not there (looked at {os.path.normpath(place)}){near}')
    elif is_file and not place.is_file():
        fields.report(key, f'"{file}" is a folder, not a Compose file')
    elif not Path(os.path.realpath(place)).is_relative_to(path):
        fields.report(key, f'"{file}" is a link that leads out of {path}')
