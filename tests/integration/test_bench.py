"""scripts/bench measures with real parts, prints a table, and leaves nothing behind."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.shop import PROJECT, docker

pytestmark = pytest.mark.engine

COMMANDS = [
    "python, import doit",
    "doit build, nothing to do",
    "doit list",
    "doit list --status --all",
    "doit build:SERVICE, nothing to do",
    "doit plan, nothing to build",
    "doit info build:SERVICE, one file changed",
    "doit plan, one file changed",
]


def bench(*args: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PROJECT / "scripts" / "bench"), *args],
        cwd=temporary,
        env=os.environ | {"VIRTUAL_ENV": sys.prefix, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def test_scale_prints_a_table_and_leaves_nothing_behind(lab: str, tmp_path: Path) -> None:
    del lab
    size = ("--services", "3", "--files", "5", "--rounds", "1")
    done = bench("scale", *size, "--json", "out.json", temporary=tmp_path)
    assert done.returncode == 0, done.stderr
    number = r"\d+\.\d\d"
    rows = re.findall(rf"^(\S.*?) {{2,}}{number} \({number}\) +\d+\.\dx$", done.stdout, re.MULTILINE)
    assert rows == COMMANDS, done.stdout
    written = json.loads((tmp_path / "out.json").read_text())
    assert list(written["seconds"]["3"]) == COMMANDS
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
    (name,) = written["stacks"]
    assert name not in docker("image", "ls")


def test_growth_prints_what_each_step_costs_and_leaves_nothing_behind(lab: str, tmp_path: Path) -> None:
    del lab
    size = ("--services", "", "--files", "2", "--releases", "", "--rounds", "1")
    done = bench("growth", *size, "--json", "out.json", "--markdown", "out.md", temporary=tmp_path)
    assert done.returncode == 0, done.stderr
    (section,) = json.loads((tmp_path / "out.json").read_text())["sections"]
    rows = {row["cost"]: row["values"] for row in section["rows"]}
    assert {"build, nothing changed", "plan, one changed: key", "plan, one changed: lookup"} <= rows.keys()
    assert rows["plan, nothing changed: requests to the registry"] == {"2": 2}
    assert rows["plan, nothing changed: docker compose started"] == {"2": 1}
    assert "| plan, one changed, cold cache: key |" in (tmp_path / "out.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.md"]


def test_without_a_verb_it_says_how_to_use_it(tmp_path: Path) -> None:
    done = bench(temporary=tmp_path)
    assert done.returncode == 3
    assert "scripts/bench scale" in done.stderr
