"""Task names: `<verb>:<stack>.<service>`, the group `<verb>:<stack>`, and `<verb>:<service>` where that is clear."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tasks.core.errors import OnevmError, UsageError
from tasks.steps import project as project_module
from tasks.steps.outcome import action

Task = dict[str, Any]

# Threads of an action write too; doit's capturing would mix that up.
_PLAIN: Task = {"io": {"capture": False}}


def short_names(names: Iterable[str], stacks: Iterable[str]) -> dict[str, list[str]]:
    """Return by short name the services `<stack>.<service>` it may mean; a stack's own name comes first."""
    taken = set(stacks)
    found: dict[str, list[str]] = {}
    for name in names:
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
    fresh_when: Callable[[list[str]], Task] | None = None,
) -> Iterator[Task]:
    """Yield the tasks of a verb: services, stacks, short names.

    Args:
        verb: the verb.
        doc: the line that `doit list` shows.
        services: by `<stack>.<service>`, what its task does.
        stacks: by stack, what its task does; None where a stack is no more than its services.
        fresh_when: what makes a task that only stands for others, given their names, as fresh as they are; without
            it `doit list --status` shows such a task as stale for ever.
    """

    def standing_for(full: list[str]) -> Task:
        return fresh_when(full) if fresh_when else {}

    yield {"name": None, "doc": doc, "actions": None, **standing_for(list(services))}
    names = list(project_module.project().stacks)
    for name, task in services.items():
        stack, _, service = name.partition(".")
        yield {"name": name, "meta": {"verb": verb, "stack": stack, "service": service}, **_PLAIN, **task}
    for stack in names:
        own = (stacks or {}).get(stack)
        if own is not None:
            yield {"name": stack, "meta": {"verb": verb, "stack": stack}, **_PLAIN, **own}
        else:
            own_services = [name for name in services if name.partition(".")[0] == stack]
            below = [f"{verb}:{name}" for name in own_services]
            yield {"name": stack, "actions": None, "task_dep": below, **standing_for(own_services)}
    for short, full in short_names(services, names).items():
        if len(full) == 1:
            stack, _, service = full[0].partition(".")
            meta = {"verb": verb, "stack": stack, "service": service, "alias": True}
            below = [f"{verb}:{full[0]}"]
            yield {"name": short, "actions": None, "task_dep": below, "meta": meta, **standing_for(full)}
        else:
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
    named = sorted({word.partition(":")[2] for word in project_module.words() if word.startswith(f"{verb}:")})
    task = {"actions": [(_fail, [error])], "uptodate": [False], **_PLAIN}
    yield {"name": None, "doc": doc, "actions": None}
    for name in named or sorted(project_module.project().stacks):
        yield {"name": name, **task}


@action
def _fail(error: OnevmError) -> None:
    raise error
