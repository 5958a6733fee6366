"""Where nearly every VM has its engine is reachable as soon as the connection stands."""

from pathlib import Path

import pytest

from tasks.adapters import ssh
from tasks.adapters.engine import Engine
from tests.e2e.vm import Vm

pytestmark = pytest.mark.vm

USUAL = "/var/run/docker.sock"


def test_the_usual_socket_needs_no_forwarding_of_its_own(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEVM_SSH_CONFIG", str(vm.ssh_config))
    with ssh.connected("prod", vm.destination) as connection:
        assert connection.usual_socket
        assert connection.forward(USUAL) == connection.usual_socket
        assert Engine(socket=f"unix://{connection.usual_socket}").version()


def test_any_other_socket_gets_one(vm: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEVM_SSH_CONFIG", str(vm.ssh_config))
    elsewhere = "/tmp/engine.sock"  # noqa: S108 - on the VM
    vm.run(f"ln -sf {USUAL} {elsewhere}")
    with ssh.connected("prod", vm.destination) as connection:
        local = connection.forward(elsewhere)
        assert local != connection.usual_socket
        assert Path(local).is_socket()
        assert Engine(socket=f"unix://{local}").version()
    vm.run(f"rm {elsewhere}")
