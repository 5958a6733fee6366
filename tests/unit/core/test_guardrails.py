"""What `doit vm` would do, decided from what was seen."""

import base64

import pytest

from tasks.core import guardrails, swap
from tasks.core.guardrails import FSTAB, SYSCTL, WEBHOOK, Item, Wanted
from tasks.core.machine import MEGABYTE, File, Machine, Swap, parse
from tasks.core.model import VmSettings

PROGRAM = b"#!/bin/sh\n"
GIB = 1024 * MEGABYTE


def machine(**more: object) -> Machine:
    facts = {
        "cron": True,
        "dockerd": "/usr/sbin/dockerd",
        "pid": "7",
        "memory": 4 * GIB,
        "filesystem": "ext2/ext3",
        "free": 40 * GIB,
    }
    return Machine(**(facts | more))  # type: ignore[arg-type]


def written(item: Item) -> dict[str, File]:
    """Return the files of a host after they were written."""
    return {
        file.path: File(mode=file.mode if file.mode != "keep" else "644", content=file.content)
        for file in item.files
        if file.content is not None
    }


def prune(found: Machine, root: str = "/srv/onevm", engine: str = "") -> Item:
    return guardrails.prune(found, VmSettings(), root=root, engine_address=engine, program=PROGRAM)


def alert(found: Machine, settings: VmSettings | None = None, webhook: str | None = "") -> Item:
    return guardrails.alert(found, settings or VmSettings(), webhook=webhook, program=PROGRAM)


def test_what_the_host_says_is_read() -> None:
    def encoded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    flags = "dockerd\0--debug\0"
    swaps = "Filename\tType\tSize\tUsed\tPriority\n/my\\040swap file 1020 0 -2\n"
    text = (
        f"systemd yes\ndockerd /usr/sbin/dockerd\npid 12\nflags {encoded(flags)}\nnewer yes\n"
        f"daemon /etc/docker/d.json\nmode /etc/a b 644\nfile /etc/a {encoded('x')}\nmode /etc/a 600\nmode /root/c 600\n"
        f"odd /etc/dir\nmemory 2048\nswaps {encoded(swaps)}\nswappiness 60\nfilesystem xfs\nfree 10\ntool curl\n"
        "tool wget\ntimer onevm-prune\nswap_file SWAPSPACE2.\n"
    )
    found = parse(text)
    assert found.flags == ("dockerd", "--debug")
    assert found.files == {
        "/etc/a": File(mode="600", content=b"x"),
        "/etc/a b": File(mode="644", content=None),
        "/root/c": File(mode="600", content=None),
    }
    assert found.unreadable("/root/c")
    assert found.swaps == (Swap(path="/my swap", size=1020 * 1024),)
    assert (found.memory, found.free) == (2 * MEGABYTE, 10240)
    assert found.tools == {"curl", "wget"}
    assert found.timers == {"onevm-prune"}
    assert (found.systemd, found.cron, found.restart_due, found.swap_file) == (True, False, True, "SWAPSPACE2.")


@pytest.mark.parametrize("systemd", [True, False])
def test_what_was_written_is_not_written_again(systemd: bool) -> None:
    for make in (prune, alert):
        first = make(machine(systemd=systemd))
        assert first.changes
        assert first.timer == (f"onevm-{first.kind}" if systemd else "")
        names = {path.rpartition("/")[0] for path in written(first)}
        assert ("/etc/systemd/system" in names, "/etc/cron.d" in names) == (systemd, not systemd)
        again = machine(systemd=systemd, files=written(first), timers=frozenset({f"onevm-{first.kind}"}))
        assert make(again) == Item(kind=first.kind, title=first.title)


def test_a_timer_that_was_turned_off_is_turned_on_again() -> None:
    files = written(prune(machine(systemd=True)))
    item = prune(machine(systemd=True, files=files))
    assert (item.files, item.timer) == ((), "onevm-prune")
    assert item.changes


def test_only_one_of_systemd_and_cron_starts_it() -> None:
    files = written(prune(machine()))
    item = prune(machine(systemd=True, files=files))
    assert Wanted(path="/etc/cron.d/onevm-prune", content=None) in item.files


def test_where_nothing_could_start_it_nothing_is_written() -> None:
    for item in (prune(machine(cron=False)), alert(machine(cron=False))):
        assert "neither systemd nor a cron daemon" in item.problem
        assert not item.files


def test_the_roots_of_others_stay_on_the_list() -> None:
    files = {"/etc/onevm/roots": File(mode="644", content=b"/srv/other\n")}
    (roots,) = (f.content for f in prune(machine(files=files)).files if f.path == "/etc/onevm/roots")
    assert roots == b"/srv/other\n/srv/onevm\n"


def test_an_engine_that_is_not_at_its_usual_place_is_found() -> None:
    def conf(engine: str) -> bytes | None:
        return next(f.content for f in prune(machine(), engine=engine).files if f.path == "/etc/onevm/prune.conf")

    assert conf("unix:///var/run/docker.sock") == b"BUILDER_CACHE=5g\n"
    assert b"DOCKER_HOST='unix:///run/user/1000/docker.sock'\n" in (conf("unix:///run/user/1000/docker.sock") or b"")


def test_the_webhook_is_for_root_alone_and_goes_when_it_is_taken_out() -> None:
    tools = frozenset({"curl"})
    settings = VmSettings(alert_webhook_env="HOOK", alert_command="true")
    first = alert(machine(tools=tools), settings, "https://hooks.example.com/x")
    assert {f.path: f.mode for f in first.files if f.path.startswith("/etc/onevm/alert-")} == {
        "/etc/onevm/alert-command": "700",
        WEBHOOK: "600",
    }
    there = machine(tools=tools, files=written(first))
    assert not alert(there, settings, None).changes, "without its variable the address there stays"
    gone = [file for file in alert(there).files if file.content is None]
    assert [file.path for file in gone] == ["/etc/onevm/alert-command", WEBHOOK]
    assert "HOOK is not set" in alert(machine(tools=tools), settings, None).problem
    assert "neither curl nor wget" in alert(machine(), settings, "https://hooks.example.com/x").problem


def test_the_engines_item_names_what_is_in_the_way() -> None:
    path = "/etc/docker/daemon.json"
    cases = {
        "no dockerd": machine(pid=""),
        "may not be read": machine(files={path: File(mode="600", content=None)}),
        "is no file": machine(odd=frozenset({path})),
        "not UTF-8": machine(files={path: File(mode="644", content=b"\xff\xfe{")}),
        "line 1, column 2": machine(files={path: File(mode="644", content=b"{,}")}),
    }
    for words, found in cases.items():
        item = guardrails.engine(found, VmSettings(), swarm=False, rootless=False, live=False)
        assert words in item.problem
        assert item.next_step
        assert not item.files
    assert "rootless" in guardrails.engine(machine(), VmSettings(), swarm=False, rootless=True, live=False).problem


def test_a_restart_that_is_still_to_come_is_said_every_time() -> None:
    first = guardrails.engine(machine(), VmSettings(), swarm=False, rootless=False, live=False)
    assert first.notes == (guardrails.RESTART,)
    files = {first.files[0].path: File(mode="644", content=first.files[0].content)}
    again = guardrails.engine(
        machine(files=files, restart_due=True), VmSettings(), swarm=False, rootless=False, live=True
    )
    assert (again.changes, again.notes) == ((), (guardrails.RESTART,))
    assert not guardrails.engine(machine(files=files), VmSettings(), swarm=False, rootless=False, live=True).notes
    unread = guardrails.engine(machine(files=files), VmSettings(), swarm=False, rootless=False, live=False)
    assert "has not read it" in unread.changes[0]
    assert not unread.files


@pytest.mark.parametrize(
    ("settings", "facts", "size"),
    [
        (VmSettings(), {}, 2048),
        (VmSettings(), {"memory": 900 * MEGABYTE}, 900),
        (VmSettings(), {"free": 5 * GIB}, 512),
        (VmSettings(), {"free": 1 * GIB}, "1024 MB are free"),
        (VmSettings(swap="512m"), {}, 512),
        (VmSettings(swap="1G"), {"free": GIB}, "1024 MB are free"),
        (VmSettings(), {"filesystem": "overlayfs"}, "does not work on overlayfs"),
        (VmSettings(swap_file="/mnt/x/s"), {"filesystem": ""}, "is not there"),
        (VmSettings(), {"swap_file": "abc."}, "is no swap file"),
        (VmSettings(), {"swap_file": "SWAPSPACE2."}, 0),
    ],
)
def test_how_large_the_swap_file_is(settings: VmSettings, facts: dict[str, object], size: int | str) -> None:
    item = swap.item(machine(**facts), settings)
    if isinstance(size, str):
        assert size in item.problem
        assert not item.changes
    else:
        assert item.make_swap == size
        assert {file.path for file in item.files} == {FSTAB, SYSCTL}


def test_the_line_in_fstab_is_there_once_and_all_else_stays() -> None:
    def lines(fstab: bytes) -> bytes | None:
        files = {FSTAB: File(mode="644", content=fstab)}
        return next((f.content for f in swap.item(machine(files=files), VmSettings()).files if f.path == FSTAB), None)

    entry = b"/swapfile none swap sw,nofail 0 0\n"
    assert lines(b"") == entry
    assert lines(b"# mine\n\t/dev/sda1 / ext4") == b"# mine\n\t/dev/sda1 / ext4\n" + entry
    assert lines(b"  /swapfile\tnone swap sw 0 0\n") is None
    assert lines(b"#/swapfile none swap sw 0 0\n") == b"#/swapfile none swap sw 0 0\n" + entry


def test_swap_that_is_there_is_enough() -> None:
    other = swap.item(machine(swaps=(Swap(path="/dev/sda2", size=GIB),)), VmSettings())
    assert other.make_swap is None
    assert [file.path for file in other.files] == [SYSCTL]
    first = swap.item(machine(), VmSettings())
    there = machine(
        swaps=(Swap(path="/swapfile", size=GIB),), files=written(first), swappiness=10, swap_file="SWAPSPACE2."
    )
    assert swap.item(there, VmSettings()) == Item(kind="swap", title="swap")


def test_a_swappiness_that_somebody_set_stays() -> None:
    item = swap.item(machine(swappiness=1, swappiness_set_in="/etc/sysctl.d/99-db.conf"), VmSettings())
    assert item.swappiness is None
    assert SYSCTL not in {file.path for file in item.files}
    assert "99-db.conf" in item.notes[0]


def test_no_swap_is_no_swap() -> None:
    item = swap.item(machine(), VmSettings(swap="none"))
    assert (item.changes, item.files, item.make_swap, item.swappiness) == ((), (), None, None)
