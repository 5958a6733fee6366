"""Plans that were found empty, remembered: as long as nothing moves that a plan follows from, it is empty again.

A plan follows from Onevm itself, from what services.toml and the checkout say, from what Compose on the host reads
besides, and from what the engine there has. All of that is asked for each time; what is saved is Compose.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

import tasks
from tasks.adapters import host_compose, host_inputs
from tasks.adapters.engine import Engine
from tasks.adapters.memory import Memory
from tasks.adapters.release_folder import Executable, ReleaseFolder
from tasks.adapters.transport import Transport
from tasks.core.model import Host, Stack
from tasks.core.values import plain, replace
from tasks.steps.candidate import Candidate
from tasks.steps.target import Target


class Remembered(Struct, frozen=True, kw_only=True):
    """What is remembered of one stack's plan.

    Attributes:
        memory: where it is remembered.
        name: the stack, and where.
        stamp: what the plan follows from on this machine, but for the images.
        read: the host's files that Compose reads besides; none if nothing is remembered.
        inputs: what these and Compose were like; once the host was asked, empty if they are not so any more.
        outside: the host's files that its configs and secrets name.
        networks: hashes of what its networks are called on the engine.
        plan: what the empty plan followed from.
    """

    memory: Memory
    name: str
    stamp: str
    read: tuple[str, ...] = ()
    inputs: str = ""
    outside: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    plan: str = ""

    def is_empty(self, candidate: Candidate, folder: ReleaseFolder, engine: Engine) -> bool:
        """Whether the plan of a candidate is the empty one.

        Args:
            candidate: what is to run.
            folder: the stack's folder on its host.
            engine: the host's engine.
        """
        if not self.inputs:
            return False
        listing = engine.listing(folder.stack, candidate.pins().values())
        elsewhere = host_compose.file_hashes(folder.transport, self.outside)
        there = [listing.stamp, _of_these(listing.networks, self.networks)]
        return bool(listing.stamp) and self.plan == self._follows_from(candidate, self.inputs, elsewhere, there)

    def learn(self, candidate: Candidate, aim: Target, folder: ReleaseFolder) -> None:
        """Remember that the plan of a candidate was empty."""
        # Either was asked for before Compose read all that.
        inputs = aim.inputs or self.inputs
        written = b"\0".join(candidate.contents[name] for name in candidate.compose)
        # A path that is not written there has a variable in it, whose value is nobody's business.
        if not inputs or not aim.observed.stamp or any(Path(p).name.encode() not in written for p in aim.outside):
            return
        networks = sorted(_digest([name]) for name in aim.called)
        there = [aim.observed.stamp, _of_these((one.inspected for one in aim.observed.networks), networks)]
        known = {
            "read": host_inputs.read_there(candidate.contents, candidate.compose, folder.project),
            "inputs": inputs,
            "outside": sorted(aim.outside),
            "networks": networks,
            "plan": self._follows_from(candidate, inputs, aim.elsewhere, there),
        }
        self.memory.learn(self.name, self.stamp, json.dumps(known))

    def _follows_from(self, candidate: Candidate, inputs: str, elsewhere: Mapping[str, str], there: list[Any]) -> str:
        services = {name: plain(service) for name, service in candidate.services.items()}
        return _digest([self.stamp, services, inputs, dict(elsewhere), there])


def of(
    memory: Memory,
    stack: Stack,
    host: Host,
    *,
    sha: str,
    only: frozenset[str] | None,
    contents: Mapping[str, bytes],
) -> Remembered:
    """Return what is remembered of a stack's plan; the host was not asked yet.

    Args:
        memory: where it is remembered.
        stack: the stack.
        host: its host.
        sha: the checked-out commit.
        only: the services named; None for all.
        contents: the release's files by path.
    """
    name = f"{stack.name} on {host.name}"
    files = {
        path: [hashlib.sha256(content).hexdigest(), isinstance(content, Executable)]
        for path, content in contents.items()
    }
    places = [host.address, str(host.root)]
    stamp = _digest([_program(), repr(stack), places, sha, sorted(only) if only is not None else None, files])
    known = json.loads(memory.recall(name, stamp) or "{}")
    return Remembered(
        memory=memory,
        name=name,
        stamp=stamp,
        read=tuple(known.get("read", ())),
        inputs=known.get("inputs", ""),
        outside=tuple(known.get("outside", ())),
        networks=tuple(known.get("networks", ())),
        plan=known.get("plan", ""),
    )


def asked(transport: Transport, plans: Mapping[str, Remembered]) -> dict[str, Remembered]:
    """Return plans by stack once their host has said, for all in one session, whether Compose there is as it was."""
    known = {stack: plan for stack, plan in plans.items() if plan.read}
    now = dict(zip(known, host_inputs.ask(transport, *(plan.read for plan in known.values())), strict=True))
    return {
        stack: replace(plan, inputs=plan.inputs if now.get(stack) == plan.inputs else "")
        for stack, plan in plans.items()
    }


def _of_these(networks: Iterable[Mapping[str, Any]], names: Collection[str]) -> list[str]:
    """Return the networks with these names, which others of the host have nothing to do with."""
    return sorted(json.dumps(one, sort_keys=True) for one in networks if _digest([one["Name"]]) in names)


@cache
def _program() -> list[list[Any]]:
    """Return what is another whenever Onevm itself is."""
    root = Path(tasks.__file__).parent
    seen = [(str(file), file.stat()) for file in sorted(root.rglob("*.py"))]
    return [[file, stat.st_size, stat.st_mtime_ns] for file, stat in seen]


def _digest(things: list[Any]) -> str:
    return hashlib.sha256(json.dumps(things, sort_keys=True).encode()).hexdigest()
