"""What doit makes of dodo.py: names, dependencies, and that nothing is touched while it is loaded."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VERBS = {"build", "check", "ci", "deploy", "history", "plan", "prune", "push", "report", "rollback", "status", "vm"}
DOCKERFILE = "FROM scratch\nCOPY . /\n"
BUILT = "{build: .}"
SHOP = f"services: {{api: {BUILT}, web: {BUILT}, redis: {{image: redis:7}}}}\n"
BLOG = f"services: {{web: {BUILT}, shop: {BUILT}, shop.web: {BUILT}, debug: {{build: ., profiles: [debug]}}}}\n"

needs_compose = pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0,
    reason="`docker compose config` is needed, an engine is not",
)


def configured(tmp_path: Path, **stacks: str) -> Path:
    """Write a services.toml for stacks, each with its Compose file."""
    text = [
        '[registry]\nurl = "onevm-test.invalid/team"\n',
        f'[hosts.here]\naddress = "local"\nroot = "{tmp_path}/root"\n',
    ]
    for name, compose in stacks.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "compose.yaml").write_text(compose)
        (tmp_path / name / "Dockerfile").write_text(DOCKERFILE)
        text.append(f'[stacks.{name}]\npath = "{name}"\nhost = "here"\n')
    path = tmp_path / "services.toml"
    path.write_text("\n".join(text))
    return path


def environment(config: Path, **more: str) -> dict[str, str]:
    """Return our variables, with no engine to be reached."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "ONEVM_"))}
    nowhere = f"unix://{config.parent}/no-engine.sock"
    return own | {"ONEVM_CONFIG": str(config), "DOCKER_HOST": nowhere, "DOIT_CONFIG": "", **more}


def doit(config: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "doit", *args],
        cwd=ROOT,
        env=environment(config, **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


LOAD = """
import json, sys
started = []
def watch(event, args):
    if event == "subprocess.Popen":
        started.append([str(word) for word in args[1]])
    elif event in ("os.fork", "os.exec", "os.system", "os.posix_spawn"):
        started.append([event])
    elif event == "socket.connect":
        started.append([event, str(args[1])])
sys.addaudithook(watch)
sys.argv = ["doit", *json.loads(sys.argv[1])]
from doit.doit_cmd import reset_vars
reset_vars()
import dodo
from doit.loader import load_tasks
tasks = {
    t.name: {"task_dep": sorted(t.task_dep), "meta": t.meta, "doc": t.doc, "acts": bool(t.actions)}
    for t in load_tasks(vars(dodo))
}
print(json.dumps({"tasks": tasks, "started": started, "modules": sorted(sys.modules)}))
"""


def loaded(config: Path, *words: str) -> dict[str, Any]:
    """Load dodo.py in a process of its own, for a command line."""
    args = [sys.executable, "-c", LOAD, json.dumps(words)]
    done = subprocess.run(
        args, cwd=ROOT, env=environment(config), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def of(tasks: dict[str, Any], verb: str) -> set[str]:
    return {name.partition(":")[2] for name in tasks if name.startswith(f"{verb}:")}


def without_docker(tmp_path: Path) -> str:
    """Return a PATH on which neither docker nor git nor ssh is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "cat", "tar", "mkdir", "readlink"):
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tasks of one stack."""
    found: dict[str, Any] = loaded(configured(tmp_path_factory.mktemp("one"), shop=SHOP), "list", "--all")["tasks"]
    return found


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The tasks of two stacks: with a service that both have, one named like a stack, one like a full name."""
    config = configured(tmp_path_factory.mktemp("two"), shop=SHOP, blog=BLOG)
    found: dict[str, Any] = loaded(config, "list", "--all")["tasks"]
    return found


@needs_compose
def test_one_stack_has_full_names_its_group_and_short_names(one: dict[str, Any]) -> None:
    tasks = one
    assert {name.partition(":")[0] for name in tasks} == VERBS
    built = {"shop", "shop.api", "shop.web", "api", "web"}
    every = built | {"shop.redis", "redis"}
    assert {verb: of(tasks, verb) for verb in ("build", "push", "plan", "deploy", "rollback")} == {
        "build": built,
        "push": built,
        "plan": every,
        "deploy": every,
        "rollback": every,
    }
    assert of(tasks, "status") == of(tasks, "history") == {"shop"}


@needs_compose
def test_doit_vm_leaves_this_machine_alone_unless_it_is_named(one: dict[str, Any], tmp_path: Path) -> None:
    assert of(one, "vm") == {"check", "here"}
    assert one["vm"]["task_dep"] == []
    done = doit(configured(tmp_path, shop=SHOP), "vm")
    assert done.returncode == 3, done
    assert "changes that only if it is named" in done.stderr
    assert "next: " in done.stderr


@needs_compose
def test_order_is_data(one: dict[str, Any]) -> None:
    tasks = one

    def needed(name: str) -> list[str]:
        found: list[str] = tasks[name]["task_dep"]
        return found

    assert needed("build:shop.web") == []
    assert needed("build:shop") == ["build:shop.api", "build:shop.web"]
    assert needed("build:web") == ["build:shop.web"]
    assert needed("push:shop.web") == ["build:shop.web"]
    assert needed("deploy:shop.web") == ["push:shop.web"]
    assert needed("deploy:shop.redis") == []
    assert needed("deploy:shop") == ["push:shop.api", "push:shop.web"]
    assert needed("rollback:shop") == needed("plan:shop") == []
    assert "deploy:shop" in needed("deploy")


@needs_compose
def test_meta_says_what_a_task_is_about(one: dict[str, Any]) -> None:
    tasks = one
    assert tasks["deploy:shop.redis"]["meta"] == {"verb": "deploy", "stack": "shop", "service": "redis"}
    assert tasks["deploy:shop"]["meta"] == {"verb": "deploy", "stack": "shop"}
    assert tasks["build:web"]["meta"] == {"verb": "build", "stack": "shop", "service": "web", "alias": True}
    assert not tasks["build:web"]["acts"]
    assert tasks["build"]["meta"] is None


@needs_compose
def test_names_of_two_stacks(two: dict[str, Any]) -> None:
    tasks = two
    stacks = {"shop", "blog"}
    full = {"shop.api", "shop.web", "blog.web", "blog.shop", "blog.shop.web"}
    assert of(tasks, "build") == stacks | full | {"api", "web"}
    assert of(tasks, "deploy") == stacks | full | {"shop.redis", "api", "web", "redis"}
    assert tasks["build:api"]["task_dep"] == ["build:shop.api"]
    # A service named like a stack: the short name is the stack's.
    assert tasks["build:shop"]["task_dep"] == ["build:shop.api", "build:shop.web"]
    # A service of both: the short name is there, acts, and leads nowhere.
    assert tasks["build:web"]["acts"]
    assert tasks["build:web"]["task_dep"] == []
    for name in ("build:blog.web", "build:shop.web"):
        assert name in tasks["build:web"]["doc"]
    # A service of a profile that is off is not there.
    assert not any("debug" in name for name in tasks)


@needs_compose
def test_a_service_that_reads_like_another_stacks_is_no_clash(two: dict[str, Any]) -> None:
    assert two["build:shop.web"]["meta"] == {"verb": "build", "stack": "shop", "service": "web"}
    assert two["build:blog.shop.web"]["meta"] == {"verb": "build", "stack": "blog", "service": "shop.web"}


@needs_compose
def test_an_ambiguous_name_fails_with_the_candidates(tmp_path: Path) -> None:
    done = doit(configured(tmp_path, shop=SHOP, blog=BLOG), "deploy:web")
    assert done.returncode == 3, done
    assert "deploy:web is ambiguous" in done.stderr
    assert "deploy:blog.web" in done.stderr
    assert "deploy:shop.web" in done.stderr
    assert "Traceback" not in done.stderr


@needs_compose
def test_loading_starts_nothing_but_compose_and_imports_little(tmp_path: Path) -> None:
    config = configured(tmp_path, shop=SHOP)
    first = loaded(config, "deploy:shop.web")["started"]
    assert first
    for command in first:
        assert "docker compose" in " ".join(command)
        assert "config" in command or "version" in command
    again = loaded(config, "deploy:shop.web")
    assert again["started"] == [], "what Compose said is kept"
    assert not set(again["modules"]) & {
        "tasks.core.lint.rules",
        "requests",
        "rich",
        "git",
        "python_on_whales",
        "ruamel.yaml",
        "urllib3",
    }


def test_without_docker_the_list_says_nothing_wrong(tmp_path: Path) -> None:
    done = doit(configured(tmp_path, shop=SHOP), "list", PATH=without_docker(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split()[0] for line in done.stdout.splitlines()} == VERBS


@pytest.mark.parametrize("words", [[], ["deploy:shop.web", "status"]])
def test_without_docker_a_verb_says_so(tmp_path: Path, words: list[str]) -> None:
    done = doit(configured(tmp_path, shop=SHOP), *words, PATH=without_docker(tmp_path))
    assert done.returncode == 1, done
    assert "docker is not installed" in done.stderr
    assert "next: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@needs_compose
def test_without_an_engine_a_plan_says_so(tmp_path: Path) -> None:
    config = configured(tmp_path, shop="services: {redis: {image: redis:7}}\n")
    subprocess.run(["git", "init", "-q", str(tmp_path / "shop")], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    commit = ["git", "-C", str(tmp_path / "shop"), *identity, "commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run(commit, check=True)
    done = doit(config, "plan")
    assert done.returncode == 1, done
    assert "ERROR: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_compose_file_that_is_refused_does_not_spoil_the_list(tmp_path: Path) -> None:
    config = configured(tmp_path, shop="services: {web: {imaeg: x}}\n")
    done = doit(config, "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert doit(config, "plan").returncode == 1


def test_a_mistake_in_services_toml_is_a_mistake_everywhere(tmp_path: Path) -> None:
    config = configured(tmp_path, shop=SHOP)
    config.write_text(config.read_text() + 'rolout = "auto"\n')
    done = doit(config, "list")
    assert done.returncode == 3, done
    assert "services.toml:" in done.stderr
    assert "stacks.shop.rolout" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_variable_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    done = doit(configured(tmp_path, shop=SHOP), "plan", "shaa=1")
    assert done.returncode == 3, done
    assert "did you mean 'sha'?" in done.stderr


@needs_compose
def test_a_name_that_is_none_is_refused_with_nothing_done(tmp_path: Path) -> None:
    done = doit(configured(tmp_path, shop=SHOP), "deploy:shop.wbe")
    assert done.returncode == 3, done
    assert "deploy:shop.wbe" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_module_holds_nothing_but_imports() -> None:
    text = (ROOT / "dodo.py").read_text()
    assert len(text.splitlines()) < 40
    assert "def " not in text
