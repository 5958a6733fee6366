"""What `doit vm` does on one host: look, plan, change, and say what services take without a cap.

who are we there -> look -> items -> plan -> files (with backups) -> reload, swap, timers -> caps
"""

import contextlib
import os
import time
from collections.abc import Callable, Sequence

from msgspec import Struct, field

from tasks.adapters.guardrails import Guardrails, program
from tasks.adapters.host import Reached
from tasks.adapters.process import CommandFailed
from tasks.core import caps, guardrails, swap
from tasks.core.caps import Proposal, Usage
from tasks.core.errors import OnevmError
from tasks.core.guardrails import Item
from tasks.core.machine import Machine
from tasks.core.model import Host
from tasks.core.values import replace
from tasks.steps import output
from tasks.steps.run import now

RELOAD_SECONDS = 30.0


class Row(Struct, frozen=True, kw_only=True):
    """What became of one item.

    Attributes:
        item: its title.
        state: `unchanged`, `changed`, `to change` (only looked), or `failed`.
        detail: what was or would be done, or why it failed.
        notes: what is worth knowing.
        next_step: what to do about a failure.
    """

    item: str
    state: str
    detail: str = ""
    notes: tuple[str, ...] = ()
    next_step: str = ""


class Guarded(Struct, frozen=True, kw_only=True):
    """A host, item by item, and its services without a cap; `backups` is the folder of old files, if there are any."""

    host: str
    rows: tuple[Row, ...]
    proposals: tuple[Proposal, ...]
    memory: int
    backups: str = ""


class Place(Struct, frozen=True, kw_only=True):
    """A host with what was seen of it."""

    host: Host
    reached: Reached
    rails: Guardrails
    machine: Machine
    items: tuple[Item, ...] = field(default=())

    @property
    def needs(self) -> str:
        """Why nothing can be changed there, empty if it can."""
        if self.rails.standing.privilege != "none":
            return ""
        return f"needs root: user {self.rails.standing.user} is not, and may not `sudo -n`"

    def edited(self, rows: Sequence[Row]) -> bool:
        """Whether a file that was there has been changed."""
        changed = [item for item, row in zip(self.items, rows, strict=True) if row.state == "changed"]
        return any(file.path in self.machine.files for item in changed for file in item.files)


def look(host: Host, reached: Reached) -> Place:
    """Look at a host, and decide what it lacks."""
    rails = Guardrails(reached.transport, now().replace(":", "").replace("-", ""))
    settings = host.vm
    machine = rails.look(settings.swap_file, guardrails.files_to_look_at())
    info = reached.engine.info()
    webhook = _webhook(settings.alert_webhook_env)
    items = (
        guardrails.engine(
            machine,
            settings,
            swarm=(info.get("Swarm") or {}).get("LocalNodeState", "inactive") not in {"inactive", ""},
            live=bool(info.get("LiveRestoreEnabled")),
            rootless=any("rootless" in option for option in info.get("SecurityOptions") or ()),
        ),
        guardrails.prune(
            machine,
            settings,
            root=str(host.root),
            engine_address=rails.standing.engine_address,
            program=program("prune"),
        ),
        swap.item(machine, settings),
        guardrails.alert(machine, settings, webhook=webhook, program=program("alert")),
    )
    return Place(host=host, reached=reached, rails=rails, machine=machine, items=items)


def _webhook(name: str | None) -> str | None:
    """Return the webhook's address: empty for none, None if its variable is not set."""
    if name is None:
        return ""
    if address := os.environ.get(name, "").strip():
        output.hide(address)
        return address
    return None


def planned(place: Place) -> tuple[Row, ...]:
    """Return what would be done."""
    return tuple(_planned(place, item) for item in place.items)


def _planned(place: Place, item: Item) -> Row:
    if item.problem:
        return Row(item=item.title, state="failed", detail=item.problem, notes=item.notes, next_step=item.next_step)
    if not item.changes:
        return Row(item=item.title, state="unchanged", notes=item.notes)
    detail = "; ".join(item.changes)
    if place.needs:
        names = ", ".join(dict.fromkeys(file.path for file in item.files)) or detail
        step = f"connect as root, or let the user `sudo` without a password; it is about {names}"
        return Row(item=item.title, state="failed", detail=f"{detail}: {place.needs}", notes=item.notes, next_step=step)
    return Row(item=item.title, state="to change", detail=detail, notes=item.notes)


def change(place: Place, rows: Sequence[Row]) -> tuple[Row, ...]:
    """Do what is planned, each item for itself."""
    return tuple(
        _changed(place, item, row) if row.state == "to change" else row
        for item, row in zip(place.items, rows, strict=True)
    )


def _changed(place: Place, item: Item, row: Row) -> Row:
    acts: dict[str, Callable[[Place, Item], None]] = {"engine": _engine, "swap": _swap}
    try:
        acts.get(item.kind, _timed)(place, item)
    except OnevmError as error:
        detail = "\n".join(part for part in (error.what, error.detail) if part)
        return replace(row, state="failed", detail=detail, next_step=error.next_step)
    return replace(row, state="changed")


def _engine(place: Place, item: Item) -> None:
    """Write daemon.json if the engine itself would take it, and let the engine read it."""
    machine, rails = place.machine, place.rails
    check = [machine.dockerd, "--validate", *_without_config_file(machine.flags[1:]), "--config-file"]
    for file in item.files:
        rails.put(file, machine, check)
    try:
        rails.reload(machine.pid)
        if item.live_restore:
            _await_live_restore(place)
    except OnevmError:
        for file in item.files:
            rails.restore(file.path, machine)
        with contextlib.suppress(OnevmError):
            rails.reload(machine.pid)
        raise


def _await_live_restore(place: Place) -> None:
    deadline = time.monotonic() + RELOAD_SECONDS
    while not place.reached.engine.info().get("LiveRestoreEnabled"):
        if time.monotonic() > deadline:
            raise OnevmError(
                f"the engine did not take {place.machine.daemon} within {RELOAD_SECONDS:g} s; it is as it was",
                next_step="see the engine's log: journalctl -u docker",
            )
        time.sleep(0.2)


def _without_config_file(words: Sequence[str]) -> list[str]:
    """Return dockerd's own options: what stands there and in the file is refused, so both are to be seen together."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in {"--config-file", "-config-file"}:
            skip = True
        elif not word.startswith(("--config-file=", "--validate")):
            kept.append(word)
    return kept


def _swap(place: Place, item: Item) -> None:
    """Turn swap on first: without it there is nothing to write into fstab."""
    settings = place.host.vm
    if item.make_swap is not None:
        place.rails.make_swap(settings.swap_file, item.make_swap, place.machine.filesystem)
    _files(place, item)
    if item.swappiness is not None:
        place.rails.tell_swappiness(item.swappiness)


def _timed(place: Place, item: Item) -> None:
    _files(place, item)
    if item.timer:
        place.rails.start_timer(item.timer)


def _files(place: Place, item: Item) -> None:
    for file in item.files:
        place.rails.put(file, place.machine)


def proposals(place: Place) -> tuple[Proposal, ...]:
    """Return the services without a cap, with what they take."""
    engine = place.reached.engine
    running = engine.running()
    pids = {entry["Id"]: int(entry["State"].get("Pid") or 0) for entry in running}
    uncapped = [entry for entry in running if not entry["HostConfig"].get("Memory") and pids[entry["Id"]]]
    if not uncapped:
        return ()
    try:
        peaks = place.rails.peaks([pids[entry["Id"]] for entry in uncapped])
    except CommandFailed:
        peaks = {}
    return caps.proposals(
        Usage(
            name=_name(entry),
            now=engine.memory_bytes(entry["Id"]),
            peak=peaks.get(pids[entry["Id"]], 0),
            cap=0,
        )
        for entry in uncapped
    )


def _name(entry: dict[str, object]) -> str:
    config = entry["Config"]
    labels = (config.get("Labels") or {}) if isinstance(config, dict) else {}
    project, service = labels.get("com.docker.compose.project"), labels.get("com.docker.compose.service")
    return f"{project}.{service}" if project and service else str(entry["Name"]).lstrip("/")
