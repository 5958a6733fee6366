"""What `scripts/lab vm` promises to those who deploy to one."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.e2e.conftest import require_vms
from tests.e2e.vm import LAB, PROJECT, Vm, call, running_vm
from tests.integration.shop import until

pytestmark = pytest.mark.vm

REGISTRY = os.environ.get("ONEVM_LAB_REGISTRY", "127.0.0.1:5055")
BUSYBOX = f"{REGISTRY}/base/busybox"
QUICKLY = ("-o", "ConnectTimeout=2")
SSH_FAILED = 255
TIMED_OUT = 124


@pytest.fixture
def own_vm() -> Iterator[Vm]:
    """Give a VM that a test may break."""
    require_vms()
    with running_vm(f"own-{uuid.uuid4().hex[:8]}") as found:
        yield found


def engine_here() -> str:
    return call("docker", "info", "--format", "{{.ID}}").stdout.strip()


def digest() -> str:
    answer = requests.head(
        f"http://{REGISTRY}/v2/base/busybox/manifests/1",
        headers={
            "Accept": "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        },
        timeout=10,
    )
    answer.raise_for_status()
    return answer.headers["Docker-Content-Digest"]


def reaches(vm: Vm, address: str, port: int) -> bool:
    """Whether a TCP connection from the VM comes about within two seconds."""
    done = vm.inside("timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}", check=False)
    assert done.returncode in {0, 1, TIMED_OUT}, done.stderr
    return done.returncode == 0


def processes(vm: Vm) -> set[int]:
    """Return this machine's pids of all that runs for the VM."""
    space = Path(f"/proc/{vm.pid()}/ns/pid").readlink()
    records = [vm.state / f"{part}.pid" for part in ("start", "forward", "line")]
    # There is a line only while the link is slow, on a kernel without netem.
    found = {int(record.read_text().split()[0]) for record in records if record.exists()}
    for entry in Path("/proc").iterdir():
        # Processes may end meanwhile, and the machine's own first one may be nobody's business.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "ns" / "pid").readlink() == space:
                found.add(int(entry.name))
    return found


def link(vm: Vm) -> Path:
    return Path("/sys/class/net") / f"onevm{(vm.state / 'link').read_text().strip()}"


def alive(pids: set[int]) -> set[int]:
    """Return those that run; one that ended and waits for its parent's attention does not."""
    found = set()
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "\nState:\tZ" not in status:
            found.add(pid)
    return found


def left_behind(vm: Vm, pids: set[int], veth: Path) -> list[object]:
    groups = list(Path("/sys/fs/cgroup").glob(veth.name)) + list(Path("/sys/fs/cgroup").glob(f"*/{veth.name}"))
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(vm.state) in line]
    links = veth.parent.glob(f"{veth.name}-*")
    return [*alive(pids), *(path for path in (vm.state, veth) if path.exists()), *links, *groups, *mounts]


def test_ssh_gets_in_with_the_printed_configuration_and_nothing_else(vm: Vm) -> None:
    before = vm.handshakes()
    assert vm.run("id -un; hostname").split() == ["deploy", vm.name]
    assert vm.run("id -un", user="root").split() == ["root"]
    assert vm.handshakes() == before + 2
    assert vm.run(f"touch {vm.root}/mine && stat -c %U {vm.root}/mine && rm {vm.root}/mine").split() == ["deploy"]


def test_its_engine_is_another_than_this_machines(vm: Vm) -> None:
    identity = vm.run("docker info --format '{{.ID}}'").strip()
    assert identity == vm.docker("info", "--format", "{{.ID}}").strip()
    assert identity != engine_here()


def test_the_registry_has_the_same_address_there_as_here(vm: Vm) -> None:
    reference = f"{BUSYBOX}@{digest()}"
    vm.run(f"docker pull --quiet {reference}")
    assert vm.run(f"docker run --rm {reference} echo it runs") == "it runs\n"


def test_a_published_port_answers_at_its_address(vm: Vm) -> None:
    name = f"web-{uuid.uuid4().hex[:8]}"
    vm.docker("run", "-d", "--name", name, "-p", "8000", f"{BUSYBOX}:1", "httpd", "-f", "-p", "8000", "-h", "/etc")
    try:
        port = vm.docker("port", name, "8000").splitlines()[0].rsplit(":", 1)[1]

        def listens() -> bool:
            try:
                return "root:" in requests.get(f"http://{vm.address}:{port}/passwd", timeout=10).text
            except requests.ConnectionError:
                # The container has started, the server in it not yet.
                return False

        until(listens, "the published port answers")
    finally:
        vm.docker("rm", "-f", name)


def test_a_user_outside_the_group_is_refused_the_engine(vm: Vm) -> None:
    refused = vm.ssh("docker version", user="nodocker", check=False)
    assert refused.returncode == 1
    assert "permission denied" in refused.stderr


def test_nothing_is_there_that_was_not_brought(vm: Vm) -> None:
    assert vm.run(f"ls -A {PROJECT} ~ /tmp {vm.root} 2>/dev/null | grep -v :").split() == []
    assert vm.ssh("getent passwd deploy").stdout != call("getent", "passwd", "deploy", check=False).stdout


def test_what_it_writes_over_the_machines_files_stays_its_own(vm: Vm) -> None:
    path = f"/usr/local/bin/{uuid.uuid4().hex}"
    vm.inside("ln", "-s", "/bin/true", path)
    vm.run(path)
    assert vm.here(path).is_symlink()
    assert not Path(path).is_symlink()


def test_what_the_kernel_has_once_is_not_changed_from_there(vm: Vm) -> None:
    swappiness = Path("/proc/sys/vm/swappiness")
    before = swappiness.read_text()
    vm.run(
        "dd if=/dev/zero of=/more-swap bs=64k count=16 2>&1 && chmod 600 /more-swap && mkswap /more-swap", user="root"
    )
    try:
        for refused in (
            vm.ssh("swapon /more-swap", user="root", check=False),
            vm.inside("swapon", "/more-swap", check=False),
        ):
            assert "Operation not permitted" in refused.stderr
        assert vm.run("echo 7 >/proc/sys/vm/swappiness; cat /proc/sys/vm/swappiness", user="root") == "7\n"
        vm.inside("sh", "-c", "mkdir /dev/log && grep -c . /etc/fstab; ls /etc/cron.d")
        assert not Path("/dev/log").is_dir()
    finally:
        vm.inside("sh", "-c", f"rm -rf /more-swap /dev/log; echo {before.strip()} >/proc/sys/vm/swappiness")
    # Other VMs may turn on swap of their own meanwhile.
    assert "/more-swap" not in Path("/proc/swaps").read_text()
    assert swappiness.read_text() == before


def test_a_cut_stops_everything_and_healing_mends_it(vm: Vm) -> None:
    gateway = vm.address.rsplit(".", 1)[0] + ".1"
    port = int(REGISTRY.rsplit(":", 1)[1])
    assert reaches(vm, gateway, port)
    vm.cut()
    assert vm.ssh("true", options=QUICKLY, check=False).returncode == SSH_FAILED
    assert not reaches(vm, gateway, port)
    assert vm.docker("info", "--format", "{{.ID}}").strip()
    vm.heal()
    assert vm.ssh("echo back", options=QUICKLY).stdout == "back\n"
    assert reaches(vm, gateway, port)


def test_a_connection_outlives_a_short_cut(vm: Vm) -> None:
    with subprocess.Popen(
        ["ssh", "-F", str(vm.ssh_config), vm.name, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as ssh:
        assert ssh.stdin
        assert ssh.stdout
        ssh.stdin.write(b"before\n")
        ssh.stdin.flush()
        assert ssh.stdout.readline() == b"before\n"
        vm.cut()
        ssh.stdin.write(b"during\n")
        ssh.stdin.close()
        vm.heal()
        assert ssh.stdout.read() == b"during\n"


def test_a_limited_link_still_carries_everything(vm: Vm) -> None:
    vm.slow(rate="20mbit")
    assert "tbf" in call("tc", "qdisc", "show", "dev", link(vm).name).stdout
    assert len(vm.run("head -c 500000 /dev/zero | tr '\\0' x")) == 500_000
    vm.fast()
    assert "tbf" not in call("tc", "qdisc", "show", "dev", link(vm).name).stdout


def handshake(vm: Vm) -> float:
    """Return the seconds in which a TCP connection comes about: a round trip."""
    began = time.monotonic()
    socket.create_connection((vm.address, 22), timeout=30).close()
    return time.monotonic() - began


def delays(vm: Vm) -> list[str]:
    """Return what delays packets now, at this machine's end of the link."""
    rules = call("tc", "qdisc", "show", "dev", link(vm).name).stdout.splitlines()
    found = [rule for rule in rules if "netem" in rule or "clsact" in rule]
    return [*found, *(path.name for path in link(vm).parent.glob(f"{link(vm).name}-*"))]


def delay(vm: Vm, **how: str) -> None:
    """Delay packets, where this machine can."""
    done = vm.slow(**how, check=False)
    if "a delay needs a kernel" in done.stderr:
        pytest.skip("this machine delays no packets")
    assert done.returncode == 0, done.stderr


def test_a_delayed_link_takes_its_time_each_way_and_carries_everything(vm: Vm) -> None:
    assert delays(vm) == []
    delay(vm, delay="40ms", rate="20mbit")
    assert delays(vm)
    assert handshake(vm) >= 0.08
    assert len(vm.run("head -c 500000 /dev/zero | tr '\\0' x")) == 500_000
    delay(vm, delay="20ms")
    assert handshake(vm) >= 0.04
    vm.fast()
    assert delays(vm) == []
    assert not list(vm.state.glob("line.pid"))
    assert vm.run("echo here") == "here\n"


def test_a_connection_lives_on_when_its_link_becomes_slow_and_fast_and_is_cut_meanwhile(vm: Vm) -> None:
    with subprocess.Popen(
        ["ssh", "-F", str(vm.ssh_config), vm.name, "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as ssh:
        assert ssh.stdin
        assert ssh.stdout
        ssh.stdin.write(b"before\n")
        assert ssh.stdout.readline() == b"before\n"
        delay(vm, delay="30ms")
        ssh.stdin.write(b"slow\n")
        assert ssh.stdout.readline() == b"slow\n"
        vm.cut()
        ssh.stdin.write(b"cut\n")
        assert vm.ssh("true", options=QUICKLY, check=False).returncode == SSH_FAILED
        vm.heal()
        assert ssh.stdout.readline() == b"cut\n"
        vm.fast()
        ssh.stdin.write(b"fast\n")
        assert ssh.stdout.readline() == b"fast\n"
        ssh.stdin.close()


def test_a_delay_that_is_none_is_refused_and_leaves_the_link_as_it_was(vm: Vm) -> None:
    refused = vm.slow(delay="soon", check=False)
    assert refused.returncode == 1
    assert "soon" in refused.stderr
    assert delays(vm) == []


def test_two_vms_are_strangers(vm: Vm, other_vm: Vm) -> None:
    assert vm.address != other_vm.address
    assert {vm.run("hostname").strip(), other_vm.run("hostname").strip()} == {vm.name, other_vm.name}
    ids = {found.docker("info", "--format", "{{.ID}}") for found in (vm, other_vm)}
    assert len(ids) == 2
    assert "containerd.snapshotter" in other_vm.docker("info", "--format", "{{.DriverStatus}}")
    assert other_vm.run(f"docker run --rm --pull=always --quiet {BUSYBOX}:1 echo it runs") == "it runs\n"
    assert not reaches(vm, other_vm.address, 22)
    vm.cut()
    assert other_vm.run("echo here") == "here\n"


def test_up_again_changes_nothing(vm: Vm) -> None:
    before = (vm.pid(), vm.ssh_config.read_text())
    vm.boot()
    assert (vm.pid(), vm.ssh_config.read_text()) == before


def test_up_mends_a_link_whose_line_was_killed(vm: Vm) -> None:
    delay(vm, delay="5ms")
    if not (vm.state / "line.pid").exists():
        pytest.skip("this kernel delays packets itself")
    os.kill(int((vm.state / "line.pid").read_text().split()[0]), signal.SIGKILL)
    vm.boot()
    assert delays(vm) == []
    assert vm.run("echo here") == "here\n"


def test_after_a_power_cut_it_boots_with_what_it_had(own_vm: Vm) -> None:
    own_vm.run(f"echo kept >{own_vm.root}/file")
    own_vm.docker("run", "-d", "--restart=always", "--name", "again", f"{BUSYBOX}:1", "sleep", "1000")
    delay(own_vm, delay="5ms")
    pids = processes(own_vm) - {int((own_vm.state / "forward.pid").read_text().split()[0])}
    assert len(pids) > 5
    os.kill(own_vm.pid(), signal.SIGKILL)
    assert call(LAB, "vm", "status", check=False).returncode == 1
    own_vm.boot()
    assert alive(pids) == set()
    assert delays(own_vm) == []
    assert own_vm.run(f"cat {own_vm.root}/file") == "kept\n"
    assert own_vm.docker("ps", "--format", "{{.Names}}") == "again\n"


@pytest.mark.parametrize("killed", [(), ("start",), ("init", "forward"), ("forward", "line")])
def test_down_leaves_nothing_whatever_was_killed(own_vm: Vm, killed: tuple[str, ...]) -> None:
    users = Path("/etc/passwd").read_text(encoding="utf-8")
    engine = engine_here()
    own_vm.docker("run", "-d", "--name", "left", f"{BUSYBOX}:1", "sleep", "1000")
    delay(own_vm, delay="5ms")
    pids, veth = processes(own_vm), link(own_vm)
    assert alive(pids) == pids
    for record in (own_vm.state / f"{part}.pid" for part in killed):
        if record.name != "line.pid" or record.exists():
            os.kill(int(record.read_text().split()[0]), signal.SIGKILL)
    call(LAB, "vm", "down", own_vm.name)
    assert left_behind(own_vm, pids, veth) == []
    call(LAB, "vm", "down", own_vm.name)
    assert Path("/etc/passwd").read_text(encoding="utf-8") == users
    assert engine_here() == engine


@pytest.fixture
def stranger() -> Iterator[int]:
    """Give the pid of a process that is none of the lab's."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process.pid
        process.kill()


def test_a_stale_record_ends_nobody_else(own_vm: Vm, stranger: int) -> None:
    pids, veth = processes(own_vm), link(own_vm)
    record = own_vm.state / "forward.pid"
    forward = int(record.read_text().split()[0])
    # As after a restart of the machine: the pid is another program's now.
    record.write_text(f"{stranger} 1\n")
    call(LAB, "vm", "down", own_vm.name)
    assert alive({stranger}) == {stranger}
    os.kill(forward, signal.SIGTERM)
    assert left_behind(own_vm, pids - {forward}, veth) == []
