"""`doit ci` from the command line: what it writes, what it leaves alone, and what it says."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.project_copy import project_copy, repository

pytestmark = pytest.mark.engine

Doit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ci")
    project_copy(folder / "onevm", "https://git.example.com/team/onevm.git")
    own = folder / "notes"
    own.mkdir()
    (own / "compose.yaml").write_text("services: {web: {build: .}}\n")
    (own / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (own / "services.toml").write_text('[registry]\nurl = "127.0.0.1:5055/ci"\n[stacks.notes]\npath = "."\n')
    return repository(own, "https://git.example.com/team/notes.git")


@pytest.fixture(scope="module")
def doit(notes: Path) -> Doit:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", "doit", *args, f"config={notes / 'services.toml'}"]
        onevm = notes.parent / "onevm"
        return subprocess.run(words, cwd=onevm, capture_output=True, text=True, timeout=120, check=False)

    return run


def states(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the last column of the tables."""
    rows = [line for line in done.stdout.splitlines() if "workflows/" in line]
    return [row.split(".yml", 1)[1].strip() for row in rows]


def test_files_are_written_once_and_kept_when_somebody_edited_them(notes: Path, doit: Doit) -> None:
    none = doit("ci:check")
    assert none.returncode == 1
    assert "there are no workflow files yet" in none.stderr

    first = doit("ci:gitea")
    assert (first.returncode, states(first)) == (0, ["written"] * 3), first
    assert not (notes / ".github").exists()
    looked = doit("ci:check")
    assert (looked.returncode, states(looked)) == (0, ["up to date"] * 3), looked

    both = doit("ci")
    assert (both.returncode, states(both)) == (0, ["written"] * 3 + ["unchanged"] * 3), both

    file = notes / ".gitea" / "workflows" / "onevm-push.yml"
    written = file.read_text()
    file.write_text(written.replace("timeout-minutes: 60", "timeout-minutes: 90"))
    edited = file.read_text()
    looked = doit("ci:check")
    assert (looked.returncode, states(looked).count("edited by hand")) == (1, 1), looked
    refused = doit("ci")
    assert refused.returncode == 1
    assert "force=1" in refused.stderr
    assert sorted(states(refused)) == ["kept: edited by hand"] + ["unchanged"] * 5
    assert file.read_text() == edited

    forced = doit("ci:gitea", "force=1")
    assert (forced.returncode, sorted(states(forced))) == (0, ["unchanged", "unchanged", "written"]), forced
    assert file.read_text() == written


def test_files_follow_services_toml(notes: Path, doit: Doit) -> None:
    doit("ci:github")
    toml = notes / "services.toml"
    before = toml.read_text()
    toml.write_text(before.replace("[stacks", 'username = "ci"\npassword_env = "REGISTRY_TOKEN"\n[stacks'))
    try:
        looked = doit("ci:check")
        assert looked.returncode == 1
        assert set(states(looked)) == {"outdated"}
        assert doit("ci").returncode == 0
        assert (
            "REGISTRY_TOKEN: ${{ secrets.REGISTRY_TOKEN }}"
            in (notes / ".github" / "workflows" / "onevm-deploy.yml").read_text()
        )
        assert doit("ci:check").returncode == 0
    finally:
        toml.write_text(before)
