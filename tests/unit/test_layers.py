"""Imports go one way, and a rule that nobody breaks still works: it is broken here on purpose."""

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TASKS = ROOT / "tasks"


def program(name: str) -> str:
    """Return a tool of the environment that runs the tests."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} belongs to the development dependencies"
    return found


def lint_imports(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [program("lint-imports"), "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    # Long lines are wrapped as the terminal is wide; names are not.
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(TASKS, tmp_path / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_project_keeps_its_layers() -> None:
    code, text = lint_imports(ROOT)
    assert code == 0, text
    assert "0 broken" in text


FORBIDDEN = [
    ("core/plan.py", "from tasks.adapters.process import run", "tasks.core.plan -> tasks.adapters.process"),
    ("core/images.py", "from tasks.steps import why", "tasks.core.images -> tasks.steps.why"),
    ("core/versions.py", "import tasks.status", "tasks.core.versions -> tasks.status"),
    ("core/observed.py", "import subprocess", "tasks.core.observed -> subprocess"),
    ("core/solve.py", "import requests", "tasks.core.solve -> requests"),
    ("core/secret.py", "def f():\n    from rich import print", "tasks.core.secret -> rich"),
    ("core/hints.py", "from git import Repo", "tasks.core.hints -> git"),
    ("core/syntax.py", "from ruamel.yaml import YAML", "tasks.core.syntax -> ruamel"),
    ("core/durations.py", "import python_on_whales", "tasks.core.durations -> python_on_whales"),
    ("core/errors.py", "import doit", "tasks.core.errors -> doit"),
    ("adapters/git.py", "from tasks.steps import output", "tasks.adapters.git -> tasks.steps.output"),
    ("adapters/retry.py", "from tasks import plan", "tasks.adapters.retry -> tasks.plan"),
    ("adapters/lock.py", "from doit.tools import run_once", "tasks.adapters.lock -> doit"),
    ("adapters/trust.py", "import rich.table", "tasks.adapters.trust -> rich"),
    ("steps/why.py", "from tasks import push", "tasks.steps.why -> tasks.push"),
    ("build.py", "from tasks.deploy import deploy", "tasks.build -> tasks.deploy"),
    ("status.py", "def f():\n    import tasks.plan", "tasks.status -> tasks.plan"),
]


def test_every_forbidden_import_breaks_a_contract_and_is_named(copy: Path) -> None:
    for file, line, _ in FORBIDDEN:
        with (copy / "tasks" / file).open("a") as module:
            module.write(f"\n{line}\n")
    code, text = lint_imports(copy)
    assert code == 1
    assert "0 kept" in text, "each contract is broken by one of them"
    assert [named for _, _, named in FORBIDDEN if named not in text] == []


def test_a_new_verb_that_no_contract_names_breaks_one(copy: Path) -> None:
    (copy / "tasks" / "newverb.py").write_text('"""newverb: nobody told the contract."""\n')
    code, text = lint_imports(copy)
    assert code == 1
    assert "newverb" in text


def test_every_verb_is_in_the_contract_and_in_dodo() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    verbs = {path.stem for path in TASKS.glob("*.py")} - {"__init__"}
    assert set(layers[0].split(" | ")) == verbs
    assert layers[1:] == ["steps", "adapters", "core"]
    dodo = (ROOT / "dodo.py").read_text()
    assert {verb for verb in verbs if f"from tasks.{verb} import task_{verb}" in dodo} == verbs


def imported(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_core_needs_nothing_but_the_standard_library_tomli_and_msgspec() -> None:
    foreign = set().union(*map(imported, (TASKS / "core").rglob("*.py")))
    assert foreign - sys.stdlib_module_names == {"msgspec", "tasks", "tomli"}


def ruff(file: str, text: str) -> tuple[int, str]:
    args = [program("ruff"), "check", "--no-cache", "--select", "TID251", "--stdin-filename", str(ROOT / file), "-"]
    done = subprocess.run(args, cwd=ROOT, input=text, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("line", ["import subprocess", "from subprocess import run", "import subprocess as s"])
@pytest.mark.parametrize(
    ("file", "allowed"),
    [
        ("tasks/adapters/process.py", True),
        ("tests/unit/test_layers.py", True),
        ("tasks/adapters/git.py", False),
        ("tasks/core/plan.py", False),
        ("tasks/steps/why.py", False),
        ("tasks/newverb.py", False),
        ("dodo.py", False),
    ],
)
def test_only_one_module_may_start_processes(file: str, allowed: bool, line: str) -> None:
    code, text = ruff(file, f"{line}\n")
    assert code == (0 if allowed else 1), text
    if not allowed:
        assert "Only tasks/adapters/process.py starts processes." in text
