"""The platform that is ready to fill in: four repositories, 31 services; it is read, checked and planned as it is."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.platform import BUILT, EXTERNAL, environment, filled_in
from tests.integration.shop import PROJECT

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def config(lab: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    del lab
    folder = tmp_path_factory.mktemp("platform")
    return filled_in(folder, "platform-example", f'address = "local"\nroot = "{folder}/root"')


def doit(config: Path, *args: str) -> Any:
    """Run Onevm, and read the document it prints."""
    words = [sys.executable, "-m", "doit", *args, f"config={config}", "format=json"]
    done = subprocess.run(
        words, cwd=PROJECT, env=environment(), capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return json.loads(done.stdout)


def test_a_first_plan_builds_what_is_built_here_and_creates_all_31(config: Path) -> None:
    stacks = {stack["stack"]: stack["operations"] for stack in doit(config, "plan")["stacks"]}
    assert set(stacks) == set(BUILT)
    counted = Counter(operation["verb"] for operations in stacks.values() for operation in operations)
    assert (counted["build"], counted["create"]) == (24, 31)
    for stack, operations in stacks.items():
        assert {op["service"] for op in operations if op["verb"] == "build"} == BUILT[stack]
    created = {op["service"] for op in stacks["commonplat"] if op["verb"] == "create"}
    assert created == BUILT["commonplat"] | EXTERNAL


def test_a_check_finds_nothing_wrong_with_the_stacks(config: Path) -> None:
    found = [f for f in doit(config, "check")["findings"] if f["subject"].startswith("stack ")]
    assert {f["subject"] for f in found} == {f"stack {name}" for name in BUILT}
    assert [f for f in found if f["state"] == "failed"] == []


def test_every_service_has_what_the_roadmap_wants_of_it(config: Path) -> None:
    for checkout in sorted(path for path in config.parent.glob("learning_ai_*")):
        done = subprocess.run(
            ["docker", "compose", "config", "--format", "json"],
            cwd=checkout,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for name, service in json.loads(done.stdout)["services"].items():
            where = f"{checkout.name}: {name}"
            assert int(service["mem_limit"]) > 0, where
            assert service["logging"]["options"]["max-size"], where
            assert "localhost" not in str(service["healthcheck"]["test"]), where
            for heavy in ("cosmos", "azurite"):
                assert name != heavy or (service["mem_reservation"] and service["cpus"]), where
