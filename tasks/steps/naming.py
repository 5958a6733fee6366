"""Task names: `<verb>:<stack>.<service>`, the group `<verb>:<stack>`, and `<verb>:<service>` where that is clear."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tasks.core.errors import OnevmError, UsageError
from tasks.steps import configuration
from tasks.steps import project as project_module
from tasks.steps.outcome import action
from tasks.steps.reach import reach

Task = dict[str, Any]

# Threads of an action write too; doit's capturing would mix that up.
_PLAIN: Task = {"io": {"capture": False}}


def short_names(names: Iterable[str], stacks: Iterable[str]) -> dict[str, list[str]]:
    """Return by short name the services `<stack>.<service>` it may mean; stacks and full names come first."""
    full = list(names)
    taken = {*stacks, *full}
    found: dict[str, list[str]] = {}
    for name in full:
        service = name.partition(".")[2]
        if service not in taken:
            found.setdefault(service, []).append(name)
    return found


def tree(
    verb: str,
    doc: str,
    services: Mapping[str, Task],
    *,
    stacks: Mapping[str, Task] | None = None,
    standing_for: Callable[[list[str]], Task] | None = None,
) -> Iterator[Task]:
    """Yield the tasks of a verb: services, stacks, short names. What the command line cannot reach is left out.

    Args:
        verb: the verb.
        doc: the line that `doit list` shows.
        services: by `<stack>.<service>`, what its task does.
        stacks: by stack, what its task does; None where a stack is no more than its services.
        standing_for: what makes a task that only stands for others, given their names, as fresh as they are; without
            it `doit list --status` shows such a task as stale for ever.
    """

    def same_as(full: list[str]) -> Task:
        return standing_for([f"{verb}:{name}" for name in full]) if standing_for else {}

    reached = reach()
    shorts = short_names(services, project_module.project().stacks)
    wanted = [name for name in services if reached.service(name)] if reached.verb(verb) else []
    yield {"name": None, "doc": doc, "actions": None, **same_as(wanted)}
    yield from _ambiguous_names(verb, shorts)
    if not reached.verb(verb):
        return
    for name in wanted:
        stack, _, service = name.partition(".")
        yield {"name": name, "meta": {"verb": verb, "stack": stack, "service": service}, **_PLAIN, **services[name]}
    for stack in filter(reached.stack, project_module.project().stacks):
        own = (stacks or {}).get(stack)
        if own is not None:
            yield {"name": stack, "meta": {"verb": verb, "stack": stack}, **_PLAIN, **own}
        else:
            below = [name for name in wanted if name.partition(".")[0] == stack]
            yield {"name": stack, "actions": None, "task_dep": [f"{verb}:{name}" for name in below], **same_as(below)}
    for short, full in shorts.items():
        if len(full) == 1 and reached.alias(f"{verb}:{short}"):
            stack, _, service = full[0].partition(".")
            meta = {"verb": verb, "stack": stack, "service": service, "alias": True}
            below = [f"{verb}:{full[0]}"]
            yield {"name": short, "actions": None, "task_dep": below, "meta": meta, **same_as(full)}


def _ambiguous_names(verb: str, shorts: Mapping[str, list[str]]) -> Iterator[Task]:
    for short, full in shorts.items():
        if len(full) > 1:
            yield {
                "basename": f"{verb}:{short}",
                "doc": f"ambiguous: {', '.join(f'{verb}:{name}' for name in full)}",
                "actions": [(_ambiguous, [verb, short, full])],
                "uptodate": [False],
                **_PLAIN,
            }


@action
def _ambiguous(verb: str, short: str, full: list[str]) -> None:
    candidates = ", ".join(f"{verb}:{name}" for name in full)
    raise UsageError(f"{verb}:{short} is ambiguous", next_step=f"say which: {candidates}")


def broken(verb: str, doc: str, error: OnevmError) -> Iterator[Task]:
    """Yield the tasks of a verb while the Compose projects cannot be read: each says why.

    Names of services are unknown then, so every name of this verb on the command line gets a task.
    """
    named = sorted({word.partition(":")[2] for word in configuration.words() if word.startswith(f"{verb}:")})
    task = {"actions": [(_fail, [error])], "uptodate": [False], **_PLAIN}
    yield {"name": None, "doc": doc, "actions": None}
    for name in named or sorted(project_module.project().stacks):
        yield {"name": name, **task}


@action
def _fail(error: OnevmError) -> None:
    raise error
