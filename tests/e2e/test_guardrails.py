"""`doit vm` on a VM that has what a bare Debian has: cron, a syslog, sudo, a disk of its own for the engine."""

import json
import os
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import require_vms
from tests.e2e.forge import Forge
from tests.e2e.remote import RemoteShop, opened, registry_door, said
from tests.e2e.vm import LAB, Vm, call, running_vm
from tests.integration.shop import Ran, lab_registry, until

pytestmark = pytest.mark.vm

DAEMON = "/etc/docker/daemon.json"
# Foreign keys, tabs, and a layout that nobody would choose.
ODD = (
    '{"data-root" :"/data/docker",\n\n\t"labels":[ "tier=test" ,\n  "of=lab"]\n   , "max-concurrent-downloads":4  }\n\n'
)
BUSYBOX = f"{lab_registry()}/base/busybox:1"
DATA_MB = 240
LOG_BYTES, LOG_FILES = 100_000, 2
SETTINGS = f'[hosts.prod.vm]\nlog_size = "{LOG_BYTES // 1000}k"\nlog_files = {LOG_FILES}\nswap = "16m"\n'
ITEMS = ["engine: log rotation, live-restore", "prune timer", "swap", "disk alert"]
LOG = "/var/log/messages"

_PREPARE = f"""set -e
mkdir -p /data /var/spool/cron/crontabs /etc/sudoers.d
truncate -s {DATA_MB}M /data.img && mkfs.ext4 -q /data.img && mount -o loop /data.img /data
printf '%s' "$1" >{DAEMON}
cron && busybox syslogd -O {LOG}
"""


def restart_engine(vm: Vm) -> None:
    """End the engine; whoever keeps the VM's services starts it again."""
    before = vm.inside("cat", "/run/docker.pid").stdout.strip()
    vm.inside("kill", before)

    def again() -> bool:
        now = vm.inside("cat", "/run/docker.pid", check=False).stdout.strip()
        return bool(now) and now != before and bool(vm.docker("info", "--format", "{{.ID}}", check=False).strip())

    until(again, "the engine answers again")


@pytest.fixture(scope="module")
def host() -> Iterator[Vm]:
    """Give a VM whose engine keeps its images on a small disk, and that may turn on swap."""
    require_vms()
    call(LAB, "install", "cron", "sudo", "xfsprogs", "btrfs-progs", "busybox-static", "curl", seconds=300)
    with running_vm(f"g{os.getpid()}", "--swap") as vm:
        try:
            if vm.inside("losetup", "--find", check=False).returncode:
                pytest.skip("this kernel gives no loop devices: there can be no disk in a file")
            vm.inside("sh", "-c", _PREPARE, "sh", ODD)
            restart_engine(vm)
            assert vm.docker("info", "--format", "{{.DockerRootDir}}").strip() == "/data/docker"
            yield vm
        finally:
            vm.inside(
                "sh", "-c", "for file in /swapfile /mnt/*/swapfile; do swapoff $file; done; umount /mnt/*", check=False
            )


@pytest.fixture(scope="module")
def deployed(host: Vm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteShop]:
    """Give a shop that runs there, with one service that has no cap."""
    with opened(host, tmp_path_factory.mktemp("shop"), "ae") as found:
        with found.compose() as compose:
            compose["services"]["e"]["mem_limit"] = 0
        found.commit("Take the cap of a service away")
        found.doit("deploy").ok()
        yield found


@pytest.fixture
def shop(deployed: RemoteShop) -> RemoteShop:
    """Give the shop as root deploys it."""
    deployed.configure(more=SETTINGS, user="root")
    return deployed


def states(ran: Ran) -> dict[str, str]:
    """Return the state of each item of the only host."""
    (found,) = ran.json["hosts"]
    return {row["item"]: row["state"] for row in found["rows"]}


def rows(ran: Ran) -> dict[str, Any]:
    (found,) = ran.json["hosts"]
    return {row["item"]: row for row in found["rows"]}


def started(vm: Vm) -> dict[str, str]:
    """Return when each container was started."""
    ids = vm.docker("ps", "-aq", "--no-trunc").split()
    return {i: vm.docker("inspect", "--format", "{{.State.StartedAt}} {{.RestartCount}}", i) for i in ids}


def files(vm: Vm) -> str:
    """Return what `doit vm` may have written, with times."""
    places = "/etc/docker /etc/onevm /etc/cron.d /etc/fstab /etc/sysctl.d /usr/local/lib/onevm /swapfile /var/backups"
    return vm.inside("sh", "-c", f"find {places} -type f -exec stat -c '%n %Y %a %s' {{}} + | sort").stdout


def test_the_second_time_nothing_changes_and_no_container_is_touched(shop: RemoteShop) -> None:
    vm = shop.vm
    before = started(vm)
    assert len(before) == 2
    assert states(shop.doit("vm:check", "format=json").ok()) == dict.fromkeys(ITEMS, "to change")
    assert vm.here(DAEMON).read_text() == ODD

    handshakes = vm.handshakes()
    first = shop.doit("vm", "format=json").ok()
    assert states(first) == dict.fromkeys(ITEMS, "changed")
    assert vm.handshakes() == handshakes + 1
    text = vm.here(DAEMON).read_text()
    logs = {"max-size": f"{LOG_BYTES // 1000}k", "max-file": str(LOG_FILES)}
    more = {"log-driver": "json-file", "log-opts": logs, "live-restore": True}
    assert json.loads(text) == json.loads(ODD) | more
    assert text.startswith(ODD.rstrip()[:-1].rstrip())
    assert vm.docker("info", "--format", "{{.LiveRestoreEnabled}}").strip() == "true"
    assert vm.inside("cat", "/proc/sys/vm/swappiness").stdout == "10\n"
    assert "/swapfile" in vm.inside("cat", "/proc/swaps").stdout
    assert vm.here("/etc/fstab").read_text().count("/swapfile") == 1
    assert "restart docker" in " ".join(rows(first)[ITEMS[0]]["notes"])
    (kept,) = vm.here("/var/backups/onevm").glob(f"*{DAEMON}")
    assert kept.read_text() == ODD

    there = files(vm)
    again = shop.doit("vm", "format=json").ok()
    assert states(again) == dict.fromkeys(ITEMS, "unchanged")
    assert files(vm) == there
    assert started(vm) == before
    (report,) = again.json["hosts"]
    assert [f"{shop.name}.e"] == [p["name"] for p in report["proposals"]]
    assert all(p["cap"] >= 32 and p["now"] < p["cap"] for p in report["proposals"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"debug": true,}\n', "line 1"),
        ('{"debgu": true}\n', "don't match any configuration option: debgu"),
    ],
)
def test_a_daemon_json_that_is_no_good_is_refused_untouched(shop: RemoteShop, text: str, words: str) -> None:
    vm = shop.vm
    good = vm.here(DAEMON).read_text()
    before = started(vm)
    vm.here(DAEMON).write_text(text)
    try:
        ran = shop.doit("vm", "format=json")
        assert ran.code == 1
        row = rows(ran)[ITEMS[0]]
        assert row["state"] == "failed"
        assert words in row["detail"]
        assert vm.here(DAEMON).read_text() == text
        assert [path.name for path in vm.here("/etc/docker").iterdir()] == ["daemon.json"]
        assert started(vm) == before
    finally:
        vm.here(DAEMON).write_text(good)


def test_without_root_it_says_what_needs_it_and_with_sudo_it_does_it(shop: RemoteShop) -> None:
    vm = shop.vm
    vm.inside("rm", "-f", "/etc/onevm/alert.conf", "/etc/fstab", "/etc/sudoers.d/deploy")
    there = files(vm)
    shop.configure(more=SETTINGS)
    ran = shop.doit("vm", "format=json")
    assert ran.code == 1
    alert = rows(ran)["disk alert"]
    assert alert["state"] == "failed"
    assert "user deploy is not, and may not `sudo -n`" in alert["detail"]
    assert "/etc/onevm/alert.conf" in alert["next_step"]
    assert files(vm) == there
    vm.inside("sh", "-c", "umask 337; echo 'deploy ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/deploy")
    ran = shop.doit("vm", "format=json").ok()
    assert (states(ran)["disk alert"], states(ran)["swap"]) == ("changed", "changed")
    assert set(states(shop.doit("vm", "format=json").ok()).values()) == {"unchanged"}


def timed_command(vm: Vm, name: str) -> list[str]:
    """Return what cron would start."""
    line = vm.here(f"/etc/cron.d/onevm-{name}").read_text().splitlines()[-1]
    _, user, command = line.partition(" root ")
    assert user
    return ["env", "-i", "sh", "-c", command.partition(">")[0]]


def images(vm: Vm) -> set[str]:
    listed = vm.docker("image", "ls", "-a", "--digests", "--format", "{{.Repository}}@{{.Digest}}").split()
    return {name for name in listed if "sha256:" in name}


def free(vm: Vm) -> int:
    return int(vm.inside("df", "-k", "--output=avail", "/data").stdout.split()[1])


@pytest.fixture
def thirty(host: Vm, tmp_path: Path) -> Iterator[tuple[RemoteShop, list[str], list[str], Any]]:
    """Give a shop with 30 releases, the newest of them deployed, its images, and the door to its registry."""
    with registry_door(host) as door, opened(host, tmp_path, "ae", door.host) as shop:
        shop.configure(more=SETTINGS.replace('swap = "16m"', 'swap = "none"'), user="root")
        file = shop.folder / "services.toml"
        file.write_text(file.read_text().replace('root = "', 'keep_releases = 40\nroot = "', 1))
        shas = [shop.sha]
        shop.doit("deploy").ok()
        shas.append(shop.change("a"))
        shop.doit("deploy").ok()
        built = Forge(lab_registry(), f"{shop.name}/{shop.name}-a")
        bought = Forge(lab_registry(), f"{shop.name}/bought")
        try:
            old = _recorded(shop, built, bought)
            host.inside("sh", "-c", 'printf "%s\\n" "$@" | xargs -n 1 -P 4 docker pull -q', "sh", *old)
            assert len(shop.releases()) == 29
            file.write_text(file.read_text().replace("keep_releases = 40", "keep_releases = 3"))
            shas.append(shop.change("a"))
            yield shop, shas, old, door
        finally:
            built.close()
            bought.close()


def _recorded(shop: RemoteShop, built: Forge, bought: Forge) -> list[str]:
    """Record 27 more releases, as they were deployed some time ago; their images, those that are not built first."""
    others = [f"{shop.registry}/{bought.repository}@{bought.image(2_000_000)}" for _ in range(9)]
    owns = []
    for number in range(27):
        own = built.image(500_000, {"dev.onevm.content-key": f"{number:064x}"})
        owns.append(f"{shop.registry}/{built.repository}@{own}")
        release = shop.current
        name = f"20250101T0000{number:02}.000Z-{number:07x}"
        release |= {"id": name, "created": "2025-01-01T00:00:00Z", "sha": f"{number:040x}"}
        release["services"]["a"] |= {"image": owns[-1]}
        release["services"]["e"] |= {"image": others[number // 3], "source": f"bought:{number // 3}"}
        folder = shop.home / "releases" / name
        folder.mkdir()
        (folder / "release.json").write_text(json.dumps(release, indent=2))
    return others + owns


def test_the_prune_timer_gives_space_back_and_spares_what_a_rollback_needs(
    thirty: tuple[RemoteShop, list[str], list[str], Any],
) -> None:
    shop, shas, old, door = thirty
    vm = shop.vm
    foreign = Forge(lab_registry(), f"{shop.name}/foreign")
    strange, used = f"{lab_registry()}/{foreign.repository}@{foreign.image(1000)}", old[0]
    vm.inside("docker", "pull", "-q", strange)
    vm.inside("docker", "create", "--name", "stopped", used, "/payload")
    try:
        shop.doit("vm", "format=json").ok()
        everything = images(vm)
        assert set(old) <= everything
        command = timed_command(vm, "prune")
        done = vm.inside(*command).stdout
        assert images(vm) == everything, "30 releases are retained"
        assert "removed 0 images" in done

        shop.doit("deploy").ok()
        kept = {service["image"] for release in shop.releases() for service in release["services"].values()}
        assert len(shop.releases()) == 3
        left = set(old) & images(vm)
        assert len(left) == 9, "what Onevm did not build no deploy removes"
        before = free(vm)
        # A release that is being deployed has no record yet, but its files.
        staged = shop.home / "releases" / "20270101T000000.000Z-abcdef0"
        staged.mkdir()
        (staged / "onevm.yaml").write_text(f'services:\n  "a":\n    image: "{old[1]}"\n')
        done = vm.inside(*command).stdout
        staged.joinpath("onevm.yaml").unlink()
        staged.rmdir()
        spared = {used, old[1]}
        assert f"removed {len(left - spared)} images" in done
        assert images(vm) == (everything | kept) - (set(old) - spared)
        assert strange in images(vm)
        assert free(vm) - before > 12_000

        door.shut()
        assert len(set(shas)) == 3
        for sha in reversed(shas[:-1]):
            shop.doit("rollback", f"sha={sha}").ok()
            assert {c.image for c in shop.running().values()} <= kept
    finally:
        vm.docker("rm", "-f", "stopped", check=False)
        foreign.close()


def test_the_prune_timer_removes_nothing_where_it_cannot_see_what_is_retained(shop: RemoteShop) -> None:
    vm = shop.vm
    shop.doit("vm", "format=json").ok()
    command = timed_command(vm, "prune")
    file = next(shop.home.glob("releases/*/release.json"))
    good = file.read_text()
    forge = Forge(lab_registry(), f"{shop.name}/{shop.name}-a")
    left = f"{shop.registry}/{forge.repository}@{forge.image(1000, {'dev.onevm.content-key': 'a' * 64})}"
    vm.inside("docker", "pull", "-q", left)
    try:
        for wrong in (good[: len(good) // 2], good.replace('"schema": 1', '"schema": 2')):
            file.write_text(wrong)
            done = vm.inside(*command, check=False)
            assert (done.returncode, "nothing was removed" in done.stderr) == (1, True)
        file.write_text(good)
        vm.inside("mv", vm.root, f"{vm.root}.away")
        done = vm.inside(*command, check=False)
        vm.inside("mv", f"{vm.root}.away", vm.root)
        assert (done.returncode, "is a disk missing" in done.stderr) == (1, True)
        busy = vm.inside("flock", str(file.parents[2] / "lock").replace(str(shop.root), vm.root), *command)
        assert "a deploy is under way" in busy.stdout
        assert left in images(vm)
        assert "removed" in vm.inside(*command).stdout
        assert left not in images(vm)
    finally:
        file.write_text(good)
        forge.close()


def test_a_container_that_spams_stays_under_its_cap_and_the_engines_restart_stops_nobody(shop: RemoteShop) -> None:
    vm = shop.vm
    shop.doit("vm", "format=json").ok()
    before = started(vm)
    restart_engine(vm)
    assert started(vm) == before
    assert not rows(shop.doit("vm:check", "format=json").ok())[ITEMS[0]]["notes"], (
        "nothing waits for a restart any more"
    )
    name = f"spam-{uuid.uuid4().hex[:8]}"
    words = "yes 'a line of a log that nobody reads, written far too often' | head -n 30000; echo the end; sleep 999"
    vm.docker("run", "-d", "--name", name, BUSYBOX, "sh", "-c", words)
    try:
        until(lambda: "the end" in vm.docker("logs", "--tail", "1", name), "it has written everything")
        path = vm.docker("inspect", "--format", "{{.LogPath}}", name).strip()
        sizes = vm.inside("sh", "-c", f"stat -c %s {path}*").stdout.split()
        assert 1 < len(sizes) <= LOG_FILES
        # A file is closed after the line that made it full.
        assert all(int(size) < LOG_BYTES + 1000 for size in sizes)
    finally:
        vm.docker("rm", "-f", name)


def test_a_hog_with_a_cap_is_killed_alone(shop: RemoteShop) -> None:
    vm = shop.vm
    before = started(vm)
    name = f"hog-{uuid.uuid4().hex[:8]}"
    cap = ("--memory", "32m", "--memory-swap", "32m")
    vm.docker("run", "-d", "--name", name, *cap, BUSYBOX, "dd", "if=/dev/zero", "of=/dev/null", "bs=300M")
    try:
        until(lambda: "exited" in vm.docker("inspect", "--format", "{{.State.Status}}", name), "it was killed")
        assert vm.docker("inspect", "--format", "{{.State.OOMKilled}} {{.State.ExitCode}}", name).split() == [
            "true",
            "137",
        ]
    finally:
        vm.docker("rm", "-f", name)
    assert started(vm) == before


class Hooks(HTTPServer):
    """Takes what a webhook is sent; `broken` refuses it."""

    got: list[dict[str, Any]]
    broken = False


class _Hook(BaseHTTPRequestHandler):
    server: Hooks

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append({**json.loads(body), "to": self.path})
        self.send_response(500 if self.server.broken else 200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hooks(host: Vm) -> Iterator[Hooks]:
    server = Hooks((f"{host.address.rsplit('.', 1)[0]}.1", 0), _Hook)
    server.got = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_disk_that_gets_full_is_told_once_and_again_when_it_has_recovered(shop: RemoteShop, hooks: Hooks) -> None:
    vm = shop.vm
    command = r'''"printf '%s %s\n' \"$ONEVM_PATH\" $ONEVM_PERCENT >>/var/told"'''
    more = f'{SETTINGS}alert_command = {command}\nalert_webhook_env = "HOOK"\n'
    shop.configure(more=more, user="root")
    address, port = hooks.server_address[:2]
    secret = f"http://{address!s}:{port}/{uuid.uuid4().hex}"
    ran = shop.doit("vm", "format=json", env={"HOOK": secret}).ok()
    assert states(ran)["disk alert"] == "changed"
    assert secret not in ran.out + ran.err
    assert vm.here("/etc/onevm/alert-webhook").stat().st_mode & 0o777 == 0o600
    assert states(shop.doit("vm", "format=json").ok())["disk alert"] == "unchanged"
    disk = "/mnt/small"
    vm.inside(
        "sh", "-c", f"mkdir -p {disk}; truncate -s 40M /small; mkfs.ext4 -q -m 0 /small; mount -o loop /small {disk}"
    )
    alert = timed_command(vm, "alert")

    def fill(percent: int) -> None:
        """Use as much of the disk; df(1) rounds up."""
        vm.inside(
            "sh",
            "-c",
            f"rm -f {disk}/file; set -- $(df -k --output=used,avail {disk} | tail -n 1);"
            f" fallocate -l $((($1 + $2) * {percent} / 100 - $1 - 64))k {disk}/file; sync {disk}",
        )
        assert vm.inside("df", "--output=pcent", disk).stdout.split()[1] == f"{percent}%"

    def alerts() -> tuple[int, int, int]:
        logged = [
            line for line in vm.here(LOG).read_text().splitlines() if "onevm-alert" in line and f"{disk} of" in line
        ]
        told = vm.inside("sh", "-c", "cat /var/told 2>/dev/null || true").stdout.splitlines()
        called = [got for got in hooks.got if got["to"] == f"/{secret.rpartition('/')[2]}" and disk in got["text"]]
        return len(logged), len(called), len([line for line in told if disk in line])

    try:
        fill(79)
        vm.inside(*alert)
        assert alerts() == (0, 0, 0)
        fill(81)
        for _ in range(3):
            vm.inside(*alert)
        assert alerts() == (1, 1, 1)
        assert (hooks.got[-1]["percent"], hooks.got[-1]["host"]) == (81, vm.name)
        fill(78)
        vm.inside(*alert)
        fill(81)
        vm.inside(*alert)
        assert alerts() == (1, 1, 1), "it has not recovered, it only sways"
        fill(70)
        vm.inside(*alert)
        hooks.broken = True
        fill(90)
        vm.inside(*alert)
        hooks.broken = False
        for _ in range(3):
            vm.inside(*alert)
        assert alerts() == (2, 3, 2), "a webhook that failed is called again, the command is not"
        assert secret not in vm.here(LOG).read_text()
    finally:
        vm.inside("sh", "-c", f"umount {disk}; rm -rf /small /var/told /var/lib/onevm/alerts")


@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_swap_on_other_file_systems(shop: RemoteShop, kind: str) -> None:
    vm = shop.vm
    place = f"/mnt/{kind}"
    # The file of the first test may be on: then there would be swap, and no need for more.
    vm.inside(
        "sh",
        "-c",
        f"swapoff /swapfile; mkdir -p {place}; truncate -s 320M /{kind}.img; mkfs.{kind} -q /{kind}.img",
        check=False,
    )
    vm.inside("mount", "-o", "loop", f"/{kind}.img", place)
    try:
        shop.configure(more=SETTINGS + f'swap_file = "{place}/swapfile"\n', user="root")
        ran = shop.doit("vm", "format=json").ok()
        assert states(ran)["swap"] == "changed"
        assert f"on {kind}" in rows(ran)["swap"]["detail"]
        assert f"{place}/swapfile" in vm.inside("cat", "/proc/swaps").stdout
        assert vm.here("/etc/fstab").read_text().count(f"{place}/swapfile ") == 1
        # After a restart of the host that did not turn it on.
        vm.inside("swapoff", f"{place}/swapfile")
        assert rows(shop.doit("vm", "format=json").ok())["swap"]["detail"] == f"turn {place}/swapfile on"
        assert f"{place}/swapfile" in vm.inside("cat", "/proc/swaps").stdout
    finally:
        vm.inside(
            "sh", "-c", f"swapoff {place}/swapfile; umount {place}; rm -f /{kind}.img; rmdir {place}", check=False
        )


def test_a_deploy_that_does_not_fit_is_stopped_before_the_pull(shop: RemoteShop) -> None:
    vm = shop.vm
    before, there, releases = started(vm), images(vm), shop.releases()
    forge = Forge(lab_registry(), f"{shop.name}/large")

    def use(digest: str) -> None:
        with shop.compose() as compose:
            compose["services"]["e"]["image"] = f"{lab_registry()}/{forge.repository}@{digest}"
        shop.commit(f"Use {digest}")

    try:
        use(forge.image(80_000_000))
        ran = shop.doit("deploy")
        assert ran.code == 1
        assert "has no room for its new images: 81 MB to pull, about 281 MB" in said(ran)
        assert "MB are free at /data/docker" in said(ran)
        assert "nothing was touched" in said(ran)
        assert (started(vm), images(vm), shop.releases()) == (before, there, releases)

        base = forge.image(20_000_000, base="base/busybox:1")
        use(base)
        shop.doit("deploy").ok()
        vm.inside("sh", "-c", "fallocate -l $(($(df -k --output=avail /data | tail -n 1) - 50000))k /data/filler")
        use(forge.image(1_000_000, base=f"{forge.repository}@{base}"))
        shop.doit("deploy").ok()
        assert forge.made[-1] in shop.running()["e"].image, "of its 23 MB, the host has 22"
    finally:
        vm.inside("rm", "-f", "/data/filler")
        forge.close()
