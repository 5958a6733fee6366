"""Names under which build contexts are handed to BuildKit, so that it never takes a file for one it already has.

BuildKit keeps what it was sent, under the base name of the context's folder, and asks again only for files whose size
or times differ. Two checkouts whose folders have the same name share that memory, and a file that was replaced by one
of the same size and mtime (tar, `cp -p`, rsync, git-restore-mtime) is built with its old bytes: measured with Engine
26.1 and buildx 0.13. So each context gets a link with a name of its own, which it keeps, and with it BuildKit's memory,
as long as no file stands for other bytes than it did before with the same size and mtime.
"""

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from tasks.core.inputs import Inputs, Source

_MOST_FACTS = 200_000
_VERSION = 1
_BYTES = 8


def linked(folder: Path, memory: Path, contexts: Iterable[Inputs]) -> dict[str, str]:
    """Return, for the path of each context on this machine, a link to it with a name of its own.

    What is about to be sent is remembered before it is sent: a build that is killed leaves nothing untrue.

    Args:
        folder: where to make the links; they must last as long as the build.
        memory: where names are remembered; it may be deleted at any time, which costs one full transfer.
        contexts: what was read of each service that will be built.
    """
    facts: dict[str, dict[str, str]] = {}
    for inputs in contexts:
        if not inputs.definition.is_remote:
            facts.setdefault(inputs.definition.context, {}).update(_facts(inputs.sources))
    links = {}
    for root, found in facts.items():
        link = folder / _name(memory / _digest(root), found)
        link.symlink_to(root)
        links[root] = str(link)
    return links


def _facts(sources: Iterable[Source]) -> dict[str, str]:
    """Return what BuildKit can tell apart of each file, and for each its content."""
    return {
        _digest(f"{entry.location}\0{entry.size}\0{entry.mtime_ns}"): _digest(value)
        for source in sources
        for entry, value in zip(source.entries, source.values, strict=True)
    }


def _name(file: Path, now: dict[str, str]) -> str:
    name, before = _remembered(file)
    if any(before.get(fact, content) != content for fact, content in now.items()) or len(before) > _MOST_FACTS:
        name, before = "", {}
    known = before | now
    name = name or secrets.token_hex(_BYTES)
    # What cannot be remembered must not be used again.
    return name if known == before or _remember(file, name, known) else secrets.token_hex(_BYTES)


def _remembered(file: Path) -> tuple[str, dict[str, str]]:
    try:
        version, name, facts = json.loads(file.read_bytes())
    except (OSError, ValueError, TypeError):
        return "", {}
    return (name, facts) if version == _VERSION else ("", {})


def _remember(file: Path, name: str, facts: dict[str, str]) -> bool:
    data = json.dumps((_VERSION, name, facts))
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(data)
        new.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        return False
    return True


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=_BYTES).hexdigest()
