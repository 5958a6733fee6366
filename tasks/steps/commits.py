"""The commits between what a host runs and what is to run on it."""

from msgspec import Struct

from tasks.adapters.git import Checkout
from tasks.core.errors import OnevmError

MOST = 20


class Commits(Struct, frozen=True, kw_only=True):
    """How two commits lie to each other.

    Attributes:
        new: commits that only the new one has, newest first, as `sha7 subject`; 20 at most.
        new_count: how many they are.
        undone: commits that run and that the new one has not, likewise: it was rewritten, or is an older one.
        undone_count: how many they are.
        unknown: why none of this can be told, empty if it can.
    """

    new: tuple[str, ...] = ()
    new_count: int = 0
    undone: tuple[str, ...] = ()
    undone_count: int = 0
    unknown: str = ""


def between(checkout: Checkout, running: str, wanted: str) -> Commits:
    """Return the commits between the one that runs and another one.

    A missing commit is fetched where it brings its history along; in a shallow clone it would come alone, and nobody
    could count from it.
    """
    if running == wanted:
        return Commits()
    try:
        if not checkout.has(running):
            shallow = checkout.is_shallow
            why = "it is a shallow one" if shallow else checkout.fetch(running)
            if why:
                return Commits(unknown=f"commit {running[:7]} is not in this clone, and {why}")
        counts = checkout.apart(running, wanted)
        if counts is None:
            return Commits(unknown=f"the history of this shallow clone does not reach back to commit {running[:7]}")
        undone, new = counts
        return Commits(
            new=_subjects(checkout, running, wanted) if new else (),
            new_count=new,
            undone=_subjects(checkout, wanted, running) if undone else (),
            undone_count=undone,
        )
    except OnevmError as error:
        return Commits(unknown=error.what)


def _subjects(checkout: Checkout, base: str, head: str) -> tuple[str, ...]:
    return tuple(f"{commit.sha[:7]} {commit.subject}" for commit in checkout.commits_between(base, head, MOST))
