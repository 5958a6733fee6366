"""One stack of the platform that is ready to fill in, on a VM."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.vm import PROJECT, Vm
from tests.integration.platform import BUILT, environment, filled_in, forget
from tests.integration.project_copy import git
from tests.integration.shop import docker, lab_registry

pytestmark = pytest.mark.vm

_ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())"

NETWORK = "platform"


class Platform:
    """The example, filled in for a VM."""

    def __init__(self, vm: Vm, folder: Path) -> None:
        self.vm = vm
        self.name = f"platform{os.getpid()}"
        self.config = filled_in(folder, self.name, f'address = "{vm.destination}"\nroot = "{vm.root}"')

    def doit(self, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "doit", *args, f"config={self.config}"],
            cwd=PROJECT,
            env=environment() | self.vm.environment,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout

    def containers(self) -> dict[str, str]:
        """Return the id of each service's container."""
        form = '{{.Label "com.docker.compose.service"}} {{.ID}}'
        label = "label=com.docker.compose.project=notes"
        found = self.vm.docker("ps", "--filter", label, "--format", form).splitlines()
        return dict(line.split() for line in found)

    def version(self) -> Any:
        return json.loads(self.vm.run(f"python3 -c '{_ASK}' http://127.0.0.1:8103/api/devops/version"))

    def close(self) -> None:
        if ids := list(self.containers().values()):
            self.vm.docker("rm", "--force", *ids)
        for name in ("notes_default", NETWORK):
            self.vm.docker("network", "rm", name, check=False)
        forget(self.name, "notes")
        images = f"reference={lab_registry()}/{self.name}/*"
        form = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
        listed = docker("image", "ls", "--digests", "--format", form, "--filter", images).split()
        if names := sorted({name for name in listed if not name.endswith("<none>")}):
            docker("image", "rm", *names, check=False)


@pytest.fixture(scope="module")
def platform(vm: Vm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    vm.docker("network", "create", NETWORK)
    found = Platform(vm, tmp_path_factory.mktemp("platform"))
    yield found
    found.close()


def test_a_stack_is_deployed_changed_and_rolled_back_as_its_version_says(platform: Platform) -> None:
    notes = platform.config.parent / "learning_ai_notes"
    first = git(notes, "rev-parse", "HEAD")
    platform.doit("deploy:notes")
    before = platform.containers()
    assert set(before) == BUILT["notes"]
    assert platform.version()["commit"] == first

    (notes / "backend" / "index.html").write_text("another one\n")
    git(notes, "commit", "-q", "-a", "-m", "Change the backend")
    platform.doit("deploy:notes")
    after = platform.containers()
    assert {name for name in after if after[name] != before[name]} == {"backend"}
    assert platform.version()["commit"] == git(notes, "rev-parse", "HEAD")

    platform.doit("rollback:notes")
    assert platform.version()["commit"] == first
    assert {name for name, id_ in platform.containers().items() if id_ != before[name]} == {"backend"}
