"""Fixtures of the tests that need a real engine and a real registry."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests

from tests.integration.gate import Gate, running_gate
from tests.integration.shop import Shop, lab_registry

MakeShop = Callable[..., Shop]


@pytest.fixture(scope="session")
def lab() -> str:
    """Give the registry's address; a missing engine or registry is a failure, unless the user says there is none."""
    if os.environ.get("ONEVM_TEST_NO_ENGINE"):
        pytest.skip("ONEVM_TEST_NO_ENGINE is set: nothing that needs an engine and a registry is tested")
    done = subprocess.run(["docker", "version"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"no Docker engine (scripts/lab up starts one): {done.stderr}"
    requests.get(f"http://{lab_registry()}/v2/base/busybox/manifests/1", timeout=10).raise_for_status()
    return lab_registry()


@contextmanager
def opening(folder: Path) -> Iterator[MakeShop]:
    """Give a maker of shops, all of which are closed in the end."""
    with ExitStack() as closing:

        def make(services: str = "abcde", *, registry: str | None = None) -> Shop:
            shop = Shop(folder, services=services, registry=registry or lab_registry())
            closing.callback(shop.close)
            return shop.create()

        yield make


@pytest.fixture
def make_shop(lab: str, tmp_path: Path) -> Iterator[MakeShop]:
    """Make shops with some of the services of tests/stacks/tiny."""
    del lab
    with opening(tmp_path) as make:
        yield make


@pytest.fixture(scope="module")
def make_shared_shop(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeShop]:
    """Make shops that a whole module shares."""
    del lab
    with opening(tmp_path_factory.mktemp("shared")) as make:
        yield make


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Give a gate that a build can be held at."""
    with running_gate() as found:
        yield found
