"""A dedicated build machine: the engine of a Docker context over SSH as the builder."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.vm import Vm
from tests.integration.conftest import opening
from tests.integration.shop import Shop

pytestmark = pytest.mark.vm


@pytest.fixture
def shop(vm: Vm, tmp_path: Path) -> Iterator[Shop]:
    """Give a stack whose builder is the engine of a VM, by a Docker context of its own."""
    with opening(tmp_path) as make_shop:
        found = make_shop("ab")
        ssh = found.folder / "bin" / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {vm.ssh_config} "$@"\n')
        ssh.chmod(0o755)
        (tmp_path / "docker").mkdir()
        found.env["DOCKER_CONFIG"] = str(tmp_path / "docker")
        env = os.environ | found.env
        words = ["docker", "context", "create", "builds", "--docker", f"host={vm.destination}"]
        subprocess.run(words, check=True, capture_output=True, env=env)
        found.configure(more='[builder]\nname = "builds"\ncache = "none"\n')
        yield found


def test_a_machine_over_ssh_builds_and_pushes(shop: Shop, vm: Vm) -> None:
    ran = shop.doit("deploy").ok()
    assert ran.bakes == [["a", "b"]]
    assert {c.state for c in shop.running().values()} == {"healthy"}
    for service in "ab":
        assert shop.tags(service).keys() >= {shop.sha, "latest"}
    shop.write("b/version", "2\n")
    shop.commit()
    assert shop.doit("deploy").ok().bakes == [["b"]]
    assert shop.version("b") == "2\n"
    # It was built there.
    assert "COPY version" in vm.docker("builder", "du", "--verbose")


def test_an_image_that_the_builder_keeps_to_itself_is_no_built_image(shop: Shop) -> None:
    ran = shop.doit("build")
    assert ran.code == 1, ran
    assert "keeps it to itself" in ran.err
    assert "doit push" in ran.err
    assert shop.doit("build").code == 1
