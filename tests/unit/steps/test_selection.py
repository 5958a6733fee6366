"""What a command line selects, from doit's own tasks."""

from typing import Any

import pytest
from doit.loader import generate_tasks
from doit.task import Task

from tasks.steps import selection
from tasks.steps.selection import Selection, of


def task(name: str, verb: str, stack: str, service: str = "", needs: tuple[str, ...] = (), **more: Any) -> Any:
    meta = {"verb": verb, "stack": stack} | ({"service": service} if service else {})
    return {"name": name, "actions": [lambda: None], "task_dep": list(needs), "meta": meta, **more}


def all_tasks() -> dict[str, Task]:
    services = {"shop": ["api", "web"], "blog": ["web"]}
    verbs: dict[str, list[Any]] = {
        verb: [{"name": None, "doc": verb, "actions": None}] for verb in ("build", "push", "deploy")
    }
    before = {"build": "", "push": "build", "deploy": "push"}
    for verb, tasks in verbs.items():
        for stack, names in services.items():
            for name in names:
                needs = (f"{before[verb]}:{stack}.{name}",) if before[verb] else ()
                tasks.append(task(f"{stack}.{name}", verb, stack, name, needs))
            if verb == "deploy":
                tasks.append(task(stack, verb, stack, "", tuple(f"push:{stack}.{name}" for name in names)))
            else:
                below = [f"{verb}:{stack}.{name}" for name in names]
                tasks.append({"name": stack, "actions": None, "task_dep": below})
        tasks.append({**task("api", verb, "shop", "api", (f"{verb}:shop.api",)), "actions": None})
    found = [t for verb, tasks in verbs.items() for t in generate_tasks(verb, (task_ for task_ in tasks))]
    return {t.name: t for t in found}


TASKS = all_tasks()
ALL = frozenset({"shop.api", "shop.web", "blog.web"})
CASES: dict[str, tuple[list[str], Selection]] = {
    "nothing": ([], Selection()),
    "one build": (
        ["build:shop.web"],
        Selection(
            build=frozenset({"shop.web"}), scopes={"build": {"shop": frozenset({"web"})}}, verbs=frozenset({"build"})
        ),
    ),
    "one push builds too": (
        ["push:shop.web"],
        Selection(
            build=frozenset({"shop.web"}),
            push=frozenset({"shop.web"}),
            scopes={"push": {"shop": frozenset({"web"})}},
            verbs=frozenset({"push"}),
        ),
    ),
    "a short name": (
        ["deploy:api"],
        Selection(
            build=frozenset({"shop.api"}),
            push=frozenset({"shop.api"}),
            scopes={"deploy": {"shop": frozenset({"api"})}},
            verbs=frozenset({"deploy"}),
        ),
    ),
    "a stack": (
        ["deploy:shop"],
        Selection(
            build=frozenset({"shop.api", "shop.web"}),
            push=frozenset({"shop.api", "shop.web"}),
            scopes={"deploy": {"shop": None}},
            verbs=frozenset({"deploy"}),
        ),
    ),
    "a verb means whole stacks": (
        ["deploy"],
        Selection(build=ALL, push=ALL, scopes={"deploy": {"shop": None, "blog": None}}, verbs=frozenset({"deploy"})),
    ),
    "several kinds are one batch": (
        ["build:api", "build:shop.web", "deploy:blog.web"],
        Selection(
            build=ALL,
            push=frozenset({"blog.web"}),
            scopes={"build": {"shop": frozenset({"api", "web"})}, "deploy": {"blog": frozenset({"web"})}},
            verbs=frozenset({"build", "deploy"}),
        ),
    ),
    "a stack and one of its services": (
        ["deploy:shop.web", "deploy:shop", "deploy:shop.api"],
        Selection(
            build=frozenset({"shop.api", "shop.web"}),
            push=frozenset({"shop.api", "shop.web"}),
            scopes={"deploy": {"shop": None}},
            verbs=frozenset({"deploy"}),
        ),
    ),
    "a name that is none": (["deploy:nope"], Selection(scopes={}, verbs=frozenset({"deploy"}))),
}


@pytest.mark.parametrize("name", CASES)
def test_a_command_line_selects(name: str) -> None:
    words, wanted = CASES[name]
    assert of(TASKS, words) == wanted


def test_tasks_that_need_each_other_in_a_circle_are_seen_once() -> None:
    circle = {
        name: Task(name, None, task_dep=[other], meta={"verb": "build", "stack": "s", "service": name[-1]})
        for name, other in (("build:a", "build:b"), ("build:b", "build:a"))
    }
    assert of(circle, ["build:a"]).build == {"s.a", "s.b"}


def test_setup_tasks_are_reached_too() -> None:
    tasks = {
        "deploy:s": Task("deploy:s", None, setup=["build:s.a"], meta={"verb": "deploy", "stack": "s"}),
        "build:s.a": Task("build:s.a", None, meta={"verb": "build", "stack": "s", "service": "a"}),
    }
    assert of(tasks, ["deploy:s"]).build == {"s.a"}


def test_the_selection_of_the_run_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_current", Selection())
    selection.begin(TASKS, iter(["build:api"]))
    assert selection.current().build == {"shop.api"}
