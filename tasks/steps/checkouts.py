"""Checkouts are asked what they are at while the rest of Onevm is loaded: git takes as long as that."""

from collections.abc import Iterable
from pathlib import Path

from tasks.adapters.git import Checkout
from tasks.core.model import Configuration, Stack
from tasks.steps import variables
from tasks.steps.reaching import named

# The verbs that always look at the checkouts of the stacks they are named with, unless a commit is named, too.
_LOOKING = frozenset({"plan", "push", "deploy"})
_ahead: dict[Path, Checkout] = {}


def ahead(words: Iterable[str], configuration: Configuration) -> None:
    """Begin to ask the checkouts that a command line will surely look at, before its Compose files are read.

    Args:
        words: its words that may be names of tasks.
        configuration: services.toml.
    """
    if variables.text("sha"):
        return
    for name in sorted(named(words, configuration.stacks, _LOOKING)):
        path = configuration.stacks[name].path
        _ahead[path] = Checkout(path)
        _ahead[path].begin()


def checkout(stack: Stack) -> Checkout:
    """Return a stack's checkout, which may have been asked already."""
    return _ahead.get(stack.path) or Checkout(stack.path)
