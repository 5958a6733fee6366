"""Compose files with only some of their services, for stacks so large that reading all of them takes seconds.

Compose reads a whole stack for every service that it replaces, and for a service that is named it takes several times
as long again (2.26: 3 s for one of 1,000). An excerpt is cut out of the text, and nothing in it is understood: where
that cannot be done, the file stays as it is. Whether Compose makes the same of it as of the whole is for Compose to
say (`same`), so nothing that the cutting does not know, an anchor in what was left out or `extends`, can do harm.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tasks.core.compose import ComposeProject

# Services that an excerpt must spare Compose: what it takes to make one shall be small beside what it saves.
WORTH = 50
_SERVICES = re.compile(r"""(services|"services"|'services')[ ]*:[ ]*(\#.*)?\r?""")
_NAME = re.compile(r"""(?:(?P<plain>[A-Za-z0-9][\w.-]*)|"(?P<double>[\w.-]+)"|'(?P<single>[\w.-]+)')[ ]*:(?:\s|$)""")
_KINDS = ("networks", "volumes", "configs", "secrets")
_JOINED = ("network_mode", "ipc", "pid")


def belonging(project: ComposeProject, names: Collection[str]) -> frozenset[str]:
    """Return some services and all that Compose looks at when it replaces them."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name in found or name not in project.services:
            continue
        found.add(name)
        spec = project.services[name].definition
        queue += project.services[name].depends_on
        queue += project.followers.get(name, ())
        queue += [str(link).partition(":")[0] for key in ("links", "volumes_from") for link in spec.get(key) or ()]
        joined = [str(spec.get(key) or "") for key in _JOINED]
        queue += [other.removeprefix("service:") for other in joined if other.startswith("service:")]
    return frozenset(found)


def cut(content: bytes, names: Collection[str]) -> bytes:
    """Return a Compose file without its services besides some; the file itself if it is not plainly laid out.

    Args:
        content: the file: JSON, or YAML whose services are a block, one below the other.
        names: the services that stay.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    found = _cut_json(text, names) if text.lstrip().startswith("{") else _cut_block(text, names)
    return content if found is None else found.encode()


def _cut_json(text: str, names: Collection[str]) -> str | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    services = found.get("services")
    if not isinstance(services, dict):
        return None
    return json.dumps({**found, "services": {name: spec for name, spec in services.items() if name in names}})


def _cut_block(text: str, names: Collection[str]) -> str | None:
    lines = text.split("\n")
    heads = [number for number, line in enumerate(lines) if _SERVICES.fullmatch(line)]
    if len(heads) != 1:
        return None
    first = heads[0] + 1
    end = next((n for n in range(first, len(lines)) if _indent(lines[n]) == 0), len(lines))
    body = lines[first:end]
    depth = next((width for line in body if (width := _indent(line))), 0)
    if not depth or any((width := _indent(line)) is not None and width < depth for line in body):
        return None
    kept = list(_kept(body, depth, names))
    head = lines[heads[0]] if any(_indent(line) for line in kept) else "services: {}"
    return "\n".join([*lines[: heads[0]], head, *kept, *lines[end:]])


def _indent(line: str) -> int | None:
    """Return by how many blanks a line is indented; None if there is nothing on it but a comment."""
    bare = line.lstrip(" ")
    return None if not bare.strip() or bare.startswith("#") else len(line) - len(bare)


def _kept(body: list[str], depth: int, names: Collection[str]) -> Iterator[str]:
    stays = True
    for line in body:
        if _indent(line) == depth:
            key = _NAME.match(line, depth)
            # What is no service's name (`<<:`) may be for all of them.
            stays = key is None or (key["plain"] or key["double"] or key["single"]) in names
        if stays:
            yield line


def same(part: Mapping[str, Any], whole: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether Compose makes of an excerpt what it makes of the whole, for just some services.

    Args:
        part: what `docker compose config` says of the excerpt.
        whole: what it says of the stack's own files.
        names: the services.
    """
    mine, all_of_them = part.get("services") or {}, whole.get("services") or {}
    if mine.keys() != set(names) or part.get("name") != whole.get("name"):
        return False
    if any(spec != all_of_them.get(name) for name, spec in mine.items()):
        return False
    return all(
        spec == (whole.get(kind) or {}).get(name) for kind in _KINDS for name, spec in (part.get(kind) or {}).items()
    )
