"""vm: guardrails on a host, so that its disk and memory stay bounded; each item is left alone where it is right.

    look -> plan -> log rotation, live-restore -> prune timer -> swap -> disk alert -> services without a memory cap

`doit vm:check` only looks. Containers are never interrupted, and every file that is edited is kept as it was. This
machine is left alone unless its host is named, `doit vm:local`: it may be somebody's own, and not a VM.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tasks.core.errors import OnevmError, UsageError
from tasks.core.values import plain
from tasks.steps import outcome, run, variables
from tasks.steps.naming import Task, broken
from tasks.steps.once import once
from tasks.steps.outcome import action
from tasks.steps.project import project

if TYPE_CHECKING:
    from tasks.steps.guarding import Guarded, Row

DOC = "guardrails on hosts: logs, pruning, swap, disk alert; vm:check looks"
CHECK = "check"


@action
def vm(hosts: Sequence[str], *, check: bool) -> None:
    """Bring hosts to what they should have, or only look."""
    if not hosts:
        raise UsageError(
            "the only host is this machine, and `doit vm` changes that only if it is named",
            next_step="`doit vm:check` looks at it, `doit vm:local` (or whatever the host is called) changes it",
        )
    found = []
    for host in hosts:
        try:
            found.append(_guarded(host, check))
        except OnevmError as error:
            # The others are not to wait for a host that cannot be reached.
            run.run().screen.error(str(error))
            outcome.note(error.exit_code)
    if variables.as_json():
        run.run().screen.document({"schema": 1, "hosts": [plain(one) for one in found]})
    if any(row.state == "failed" for one in found for row in one.rows):
        outcome.note(1)


@once
def _guarded(name: str, check: bool) -> "Guarded":
    # Every command loads this module, and no other needs this.
    from tasks.steps import guarding

    r = run.run()
    stack = next(stack for stack in r.project.stacks.values() if stack.host == name)
    host = r.project.configuration.hosts[name]
    place = guarding.look(host, r.host(stack))
    rows = guarding.planned(place)
    title = f"{name}, as user {place.rails.standing.user}"
    if not check and any(row.state == "to change" for row in rows):
        _show(r, f"{title}: the plan", rows)
        rows = guarding.change(place, rows)
    _show(r, title, rows, notes=True)
    found = guarding.Guarded(
        host=name,
        rows=rows,
        proposals=guarding.proposals(place),
        memory=place.machine.memory,
        backups=place.rails.backups if place.edited(rows) else "",
    )
    _report(r, found)
    return found


def _show(r: run.Run, title: str, rows: "Sequence[Row]", *, notes: bool = False) -> None:
    if variables.as_json():
        return
    r.screen.table(
        title, ["item", "state", "what", "next step"], [[w.item, w.state, w.detail, w.next_step] for w in rows]
    )
    for row in rows if notes else ():
        for note in row.notes:
            r.screen.say(f"{row.item}: {note}")


def _report(r: run.Run, found: "Guarded") -> None:
    from tasks.core.caps import MEGABYTE

    if variables.as_json():
        return
    if found.backups:
        r.screen.say(f"{found.host}: what files were before is in {found.backups}, on the host")
    if not found.proposals:
        r.screen.say(f"{found.host}: no running service is without a memory cap")
        return
    title = f"{found.host}: services without a memory cap; the host has {found.memory // MEGABYTE} MB"
    rows = [
        [one.name, str(one.containers), f"{one.now} MB", f"{one.peak} MB" if one.peak else "", f"mem_limit: {one.cap}m"]
        for one in found.proposals
    ]
    r.screen.table(title, ["service", "containers", "takes", "peak", "proposed"], rows)


def task_vm() -> Iterator[Task]:
    """Give a host its guardrails; `vm:check` only looks."""
    found = project()
    if found.broken:
        yield from broken("vm", DOC, found.broken)
        return
    hosts = sorted({stack.host for stack in found.stacks.values()})

    def task(name: str, names: Sequence[str], *, check: bool = False) -> Task:
        # Not as sub-tasks of one group: `doit vm` would run them all, and the one that only looks too.
        return {
            "basename": name,
            "doc": DOC if name == "vm" else f"{'look at' if check else 'guardrails on'} {', '.join(names)}",
            "actions": [(vm, [names], {"check": check})],
            "uptodate": [False],
            "io": {"capture": False},
        }

    yield task("vm", [host for host in hosts if not found.configuration.hosts[host].is_local])
    yield task(f"vm:{CHECK}", hosts, check=True)
    for host in hosts:
        if host != CHECK:
            yield task(f"vm:{host}", [host])
