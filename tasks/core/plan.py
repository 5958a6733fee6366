"""A plan: the operations that lead from what is observed to what is desired, each with its cause.

Data only: nothing here acts. `reconcile.py` makes it, steps/ executes it.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from tasks.core.model import RolloutKind
from tasks.core.values import replace

Verb = Literal["build", "push", "tag", "pull", "sweep", "renew", "create", "start", "recreate", "remove"]
_ORDER: tuple[Verb, ...] = ("build", "push", "tag", "pull", "sweep", "renew", "create", "start", "recreate", "remove")
MOST_NAMED = 3


class Operation(Struct, frozen=True, kw_only=True):
    """One step.

    Attributes:
        verb: what is done.
        service: the Compose service it is done to (a container's name for sweep and remove, a network's for renew).
        cause: why.
        rollout: how a container is replaced, for `recreate`.
        reason: why in that way.
    """

    verb: Verb
    service: str
    cause: str
    rollout: RolloutKind | Literal[""] = ""
    reason: str = ""

    def __str__(self) -> str:
        how = f" ({self.rollout})" if self.rollout else ""
        return f"{self.verb} {self.service}{how}: {self.cause}"


class Plan(Struct, frozen=True, kw_only=True):
    """The operations for one stack, in the order of their phases."""

    stack: str
    operations: tuple[Operation, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations)

    def of(self, *verbs: Verb) -> tuple[Operation, ...]:
        """Return the operations with one of these verbs."""
        return tuple(op for op in self.operations if op.verb in verbs)

    def services(self, *verbs: Verb) -> frozenset[str]:
        """Return the services that have an operation with one of these verbs."""
        return frozenset(op.service for op in self.of(*verbs))

    def __str__(self) -> str:
        if not self.operations:
            return f"{self.stack}: nothing to do"
        return "\n".join([f"{self.stack}:", *(f"  {op}" for op in self.operations)])


def ordered(operations: list[Operation]) -> tuple[Operation, ...]:
    """Return operations by phase, then service."""
    return tuple(sorted(operations, key=lambda op: (_ORDER.index(op.verb), op.service)))


def summed(operations: Iterable[Operation], most: int) -> list[Operation]:
    """Return what a person reads of a plan: beyond `most` operations, those that are alike are one.

    Args:
        operations: the operations.
        most: so many are still shown one by one.

    Returns:
        Operations in their order; one that stands for several names the first services and how many more.
    """
    found = list(operations)
    if len(found) <= most:
        return found
    alike: dict[Operation, list[str]] = {}
    for op in found:
        alike.setdefault(replace(op, service=""), []).append(op.service)
    return [replace(op, service=_listed(services)) for op, services in alike.items()]


def _listed(services: list[str]) -> str:
    more = f" and {len(services) - MOST_NAMED} more" if len(services) > MOST_NAMED else ""
    return ", ".join(services[:MOST_NAMED]) + more
