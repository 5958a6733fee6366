"""While a stack is deployed to it, a VM builds nothing, and needs no more memory than its new containers do."""

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.remote import RemoteShop, opened
from tests.e2e.sampler import Process, Sampled, all_processes, below, memory_of, sampling
from tests.e2e.vm import Vm, call
from tests.integration.shop import lab_registry, until

pytestmark = pytest.mark.vm

MIB = 1 << 20
# Beside the new containers, what a deploy runs on a VM for a moment: the Compose command, shells and SSH sessions, an
# engine that unpacks layers; and for each container that begins, `runc` and the engine's helper for its network.
# Measured: 45 MiB for one container, 75 MiB for three.
MOMENT = 64 * MIB
MOMENT_OF_ONE = 32 * MIB
SHIM = "containerd-shim"
TOOLS = re.compile(
    r"(cc1?|cc1plus|c\+\+|gcc|g\+\+|clang|collect2|ld|make|cmake|ninja|rustc|cargo|go|javac|mvn|gradle|tsc|node-gyp|"
    r"np[mx]|yarn|pnpm|pip[\d.]*|uv|poetry|gem|bundle|composer|apt|apt-get|dpkg|apk|dnf|yum|buildkitd|buildctl)"
)
# BuildKit inside the engine runs each step of a build from a folder of its own.
BUILDS = re.compile(r"/buildkit/|\bdocker(-buildx)? (build|bake|buildx|image build)\b|\bcompose .* build\b")
COMPILES = "RUN printf '#!/bin/sh\\nsleep 0.3\\n' >/tmp/npm && chmod +x /tmp/npm && /tmp/npm {}"


def working(processes: Iterable[Process]) -> list[Process]:
    """Return those that compile, install or build."""
    return [
        process for process in processes if any(map(TOOLS.fullmatch, process.programs)) or BUILDS.search(process.line)
    ]


@dataclass(frozen=True)
class Deploy:
    """A deploy that was watched.

    Attributes:
        sampled: what was seen.
        before: bytes of RAM that the VM's processes had before.
        started: how many containers it started.
        own: bytes of RAM that those had afterwards.
    """

    sampled: Sampled
    before: int
    started: int
    own: int

    @staticmethod
    def of(shop: RemoteShop) -> "Deploy":
        vm = shop.vm.pid()
        old = {container.id for container in shop.running().values()}
        before = memory_of(below(vm, all_processes()))
        with sampling(vm) as sampled:
            shop.doit("deploy").ok()
        processes = all_processes()
        new = {container.id for container in shop.running().values()} - old
        shims = [p for p in below(vm, processes) if p.name == SHIM and new & set(p.line.split())]
        assert len(shims) == len(new) > 0
        # Health checks come and go.
        own = [p for shim in shims for p in below(shim.pid, processes) if not p.name.startswith("runc")]
        return Deploy(sampled, before, len(new), memory_of(own))


@pytest.fixture(scope="module")
def shop(vm: Vm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteShop]:
    with opened(vm, tmp_path_factory.mktemp("quiet"), "abe") as found:
        found.dockerfile("b", COMPILES.format(found.name))
        found.commit("Compile")
        yield found


@pytest.fixture(scope="module")
def deploys(shop: RemoteShop) -> dict[str, Deploy]:
    first = Deploy.of(shop)
    shop.change("b")
    return {"first": first, "change": Deploy.of(shop)}


@pytest.mark.parametrize("which", ["first", "change"])
def test_what_is_compiled_for_a_deploy_is_compiled_here_and_nothing_on_the_vm(
    shop: RemoteShop, deploys: dict[str, Deploy], which: str
) -> None:
    sampled = deploys[which].sampled
    assert working(sampled.there.values()) == []
    assert [process for process in working(sampled.here.values()) if shop.name in process.line]
    # It was looked at: the containers were started while it was.
    assert any("compose" in line and " up " in line for _, line in sampled.there)
    assert {"runc", "httpd"} <= {name for name, _ in sampled.there}


@pytest.mark.parametrize("which", ["first", "change"])
def test_a_deploy_takes_no_more_memory_of_the_vm_than_its_new_containers_do(
    deploys: dict[str, Deploy], which: str
) -> None:
    deploy = deploys[which]
    most = deploy.before + deploy.own + MOMENT + deploy.started * MOMENT_OF_ONE
    assert memory_of(deploy.sampled.peak) <= most, deploy.sampled.peak


def test_a_build_on_the_vm_would_be_seen(shop: RemoteShop, tmp_path: Path) -> None:
    shutil.copy(shop.repo / "b/version", tmp_path)
    start = f"FROM {lab_registry()}/base/busybox:1\n"
    (tmp_path / "Dockerfile").write_text(f"{start}{COMPILES.format(shop.name)}-there\n")
    socket = f"unix:///proc/{shop.vm.pid()}/root/run/docker.sock"
    with sampling(shop.vm.pid()) as sampled:
        call("docker", "-H", socket, "build", "--no-cache", "--output", "type=cacheonly", tmp_path)
    found = working(sampled.there.values())
    assert any("npm" in process.programs and f"{shop.name}-there" in process.line for process in found)
    assert any("/buildkit/" in process.line for process in found)


def test_a_compiler_that_somebody_runs_on_the_vm_would_be_seen(vm: Vm) -> None:
    with sampling(vm.pid()) as sampled:
        number = vm.run("cd && cp /bin/sleep cc1 && { ./cc1 60 >/dev/null 2>&1 & echo $!; }")
        until(lambda: working(list(sampled.there.values())), "it is seen")
        vm.run(f"cd && kill {number.strip()} && rm cc1")
    assert [process.name for process in working(sampled.there.values())] == ["cc1"]


def test_memory_that_something_takes_on_the_vm_for_a_moment_would_be_seen(vm: Vm) -> None:
    allowed = MOMENT + MOMENT_OF_ONE
    before = memory_of(below(vm.pid(), all_processes()))
    with sampling(vm.pid()) as sampled:
        vm.run(f"dd if=/dev/zero of=/dev/null bs={2 * allowed} count=20")
    assert memory_of(sampled.peak) > before + allowed
