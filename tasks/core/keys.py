"""The content key: one hash over everything that goes into a service's image. Same key, same image.

In it are what BuildKit is asked for and what it reads. Not in it are times, mode bits other than the executable
one, where the checkout stands, volatile args, and the values of secrets.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping

from msgspec import Struct

from tasks.core.build import BuildDefinition
from tasks.core.inputs import DOCKERFILE, Inputs

SCHEMA = "1"
_TARGET = "target:"


class Manifest(Struct, frozen=True, kw_only=True):
    """What a content key is made of, so that two keys can be compared by what differs.

    Attributes:
        items: (kind, name, value), sorted; values of args are hashed.
        folders: for each kind whose names are files, the absolute folder they are relative to. Not in the key.
    """

    items: tuple[tuple[str, str, str], ...]
    folders: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The content key: a hex sha256 over every item, each of its fields preceded by its length."""
        return _digest(field for item in self.items for field in item)


def content_key(definition: BuildDefinition, *, files: Inputs, base_keys: Mapping[str, str]) -> str:
    """Return the content key of a service's image; see `manifest` for the arguments."""
    return manifest(definition, files=files, base_keys=base_keys).key


def manifest(definition: BuildDefinition, *, files: Inputs, base_keys: Mapping[str, str]) -> Manifest:
    """Return everything the content key of a service's image is made of.

    Args:
        definition: what BuildKit is asked for.
        files: what it reads, from `read_inputs`.
        base_keys: content keys by service, for every service that this one starts from.
    """
    items = [*_asked_for(definition), *_bases(definition, base_keys), *_read(files)]
    if not any(kind == DOCKERFILE for kind, _, _ in items):
        # A Dockerfile inside a remote context: nothing but its path is known.
        items.append((DOCKERFILE, "", f"path {definition.dockerfile}"))
    folders = tuple((source.role, source.root) for source in files.sources)
    return Manifest(items=tuple(sorted(items)), folders=folders)


def recipe(definition: BuildDefinition) -> str:
    """Return a digest of everything in the key that is asked for rather than read from disk, the keys of bases aside.

    With `Signature` and the keys of bases it tells cheaply that a content key computed earlier still holds.
    """
    items = [*_asked_for(definition), *(("base service", service, "") for service in definition.bases)]
    items += [("base of context", name, value) for name, value in definition.contexts if value.startswith(_TARGET)]
    if definition.is_remote:
        items.append((DOCKERFILE, "", f"path {definition.dockerfile}"))
    return _digest(field for item in sorted(items) for field in item)


def refreshed(key: str, bases: Mapping[str, str]) -> str:
    """Return the key of a content on base images at certain digests; the content's own if there are none.

    Args:
        key: the content key, in which base images from elsewhere count by name.
        bases: their digests by name, those of the services that this one starts from too.
    """
    parts = [part for item in sorted(bases.items()) for part in item]
    return _digest(iter(["refreshed", key, *parts])) if parts else key


def explain(old: Manifest, new: Manifest, *, checkout: str = "") -> list[str]:
    """Say what differs, one line each: `backend/app.py changed`, `arg X changed`; never a value.

    Args:
        old: the manifest of the image there is.
        new: the manifest of the image wanted.
        checkout: absolute folder that file names are shown relative to.
    """
    before = {(kind, name): value for kind, name, value in old.items}
    after = {(kind, name): value for kind, name, value in new.items}
    folders = dict(old.folders) | dict(new.folders)
    lines: dict[str, None] = {}  # the Dockerfile is often a file of the context as well
    for thing in sorted(before.keys() | after.keys()):
        was, now = before.get(thing), after.get(thing)
        if was != now:
            verb = "added" if was is None else "removed" if now is None else "changed"
            lines[f"{_shown(*thing, folders, checkout)} {verb}"] = None
    return list(lines)


def _asked_for(definition: BuildDefinition) -> Iterator[tuple[str, str, str]]:
    yield "schema", "", SCHEMA
    if definition.dockerfile_inline is not None:
        yield DOCKERFILE, "", _hashed(definition.dockerfile_inline)
    if definition.target is not None:
        yield "target", "", definition.target
    if definition.is_remote:
        yield "remote context", "", definition.context
    yield from _asked_for_by_name(definition)


def _asked_for_by_name(definition: BuildDefinition) -> Iterator[tuple[str, str, str]]:
    for platform in definition.platforms:
        yield "platform", platform, ""
    for name, value in definition.args:
        if name not in definition.volatile_args:
            yield "arg", name, "from the environment" if value is None else _hashed(value)
    for name, value in definition.contexts:
        if not value.startswith(_TARGET):
            yield "named context", name, "folder" if value.startswith("/") else value
    yield from (("option", name, value) for name, value in definition.options)
    yield from (("secret", secret.id, "") for secret in definition.secrets)
    yield from (("input", str(position), "") for position in range(len(definition.inputs)))


def _bases(definition: BuildDefinition, base_keys: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield the key of each image built here, under the name by which the Dockerfile reaches it."""
    reached = set()
    for name, value in definition.contexts:
        if value.startswith(_TARGET):
            service = value.removeprefix(_TARGET)
            reached.add(service)
            yield "base", name, base_keys[service]
    for service in set(definition.bases) - reached:
        yield "base service", service, base_keys[service]


def _read(files: Inputs) -> Iterator[tuple[str, str, str]]:
    for source in files.sources:
        if source.role == DOCKERFILE:
            # Its path and mode do not reach the image, unless it is in the context as well.
            yield DOCKERFILE, "", source.values[0].rpartition(" ")[2]
            continue
        for entry, value in zip(source.entries, source.values, strict=True):
            yield source.role, _portable(entry.path), _portable(value)


def _shown(kind: str, name: str, folders: Mapping[str, str], checkout: str) -> str:
    if kind not in folders:
        return f"{kind} {name}" if name else kind
    path = os.path.join(folders[kind], name) if name else folders[kind]  # noqa: PTH118 (also for strange bytes)
    if checkout and os.path.commonpath((checkout, path)) == checkout:
        path = os.path.relpath(path, checkout)
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _portable(text: str) -> str:
    """Return a name as every locale would decode it."""
    return text if text.isascii() else os.fsencode(text).decode(errors="surrogateescape")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _digest(fields: Iterator[str]) -> str:
    digest = hashlib.sha256()
    for field in fields:
        data = field.encode(errors="surrogateescape")
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()
