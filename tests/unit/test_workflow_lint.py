"""Workflow files, ours and those that `doit ci` writes, are linted; faults planted in them are found."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.expressions import filled
from tests.unit.scopes import texts

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
OURS = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(ROOT.glob(".git[he]*/workflows/*.yml"))}
SHELL = "#!/usr/bin/env bash\nset -eo pipefail\n"


def program(name: str, *args: str | Path) -> tuple[int, str]:
    done = subprocess.run(
        [PROGRAMS / name, *args], capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout + done.stderr


def zizmor(files: Iterable[Path]) -> str:
    """Return what zizmor finds; it has no network."""
    code, text = program("zizmor", "--offline", "--quiet", "--strict-collection", "--format=plain", *files)
    assert code in {0, 10, 11, 12, 13, 14}, text
    return "" if code == 0 else text


def schema(files: Iterable[Path]) -> str:
    """Return how files break the schema of workflows, which comes with the program."""
    code, text = program("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files)
    assert code in {0, 1}, text
    return "" if code == 0 else text


def shellcheck(files: Iterable[Path]) -> str:
    """Return what shellcheck finds in the steps that run a shell."""
    found = []
    for file in files:
        for number, lines in enumerate(scripts(file.read_text())):
            script = file.with_suffix(f".{number}.sh")
            script.write_text(SHELL + lines)
            found.append(script)
    code, text = program("shellcheck", "--severity=style", "--enable=quote-safe-variables", *found)
    assert code in {0, 1}, text
    return text


def scripts(text: str) -> list[str]:
    document = YAML(typ="safe").load(text)
    return [step["run"] for job in document["jobs"].values() for step in job["steps"] if "run" in step]


GITHUB = ("event_name", "ref", "repository", "server_url", "sha", "token", "workspace")
OF_A_JOB: dict[str, dict[str, str]] = {
    "github": dict.fromkeys(GITHUB, "x"),
    "vars": {},
    "inputs": {"stack": "notes", "sha": "1a2b3c4"},
}
# https://docs.github.com/en/actions/reference/workflows-and-actions/contexts: what is known where.
OF_A_STEP = {**OF_A_JOB, "runner": {"temp": "x"}, "secrets": {}}


def expressions(files: Iterable[Path]) -> str:
    """Return what no forge could fill in: names that are not known where they stand, and jobs that are not there."""
    found = []
    for file in files:
        document = YAML(typ="safe").load(file.read_text())
        jobs = document.pop("jobs")
        places = [(document, OF_A_JOB)]
        for job in jobs.values():
            found += [f"{file}: there is no job {name}" for name in job.get("needs", []) if name not in jobs]
            steps = job.pop("steps")
            places += [(_bare(job), OF_A_JOB), *((_bare(step), OF_A_STEP) for step in steps)]
        for place, contexts in places:
            try:
                filled(place, contexts)
            except (AssertionError, KeyError) as error:
                found.append(f"{file}: {error}")
    return "\n".join(found)


def _bare(place: dict[str, Any]) -> dict[str, Any]:
    """Return a job or a step whose condition is written like other expressions."""
    return {**place, "if": f"${{{{ {place['if']} }}}}"} if "if" in place else place


LINTERS: dict[str, Callable[[Iterable[Path]], str]] = {
    "zizmor": zizmor,
    "schema": schema,
    "shellcheck": shellcheck,
    "expressions": expressions,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("workflows")
    found = []
    for number, text in enumerate({**texts(), **OURS}.values()):
        found.append(folder / f"{number}.yml")
        found[-1].write_text(text)
    return found


def test_there_are_files_of_both_kinds() -> None:
    assert len(texts()) == 24
    assert {name.partition("/")[0] for name in OURS} == {".github", ".gitea"}


@pytest.mark.parametrize("linter", LINTERS)
def test_linters_have_nothing_to_say(files: list[Path], linter: str) -> None:
    assert LINTERS[linter](files) == ""


def test_both_forges_run_the_same_checks_of_this_repository() -> None:
    for text in OURS.values():
        assert any(".ci/run" in script or "scripts/test" in script for script in scripts(text))


CHECKOUT = "uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
FAULTS = [
    ("zizmor", "unpinned-uses", CHECKOUT, "uses: actions/checkout@v7"),
    ("zizmor", "artipacked", "          persist-credentials: false\n", ""),
    ("zizmor", "template-injection", "run: doit push", "run: doit push ${{ github.event.head_commit.message }}"),
    ("zizmor", "excessive-permissions", "permissions:\n      contents: read", "permissions: write-all"),
    ("zizmor", "dangerous-triggers", "  workflow_dispatch: {}", "  pull_request_target: {}"),
    ("schema", "concurency", "    concurrency:", "    concurency:"),
    ("schema", "timeout-minutes", "timeout-minutes: 60", "timeout-minutes: soon"),
    ("schema", "runs-on", "    runs-on: ", "    run-on: "),
    ("shellcheck", "SC2086", 'sha="$newest"', "sha=$newest"),
    ("shellcheck", "SC2154", 'sha="$newest"', 'sha="$newst"'),
    ("expressions", "secrest", "secrets.REGISTRY_TOKEN", "secrest.REGISTRY_TOKEN"),
    ("expressions", "secrets", "vars.ONEVM_DEPLOY ==", "secrets.ONEVM_DEPLOY =="),
    ("expressions", "workspce", "github.workspace", "github.workspce"),
    ("expressions", "bulid", "    needs:\n      - push", "    needs:\n      - bulid"),
    ("shellcheck", "SC1073", '"$newest" != "$GITHUB_SHA" ]', '"$newest" != "$GITHUB_SHA" '),
]


@pytest.mark.parametrize(("linter", "rule", "good", "bad"), FAULTS, ids=[fault[1] for fault in FAULTS])
def test_a_planted_fault_is_found(tmp_path: Path, linter: str, rule: str, good: str, bad: str) -> None:
    text = texts()["one of several/github/onevm-push.yml"]
    assert good in text
    file = tmp_path / "planted.yml"
    file.write_text(text.replace(good, bad))
    assert rule in LINTERS[linter]([file])


def test_what_is_written_can_be_read_as_it_was_meant() -> None:
    for text in texts().values():
        document: dict[str, Any] = YAML(typ="safe").load(text)
        assert json.dumps(document)
        assert set(document) == {"name", "on", "permissions", "defaults", "jobs"}


@pytest.mark.parametrize(
    ("file", "inputs", "words"),
    [
        ("platform/github/onevm-deploy.yml", {"stack": "every stack"}, ["deploy"]),
        ("platform/github/onevm-deploy.yml", {"stack": "notes"}, ["deploy:notes"]),
        ("platform/gitea/onevm-rollback.yml", {"stack": "notes", "sha": ""}, ["rollback:notes"]),
        ("platform/gitea/onevm-rollback.yml", {"stack": "notes", "sha": "1a2b3c4"}, ["rollback:notes", "sha=1a2b3c4"]),
        ("alone/gitea/onevm-rollback.yml", {"sha": "$(id); `id` 'x\""}, ["rollback:notes", "sha=$(id); `id` 'x\""]),
        ("alone/github/onevm-rollback.yml", {"sha": ""}, ["rollback:notes"]),
        ("platform/github/onevm-deploy.yml", {"stack": "a b; id"}, ["deploy:a b; id"]),
    ],
)
def test_what_somebody_types_reaches_onevm_as_one_word(
    tmp_path: Path, file: str, inputs: dict[str, str], words: list[str]
) -> None:
    document = YAML(typ="safe").load(texts()[file])
    (job,) = document["jobs"].values()
    (step,) = [step for step in job["steps"] if "doit " in step.get("run", "")]
    ready = filled(step, {**OF_A_STEP, "inputs": inputs})
    script = tmp_path / "step.sh"
    script.write_text(f"doit() {{ printf '%s\\0' \"$@\"; }}\n{ready['run']}")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
        env=ready["env"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout.split("\0")[:-1]) == (0, words), done.stderr
