"""Fixtures of the tests that need a host over SSH."""

import os
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.vm import Vm, running_vm


def require_vms() -> None:
    """Skip where there can be no VM; everything else that is missing is a failure."""
    if os.environ.get("ONEVM_TEST_NO_ENGINE"):
        pytest.skip("ONEVM_TEST_NO_ENGINE is set: nothing that needs an engine and a registry is tested")
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a VM of the lab needs root on Linux")


@pytest.fixture(scope="session")
def vm() -> Iterator[Vm]:
    """Give a VM that all tests share: leave nothing on it that another test would stumble over."""
    require_vms()
    with running_vm(f"t{os.getpid()}") as found:
        yield found


@pytest.fixture(scope="session")
def other_vm() -> Iterator[Vm]:
    """Give a second VM, with containerd's image store."""
    require_vms()
    with running_vm(f"t{os.getpid()}b", "--containerd") as found:
        yield found


@pytest.fixture(autouse=True)
def _healed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Heal what a failed test left cut or slow."""
    shared = [name for name in ("vm", "other_vm") if name in request.fixturenames]
    yield
    for name in shared:
        found: Vm = request.getfixturevalue(name)
        found.heal()
        found.fast()
