"""All rules that need no image, on one stack."""

from collections.abc import Iterator

from tasks.core.lint.bounds import bounds
from tasks.core.lint.development import development
from tasks.core.lint.health import health
from tasks.core.lint.leftovers import leftovers
from tasks.core.lint.mounts import mounts
from tasks.core.lint.replacing import replacing
from tasks.core.lint.rule import Fault
from tasks.core.lint.secrets import secrets
from tasks.core.lint.subject import Subject

_RULES = (health, bounds, replacing, secrets, mounts, development, leftovers)


def faults(subject: Subject) -> Iterator[Fault]:
    """Yield what the rules find, each fault of one service."""
    for rules in _RULES:
        yield from rules(subject)
