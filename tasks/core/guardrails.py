"""What `doit vm` would do to a host: for each item the files it should have, and what is to be done besides."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from tasks.core import daemon_json
from tasks.core.errors import OnevmError
from tasks.core.machine import Machine
from tasks.core.model import VmSettings

Kind = Literal["engine", "prune", "swap", "alert"]

FSTAB = "/etc/fstab"
SYSCTL = "/etc/sysctl.d/60-onevm.conf"
ETC = "/etc/onevm"
PROGRAMS = "/usr/local/lib/onevm"
UNITS = "/etc/systemd/system"
WEBHOOK = f"{ETC}/alert-webhook"
DEFAULT_ENGINE = "unix:///var/run/docker.sock"


class Wanted(Struct, frozen=True, kw_only=True):
    """A file as it should be.

    Attributes:
        path: absolute.
        content: None if it should not be there.
        mode: in octal; `keep` for somebody else's file, whose owner and mode stay.
    """

    path: str
    content: bytes | None
    mode: str = "644"


class Item(Struct, frozen=True, kw_only=True):
    """One thing that a host should have.

    Attributes:
        kind: which.
        title: how it is called.
        changes: what would be done, in words; empty if all is as it should be.
        files: the files to write.
        notes: what is worth knowing either way.
        problem: why it cannot be done, empty if it can.
        next_step: what to do about that.
        make_swap: megabytes of the swap file to make; 0 to turn on the one that is there; None for neither.
        swappiness: what to tell the running kernel.
        timer: the timer to turn on.
        live_restore: whether the engine must have live-restore on in the end.
    """

    kind: Kind
    title: str
    changes: tuple[str, ...] = ()
    files: tuple[Wanted, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    next_step: str = ""
    make_swap: int | None = None
    swappiness: int | None = None
    timer: str = ""
    live_restore: bool = False


def files_to_look_at() -> tuple[str, ...]:
    """Return the paths that the items are about, besides daemon.json and fstab."""
    names = [SYSCTL, f"{ETC}/roots", f"{ETC}/prune.conf", f"{ETC}/alert.conf", WEBHOOK, f"{ETC}/alert-command"]
    for name in ("prune", "alert"):
        names += [f"{PROGRAMS}/{name}", f"/etc/cron.d/onevm-{name}"]
        names += [f"{UNITS}/onevm-{name}.service", f"{UNITS}/onevm-{name}.timer"]
    return tuple(names)


def engine(machine: Machine, settings: VmSettings, *, swarm: bool, rootless: bool, live: bool) -> Item:
    """Return the item of the engine's own configuration.

    Args:
        machine: the host.
        settings: what is wanted.
        swarm: whether the engine is in a swarm.
        rootless: whether it runs without root.
        live: whether it has live-restore on.
    """
    title = "engine: log rotation, live-restore"
    if rootless:
        return Item(kind="engine", title=title, problem="the engine is rootless", next_step="see its own daemon.json")
    if not machine.pid:
        why = "no dockerd was found among the host's processes"
        return Item(kind="engine", title=title, problem=why, next_step="is the engine another machine's?")
    if machine.daemon in machine.odd or machine.unreadable(machine.daemon):
        why = f"{machine.daemon} {'is no file' if machine.daemon in machine.odd else 'may not be read without root'}"
        return Item(kind="engine", title=title, problem=why, next_step="see what it is")
    raw = machine.files[machine.daemon].content if machine.daemon in machine.files else b""
    try:
        text = (raw or b"").decode()
        merged = daemon_json.merge(
            text,
            size=settings.log_size,
            files=settings.log_files,
            flags=daemon_json.flag_names(machine.flags),
            swarm=swarm,
        )
    except UnicodeDecodeError:
        return Item(kind="engine", title=title, problem=f"{machine.daemon} is not UTF-8", next_step="mend it")
    except OnevmError as error:
        return Item(kind="engine", title=title, problem=f"{machine.daemon}: {error.what}", next_step=error.next_step)
    notes = list(merged.notes)
    if merged.restart or machine.restart_due:
        notes.append(RESTART)
    unread = merged.live_restore and not live and not merged.changes
    return Item(
        kind="engine",
        title=title,
        changes=("live-restore is in the file, and the engine has not read it",) if unread else merged.changes,
        live_restore=merged.live_restore,
        files=(Wanted(path=machine.daemon, content=merged.text.encode(), mode="keep"),) if merged.changes else (),
        notes=tuple(notes),
    )


RESTART = (
    "log options count once the engine was restarted (`systemctl restart docker`; with live-restore containers keep"
    " running), and then for containers made after that: those that are there keep theirs until they are replaced"
)


def prune(machine: Machine, settings: VmSettings, *, root: str, engine_address: str, program: bytes) -> Item:
    """Return the item of the prune timer.

    Args:
        machine: the host.
        settings: what is wanted.
        root: the folder of releases that this configuration deploys to; those of others stay on the list.
        engine_address: the engine's, as the host sees it.
        program: what the timer starts.
    """
    known = (machine.text(f"{ETC}/roots") or "").split("\n")
    roots = [*filter(None, known), *([] if root in known else [root])]
    lines = [f"BUILDER_CACHE={settings.builder_cache}"]
    if engine_address not in {"", DEFAULT_ENGINE, "unix:///run/docker.sock"}:
        lines += [f"DOCKER_HOST='{engine_address}'", "export DOCKER_HOST"]
    wanted = [
        Wanted(path=f"{PROGRAMS}/prune", content=program, mode="755"),
        Wanted(path=f"{ETC}/roots", content=_lines(roots)),
        Wanted(path=f"{ETC}/prune.conf", content=_lines(lines)),
    ]
    after = "daily: images that no retained release needs, the build cache"
    return _timed("prune", "prune timer", machine, wanted, after, calendar="*-*-* 03:17:00", cron="17 3 * * *")


def alert(machine: Machine, settings: VmSettings, *, webhook: str | None, program: bytes) -> Item:
    """Return the item of the disk alert.

    Args:
        machine: the host.
        settings: what is wanted.
        webhook: the address to call; empty for none, None if it is not known here, and the host's own stays.
        program: what the timer starts.
    """
    title = "disk alert"
    if webhook is None and WEBHOOK not in machine.files:
        why = f"the environment variable {settings.alert_webhook_env} is not set"
        return Item(
            kind="alert", title=title, problem=why, next_step="set it to the webhook's address for this command"
        )
    if webhook != "" and not {"curl", "wget"} & machine.tools:
        why = "neither curl nor wget is there to call the webhook"
        return Item(kind="alert", title=title, problem=why, next_step="install curl on the host")
    command = settings.alert_command
    wanted = [
        Wanted(path=f"{PROGRAMS}/alert", content=program, mode="755"),
        Wanted(path=f"{ETC}/alert.conf", content=_lines([f"PERCENT={settings.disk_alert}"])),
        Wanted(path=f"{ETC}/alert-command", content=_lines([command]) if command else None, mode="700"),
    ]
    if webhook is not None:
        wanted.append(Wanted(path=WEBHOOK, content=_lines([webhook]) if webhook else None, mode="600"))
    ways = ["log"] + ["webhook"] * (webhook != "") + ["command"] * bool(command)
    after = f"every 5 minutes: from {settings.disk_alert} % on, once, to {', '.join(ways)}"
    return _timed("alert", title, machine, wanted, after, calendar="*:0/5", cron="*/5 * * * *")


def _timed(
    kind: Literal["prune", "alert"],
    title: str,
    machine: Machine,
    wanted: list[Wanted],
    after: str,
    *,
    calendar: str,
    cron: str,
) -> Item:
    """Return the item of a program and what starts it: a timer of systemd, else cron."""
    name = f"onevm-{kind}"
    if not machine.systemd and not machine.cron:
        return Item(
            kind=kind,
            title=title,
            problem="nothing could start it: neither systemd nor a cron daemon runs on the host",
            next_step="install and start cron there",
        )
    units = _units(kind, after, calendar) if machine.systemd else {}
    crontab = _lines(
        [
            f"# Written by Onevm: {after}.",
            "SHELL=/bin/sh",
            'MAILTO=""',
            f"{cron} root {PROGRAMS}/{kind} >/dev/null 2>&1",
        ]
    )
    wanted += [Wanted(path=path, content=content) for path, content in units.items()]
    # Only one of them: a host that has got systemd meanwhile must not do it twice.
    wanted.append(Wanted(path=f"/etc/cron.d/{name}", content=None if machine.systemd else crontab))
    files = tuple(file for file in wanted if differs(machine, file))
    off = machine.systemd and name not in machine.timers
    changes = (f"{after} ({'timer of systemd' if machine.systemd else 'cron'})",) if files or off else ()
    return Item(kind=kind, title=title, changes=changes, files=files, timer=name if machine.systemd and changes else "")


def differs(machine: Machine, file: Wanted) -> bool:
    """Whether a file of the host is not as it should be."""
    found = machine.files.get(file.path)
    if file.content is None or found is None:
        return (file.content is None) != (found is None)
    return found.content != file.content or file.mode not in {"keep", found.mode}


def _units(kind: str, after: str, calendar: str) -> Mapping[str, bytes]:
    described = f"Description=Onevm, {after.replace('%', '%%')}"
    service = [
        "# Written by Onevm.",
        "[Unit]",
        described,
        "After=docker.service",
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart={PROGRAMS}/{kind}",
        "Nice=10",
        "IOSchedulingClass=idle",
        "TimeoutStartSec=3600",
        # They write to the log themselves.
        "StandardOutput=null",
    ]
    timer = [
        "# Written by Onevm.",
        "[Unit]",
        described,
        "",
        "[Timer]",
        f"OnCalendar={calendar}",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {f"{UNITS}/onevm-{kind}.service": _lines(service), f"{UNITS}/onevm-{kind}.timer": _lines(timer)}


def _lines(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
