"""Which tasks a command line can reach, so that nothing is spent on the others.

With a thousand services there are ten thousand names of tasks. `doit build:notes.web` needs two of them, `doit list`
shows ten. Where this is in doubt, everything is reached.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import cache

from msgspec import Struct

from tasks.steps.configuration import words
from tasks.steps.project import project

# What else is reached through `task_dep`.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "build": (),
    "push": ("build",),
    "deploy": ("push", "build"),
    "rollback": (),
    "plan": (),
    "status": (),
    "history": (),
    "check": (),
    "report": (),
    "ci": (),
    "prune": (),
    "vm": (),
}
# Their group and their stacks' tasks do it all; those of services are for services that are named.
_WHOLE = frozenset({"plan", "rollback"})
_DEFAULT = ("plan",)
_WITHOUT_STATUS = {"help", "dumpdb", "tabcompletion"}
_STATUS_LETTER = "s"


class Reach(Struct, frozen=True, kw_only=True):
    """What a command line can reach.

    Attributes:
        verbs: the verbs with a task that it can reach; None for all, under every name that they have.
        services: the services, `<stack>.<service>`; None for all.
        stacks: the stacks that it can reach as a whole; None for all.
        named: the words that name tasks.
        status: whether doit may ask whether a build is fresh.
        shown: whether it may say so of tasks that only stand for others; where they are run, nothing hangs on it.
    """

    verbs: frozenset[str] | None = None
    services: frozenset[str] | None = None
    stacks: frozenset[str] | None = None
    named: frozenset[str] = frozenset()
    status: bool = True
    shown: bool = True

    def verb(self, verb: str) -> bool:
        """Whether a task of a verb can be reached."""
        return self.verbs is None or verb in self.verbs

    def service(self, name: str) -> bool:
        """Whether the tasks of a service `<stack>.<service>` can be reached."""
        return self.services is None or name in self.services

    def stack(self, name: str) -> bool:
        """Whether the task of a whole stack can be reached."""
        return self.stacks is None or name in self.stacks

    def alias(self, task: str) -> bool:
        """Whether a task that only stands for others can be reached; nothing depends on one."""
        return self.verbs is None or task in self.named


def of(words_: Sequence[str], options: Sequence[str], services: Mapping[str, Sequence[str]]) -> Reach:
    """Return what a command line can reach.

    Args:
        words_: its words that may be names of tasks or doit's commands.
        options: its other arguments.
        services: the names of services by stack.
    """
    command, names = "run", list(words_)
    if names and names[0] not in _NEEDS and ":" not in names[0]:
        command = names.pop(0)
    if command == "list" and not names and not options:
        # Sub-tasks are not listed.
        return Reach(verbs=frozenset(), services=frozenset(), stacks=frozenset(), status=False)
    if command == "list":
        return Reach(status=any(_asks_for_status(option) for option in options))
    if command not in {"run", "info"} or (command == "info" and not names):
        return Reach(status=command not in _WITHOUT_STATUS)
    found = {name: _named(name, services) for name in names or _DEFAULT}
    if any(named is None for named in found.values()):
        return Reach()
    if command == "run":
        found |= {name: [] for name in found if _is_whole(name, services)}
    verbs = {name.partition(":")[0] for name in names or _DEFAULT}
    verbs |= {needed for verb in verbs for needed in _NEEDS[verb]}
    return Reach(
        verbs=frozenset(verbs),
        services=frozenset(service for named in found.values() for service in named or ()),
        stacks=frozenset(stack for name in names or _DEFAULT for stack in _stacks(name, services)),
        named=frozenset(names),
        status="build" in verbs,
        shown=command != "run",
    )


def _asks_for_status(option: str) -> bool:
    return option == "--status" or (option[:1] == "-" and option[1:2] != "-" and _STATUS_LETTER in option)


def _named(task: str, services: Mapping[str, Sequence[str]]) -> list[str] | None:
    """Return the services that a task is about; None if it is none of ours."""
    verb, _, name = task.partition(":")
    if verb not in _NEEDS:
        return None
    if not name and ":" not in task:
        return [f"{stack}.{service}" for stack, found in services.items() for service in found]
    if name in services:
        return [f"{name}.{service}" for service in services[name]]
    stack, _, service = name.partition(".")
    if service in services.get(stack, ()):
        return [name]
    return [f"{stack}.{name}" for stack, found in services.items() if name in found] or None


def _is_whole(task: str, services: Mapping[str, Sequence[str]]) -> bool:
    verb, _, name = task.partition(":")
    return verb in _WHOLE and (not name or name in services)


def _stacks(task: str, services: Mapping[str, Sequence[str]]) -> list[str]:
    _, _, name = task.partition(":")
    return [stack for stack in services if not name or name == stack]


@cache
def reach() -> Reach:
    """Return what this run's command line can reach."""
    services = {stack: compose.services for stack, compose in project().compose.items()}
    options = [argument for argument in sys.argv[1:] if argument.startswith("-")]
    return of(words(), options, {stack: tuple(found) for stack, found in services.items()})
