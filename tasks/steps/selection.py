"""What this run was asked for: doit's selection, seen before anything runs.

doit's reporter is told the selected tasks first. From them and their `task_dep`s follows which services will be
built and pushed, so that one bake serves all of them however they were named.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field


class Selection(Struct, frozen=True, kw_only=True):
    """The services that each verb reaches, as `<stack>.<service>`, and what `deploy` and others were named with.

    Attributes:
        build: services whose build task is selected or needed.
        push: services whose push task is selected or needed.
        scopes: by verb, by stack: the selected services; None for the whole stack.
        verbs: the verbs that were named.
    """

    build: frozenset[str] = frozenset()
    push: frozenset[str] = frozenset()
    scopes: Mapping[str, Mapping[str, frozenset[str] | None]] = field(default_factory=dict)
    verbs: frozenset[str] = frozenset()


_current = Selection()


def current() -> Selection:
    """Return the selection of this run."""
    return _current


def begin(tasks: Mapping[str, Any], selected: Iterable[str]) -> None:
    """Take note of doit's selection, before anything runs."""
    global _current  # noqa: PLW0603 - one run per process, as doit has it
    _current = of(tasks, list(selected))


def of(tasks: Mapping[str, Any], selected: list[str]) -> Selection:
    """Return the selection that doit's tasks and selected names mean."""
    reached: dict[str, set[str]] = {"build": set(), "push": set()}
    seen: set[str] = set()
    queue = list(selected)
    while queue:
        name = queue.pop()
        if name in seen or name not in tasks:
            continue
        seen.add(name)
        task = tasks[name]
        queue += [*task.task_dep, *task.setup_tasks]
        meta = task.meta or {}
        if meta.get("verb") in reached and meta.get("service"):
            reached[meta["verb"]].add(f"{meta['stack']}.{meta['service']}")
    scopes: dict[str, dict[str, frozenset[str] | None]] = {}
    for name in selected:
        for leaf in _leaves(tasks, name):
            _widen(scopes, leaf)
    return Selection(
        build=frozenset(reached["build"]),
        push=frozenset(reached["push"]),
        scopes=scopes,
        verbs=frozenset(name.partition(":")[0] for name in selected),
    )


def _leaves(tasks: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    task = tasks.get(name)
    if task is None:
        return []
    if task.meta:
        return [task.meta]
    if task.has_subtask:
        # The group of a verb means every stack as a whole, not each service apart.
        metas = [tasks[sub].meta for sub in task.task_dep if sub in tasks and tasks[sub].meta]
        return [meta for meta in metas if not meta.get("service")] or metas
    return []


def _widen(scopes: dict[str, dict[str, frozenset[str] | None]], meta: Mapping[str, Any]) -> None:
    by_stack = scopes.setdefault(meta["verb"], {})
    stack, service = meta.get("stack"), meta.get("service")
    if not stack:
        return
    if not service:
        by_stack[stack] = None
    else:
        known = by_stack.get(stack, frozenset())
        by_stack[stack] = None if known is None else known | {service}
