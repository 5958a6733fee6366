"""Runs workflow files here, as a forge's runner would: jobs in order, each in a workspace of its own.

Shell steps run as they are, with their variables and expressions filled in. What the two actions that the files use
do is done by hand: a clone of depth 1, and a `python` on PATH. Anything that is not known here is a failure. Onevm is
installed once: every job does the same, into the same folder.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.expressions import Expression, filled

LONGEST = 300
INSTALLING = "Install Onevm"
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
_OURS = ("GITHUB_", "RUNNER_", "ONEVM_", "COMPOSE_", "GIT_", "VIRTUAL_ENV")


@dataclass
class Forge:
    """A forge with its repositories and a runner.

    Attributes:
        folder: where everything of it is.
        secrets: secrets of the repositories.
        variables: variables of the repositories.
        said: what the steps of the latest run said, by `<job>/<name of the step>`.
        workspaces: the workspace of each job, in the order in which they were looked at.
        installed: what the installation put on PATH, once it was run.
    """

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    workspaces: list[Path] = field(default_factory=list)
    installed: list[str] = field(default_factory=list)

    def bare(self, repository: str) -> Path:
        return self.folder / "repositories" / f"{repository}.git"

    def receive(self, repository: str, checkout: Path) -> None:
        """Take what a checkout has on its branch main."""
        bare = self.bare(repository)
        if not bare.exists():
            git(self.folder, "init", "-q", "--bare", "-b", "main", str(bare))
            git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        git(checkout, "push", "-q", str(bare), "HEAD:refs/heads/main")

    def run(
        self, repository: str, file: Path, event: str, sha: str, *, inputs: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Run a workflow; `success`, `failure` or `skipped` of each job."""
        document = YAML(typ="safe").load(file.read_text())
        assert event in document["on"], f"{file.name} does not start with {event}"
        known = (document["on"][event] or {}).get("inputs", {})
        assert set(inputs or {}) <= set(known)
        given = {name: (inputs or {}).get(name, field.get("default", "")) for name, field in known.items()}
        results: dict[str, str] = {}
        self.said = {}
        for name, job in document["jobs"].items():
            assert all(needed in results for needed in job.get("needs", []))
            contexts = self._contexts(repository, sha, given)
            wanted = all(results[needed] == "success" for needed in job.get("needs", []))
            if wanted and "if" in job:
                wanted = bool(Expression(job["if"], contexts).value())
            results[name] = self._job(name, job, contexts) if wanted else "skipped"
        return results

    def _contexts(self, repository: str, sha: str, inputs: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        workspace = self.folder / f"workspace-{len(self.workspaces)}"
        workspace.mkdir()
        self.workspaces.append(workspace)
        temporary = self.folder / "runner"
        temporary.mkdir(exist_ok=True)
        return {
            "github": {
                "repository": repository,
                "sha": sha,
                "ref": "refs/heads/main",
                "token": "the job's own token",
                "workspace": str(workspace),
            },
            "runner": {"temp": str(temporary)},
            "inputs": dict(inputs),
            "secrets": self.secrets,
            "vars": self.variables,
        }

    def _job(self, name: str, job: dict[str, Any], contexts: dict[str, dict[str, Any]]) -> str:
        paths = [str(self._python())]
        result = "success"
        for step in job["steps"]:
            always = "if" in step and bool(Expression(step["if"], contexts).value())
            if result != "success" and not always:
                continue
            ready = filled(step, contexts)
            key = f"{name}/{step['name']}"
            if "uses" in step:
                action = step["uses"].partition("@")[0]
                assert action in {"actions/checkout", "actions/setup-python"}, f"{action} is not known here"
                if action == "actions/checkout":
                    self._checkout(ready["with"], contexts["github"])
                continue
            if step["name"] == INSTALLING and self.installed:
                paths[:0] = self.installed
                continue
            done = self._shell(ready, paths, contexts)
            self.said[key] = done.stdout
            if done.returncode:
                self.said[key] += f"\nended with {done.returncode}"
                result = "failure"
        return result

    def _python(self) -> Path:
        """Return a folder with a `python`, as actions/setup-python puts one on PATH."""
        folder = self.folder / "python"
        folder.mkdir(exist_ok=True)
        program = folder / "python"
        if not program.exists():
            program.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
            program.chmod(0o755)
        return folder

    def _checkout(self, options: Mapping[str, Any], github: Mapping[str, Any]) -> None:
        repository = options.get("repository", github["repository"])
        place = Path(github["workspace"], options["path"])
        own = repository == github["repository"]
        ref = options.get("ref") or (github["sha"] if own else "main")
        place.mkdir(parents=True)
        git(place, "init", "-q", "-b", "main")
        git(place, "remote", "add", "origin", f"https://git.example.com/{repository}.git")
        git(place, "fetch", "-q", f"--depth={options['fetch-depth']}", f"file://{self.bare(repository)}", ref)
        git(place, "checkout", "-q", "--detach", "FETCH_HEAD")

    def _shell(
        self, step: dict[str, Any], paths: list[str], contexts: Mapping[str, Mapping[str, Any]]
    ) -> subprocess.CompletedProcess[str]:
        workspace = Path(contexts["github"]["workspace"])
        more = self.folder / "more-path"
        more.write_text("")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        env = kept | {
            "ONEVM_LAB_REGISTRY": os.environ.get("ONEVM_LAB_REGISTRY", "127.0.0.1:5055"),
            "PATH": ":".join([*paths, os.environ["PATH"]]),
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_SHA": contexts["github"]["sha"],
            "GITHUB_PATH": str(more),
            "RUNNER_TEMP": contexts["runner"]["temp"],
        }
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            [*SHELL, str(script)],
            cwd=workspace / step.get("working-directory", "."),
            env=env | {name: str(value) for name, value in step.get("env", {}).items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        added = more.read_text().splitlines()[::-1]
        paths[:0] = added
        if step["name"] == INSTALLING and not done.returncode:
            self.installed = added
        return done


def git(folder: Path, *args: str) -> str:
    """Run git; what it says."""
    done = subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, timeout=LONGEST, check=False)
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
    return done.stdout.strip()


def doit(onevm: Path, *args: str) -> str:
    """Run Onevm in a clone of its own, as a person does; what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "doit", *args],
        cwd=onevm,
        env={name: value for name, value in os.environ.items() if not name.startswith(_OURS)},
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert done.returncode == 0, f"{args}: {done.stdout}{done.stderr}"
    return done.stdout
