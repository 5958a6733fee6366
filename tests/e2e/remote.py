"""A shop of tests/integration that is deployed to a VM instead of this machine."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from tests.e2e.vm import PROJECT, Vm
from tests.integration.registries import free_port
from tests.integration.shop import Container, Ran, Shop, lab_registry, until

FORWARD = PROJECT / "scripts" / "lib" / "vm" / "forward.py"


@dataclass(kw_only=True)
class RemoteShop(Shop):
    """One stack whose host is a VM: built here, run there.

    Attributes:
        vm: the VM.
    """

    vm: Vm
    host: ClassVar[str] = "prod"

    def create(self) -> "RemoteShop":
        """Copy the stack, commit it and write services.toml; the VM's ssh_config is in the environment."""
        self.root = self.vm.here(self.vm.root)
        self.env |= self.vm.environment
        super().create()
        return self

    def configure(self, stack: str = "", more: str = "", name: str = "services.toml", *, user: str = "deploy") -> Path:
        """Write services.toml: `stack` is more for the stack's section, `more` comes after it."""
        file = self.folder / name
        file.write_text(
            f'[registry]\nurl = "{self.registry}/{self.team}"\n'
            f'[hosts.{self.host}]\naddress = "ssh://{user}@{self.vm.name}"\nroot = "{self.vm.root}"\n'
            f'[stacks.{self.name}]\npath = "repo"\nhost = "{self.host}"\n{stack}\n{more}\n'
        )
        return file

    def elsewhere(self, folder: Path) -> "RemoteShop":
        """Return the same stack in a fresh clone, as another person has it."""
        other = RemoteShop(folder, self.services, self.registry, self.name, self.root, vm=self.vm)
        other.env |= self.env
        shutil.copytree(self.repo, other.repo, symlinks=True)
        other.configure()
        return other

    def engine(self, *args: str) -> str:
        """Ask the VM's engine."""
        # What vanishes between two questions is no failure.
        return self.vm.docker(*args, check=args[0] != "inspect")

    def change(self, service: str = "b", text: str = "") -> str:
        """Commit a new version of a service; the commit's sha."""
        self.write(f"{service}/version", f"{text or f'{service} after {self.sha}'}\n")
        return self.commit(f"Change {service}")

    @property
    def place(self) -> str:
        """The stack's folder as the VM calls it."""
        return f"{self.vm.root}/{self.name}"

    def status(self) -> Any:
        """Return what `doit status` says of the stack."""
        (stack,) = self.doit("status", "format=json").ok().json["stacks"]
        return stack

    def planned(self) -> list[str]:
        """Return the operations that `doit plan` shows."""
        (stack,) = self.doit("plan", "format=json").ok().json["stacks"]
        return [f"{op['verb']} {op['service']}" for op in stack["operations"]]

    def close(self) -> None:
        """Take away everything, on the VM too."""
        super().close()
        shutil.rmtree(self.home, ignore_errors=True)


@dataclass(frozen=True)
class Moment:
    """What was there at one moment."""

    containers: dict[str, Container]
    tags: dict[str, dict[str, str]]
    files: dict[str, object]
    handshakes: int

    @staticmethod
    def of(shop: RemoteShop) -> "Moment":
        files = {name: what for name, what in shop.host_files().items() if name.startswith(f"{shop.name}/")}
        # Who waits or takes it opens the lock; nothing else of it counts.
        files = {name: what for name, what in files.items() if not name.startswith(f"{shop.name}/lock")}
        return Moment(shop.running(), shop.all_tags(), files, shop.vm.handshakes())


@dataclass(frozen=True)
class Step:
    """A command with what was there before and after."""

    ran: Ran
    before: Moment
    after: Moment

    @staticmethod
    def of(shop: RemoteShop, *args: str) -> "Step":
        before = Moment.of(shop)
        return Step(shop.doit(*args), before, Moment.of(shop))

    @property
    def handshakes(self) -> int:
        return self.after.handshakes - self.before.handshakes

    @property
    def recreated(self) -> set[str]:
        """The services whose container is another one, or was started again."""
        return {name for name, c in self.after.containers.items() if c != self.before.containers.get(name)}

    def check_nothing_changed(self) -> None:
        assert self.after.containers == self.before.containers
        assert self.after.files == self.before.files
        assert self.after.tags == self.before.tags


@contextmanager
def opened(vm: Vm, folder: Path, services: str = "abe", registry: str = "") -> Iterator[RemoteShop]:
    """Give a shop on a VM, and close it."""
    shop = RemoteShop(folder, services, registry or lab_registry(), vm=vm)
    try:
        yield shop.create()
    finally:
        shop.close()


class RegistryDoor:
    """A registry under an address of its own, the same here and on a VM, which can be shut and opened.

    Args:
        vm: the VM.
        registry: host of the registry, on this machine; the lab's if there is none.
    """

    def __init__(self, vm: Vm, registry: str = "") -> None:
        self._port = free_port()
        self.host = f"127.0.0.1:{self._port}"
        gateway = f"{vm.address.rsplit('.', 1)[0]}.1:{self._port}"
        inside = ("nsenter", "--target", str(vm.pid()), "--net", "--")
        self._legs = [
            ((), self.host, registry or lab_registry()),
            ((), gateway, registry or lab_registry()),
            (inside, self.host, gateway),
        ]
        self._running: list[subprocess.Popen[bytes]] = []

    def open(self) -> None:
        """Let everything through; returns when it does, on both sides."""
        for enter, listen, target in self._legs:
            command = [*enter, sys.executable, "-I", "-S", str(FORWARD), listen, target]
            # It complains of connections that are broken off, which here they are meant to be.
            self._running.append(subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL))
        probe = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)"
        for enter, listen, _ in self._legs:
            words = [*enter, sys.executable, "-I", "-S", "-c", probe, *listen.rsplit(":", 1)]
            until(partial(_succeeds, words), f"{listen} is open")

    def shut(self) -> None:
        """Let nothing through: nobody listens at the address any more, on both sides."""
        for child in self._running:
            child.kill()
            child.wait()
        self._running.clear()


@contextmanager
def registry_door(vm: Vm, registry: str = "") -> Iterator[RegistryDoor]:
    """Give an open door to a registry."""
    door = RegistryDoor(vm, registry)
    try:
        door.open()
        yield door
    finally:
        door.shut()


def _succeeds(words: list[str]) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def said(ran: Ran) -> str:
    """Return all that a command said, in one line of single spaces: it may be wrapped anywhere."""
    return " ".join(f"{ran.out} {ran.err}".split())


def release_of(shop: RemoteShop, sha: str) -> str:
    """Return the id of the newest release of a commit."""
    return str([r["id"] for r in shop.releases() if r["sha"] == sha][-1])


def edit_record(shop: RemoteShop, release: str, **fields: object) -> None:
    """Change a recorded release on the VM, which nobody should."""
    file = shop.home / "releases" / release / "release.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))
