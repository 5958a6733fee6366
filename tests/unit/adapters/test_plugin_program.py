"""Which program Compose or buildx is: the plugin itself, unless somebody's own `docker` stands before it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.adapters import plugin_program

ARGUMENTS = ["-p", "a b", "up", "-d"]


class Machine:
    """A folder of programs and a configuration of docker, with one plugin."""

    def __init__(self, folder: Path, plugin: str) -> None:
        self.plugin = plugin
        self.programs = folder / "pro grams"
        self.config = folder / "con fig"
        for place in (self.programs, self.config / "cli-plugins"):
            place.mkdir(parents=True)
        self.says('echo plugin "$@"')
        # It says what it is given.
        shutil.copy(str(shutil.which("echo")), self.programs / "docker")

    def says(self, text: str) -> None:
        """Make the plugin a script."""
        self.script(self.config / "cli-plugins" / f"docker-{self.plugin}", text)

    @staticmethod
    def script(path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def runs(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        env = {"PATH": f"{self.programs}:{os.defpath}", "DOCKER_CONFIG": str(self.config)}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=20, check=False)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """What the command leaves."""
        return self.runs(plugin_program.command(self.plugin, [*arguments]))

    def function(self, line: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """What a script with the function leaves."""
        return self.runs(["sh", "-euc", f"{plugin_program.function(self.plugin)}\n{line}", "sh", *arguments])

    def said(self) -> str:
        """What runs, as a command and as a function, which must agree."""
        said = [self.command(*ARGUMENTS), self.function(f'{self.plugin} "$@"', *ARGUMENTS)]
        assert [done.stderr for done in said] == ["", ""]
        assert said[0].stdout == said[1].stdout
        return said[0].stdout.strip()


@pytest.fixture(params=["compose", "buildx"])
def machine(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return Machine(tmp_path, request.param)


def test_the_plugin_is_run_itself(machine: Machine) -> None:
    assert machine.said() == "plugin -p a b up -d"


def test_a_wrapper_around_docker_is_run(machine: Machine) -> None:
    machine.script(machine.programs / "docker", 'echo wrapped "$@"')
    assert machine.said() == f"wrapped {machine.plugin} -p a b up -d"


def test_docker_looks_itself_where_it_is_told_of_other_places(machine: Machine) -> None:
    (machine.config / "config.json").write_text('{"cliPluginsExtraDirs": ["/opt/plugins"]}')
    assert machine.said() == f"{machine.plugin} -p a b up -d"


def test_another_configuration_changes_nothing(machine: Machine) -> None:
    (machine.config / "config.json").write_text('{"auths": {}}')
    assert machine.said() == "plugin -p a b up -d"


def test_the_exit_code_is_the_plugin_s(machine: Machine) -> None:
    machine.says("exit 17")
    assert machine.command("up").returncode == 17
    assert machine.function(f"{machine.plugin} up; echo on").returncode == 17


def test_without_docker_it_is_docker_that_is_missed(machine: Machine) -> None:
    (machine.programs / "docker").unlink()
    done = subprocess.run(
        ["/bin/sh", *plugin_program.command(machine.plugin, ["up"])[1:]],
        env={"PATH": str(machine.programs), "DOCKER_CONFIG": str(machine.config)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 127
    assert "docker" in done.stderr
