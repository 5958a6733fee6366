"""Which program Compose is on a host: the plugin itself, unless somebody's own `docker` stands before it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.adapters import compose_program

ARGUMENTS = ["-p", "a b", "up", "-d"]


class Machine:
    """A folder of programs and a configuration of docker."""

    def __init__(self, folder: Path) -> None:
        self.programs = folder / "pro grams"
        self.config = folder / "con fig"
        for place in (self.programs, self.config / "cli-plugins"):
            place.mkdir(parents=True)
        self.script(self.config / "cli-plugins" / "docker-compose", 'echo plugin "$@"')
        # It says what it is given.
        shutil.copy(str(shutil.which("echo")), self.programs / "docker")

    @staticmethod
    def script(path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def runs(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": f"{self.programs}:{os.defpath}", "DOCKER_CONFIG": str(self.config)}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False)

    def compose(self) -> str:
        """What runs as `docker compose`, as a command and as a function, which must agree."""
        said = [
            self.runs(compose_program.command(ARGUMENTS)),
            self.runs(["sh", "-euc", f'{compose_program.FUNCTION}\ncompose "$@"', "sh", *ARGUMENTS]),
        ]
        assert [done.stderr for done in said] == ["", ""]
        assert said[0].stdout == said[1].stdout
        return said[0].stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_plugin_is_run_itself(machine: Machine) -> None:
    assert machine.compose() == "plugin -p a b up -d"


def test_a_wrapper_around_docker_is_run(machine: Machine) -> None:
    machine.script(machine.programs / "docker", 'echo wrapped "$@"')
    assert machine.compose() == "wrapped compose -p a b up -d"


def test_docker_looks_itself_where_it_is_told_of_other_places(machine: Machine) -> None:
    (machine.config / "config.json").write_text('{"cliPluginsExtraDirs": ["/opt/plugins"]}')
    assert machine.compose() == "compose -p a b up -d"


def test_another_configuration_changes_nothing(machine: Machine) -> None:
    (machine.config / "config.json").write_text('{"auths": {}}')
    assert machine.compose() == "plugin -p a b up -d"


def test_the_exit_code_is_that_of_compose(machine: Machine) -> None:
    machine.script(machine.config / "cli-plugins" / "docker-compose", "exit 17")
    assert machine.runs(compose_program.command(["up"])).returncode == 17
    assert machine.runs(["sh", "-euc", f"{compose_program.FUNCTION}\ncompose up; echo on", "sh"]).returncode == 17


def test_without_docker_it_is_docker_that_is_missed(machine: Machine) -> None:
    (machine.programs / "docker").unlink()
    done = subprocess.run(
        ["/bin/sh", *compose_program.command(["up"])[1:]],
        env={"PATH": str(machine.programs), "DOCKER_CONFIG": str(machine.config)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 127
    assert "docker" in done.stderr
