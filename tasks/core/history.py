"""Choosing among recorded releases: which one a rollback means, which one a commit means."""

from collections.abc import Sequence

from tasks.core.errors import UsageError
from tasks.core.release import Release

SHORTEST_SHA = 4
_MOST_CANDIDATES = 8


def before(current: Release, releases: Sequence[Release]) -> Release:
    """Return the newest good release before the current one that is not the same content.

    After a rollback it goes on from the release that was restored, so that rolling back twice goes two back and
    never returns to what was rolled back from.

    Args:
        current: what runs now.
        releases: all recorded ones.

    Raises:
        UsageError: there is none.
    """
    start = current.restores or current.id
    for release in sorted(releases, key=lambda r: r.id, reverse=True):
        if release.id < start and release.outcome == "good" and not release.same_bytes(current):
            return release
    raise UsageError(
        f"{current.stack} has no good release before {current.id} to go back to",
        next_step="see `doit history`; `doit rollback sha=…` names one",
    )


def named(stack: str, text: str, releases: Sequence[Release]) -> Release | None:
    """Return the newest good release of a commit, or the release with an id; None if no record has it.

    A release of single services, or with uncommitted changes, is not what its commit says: only its id names it.

    Args:
        stack: the stack's name, for messages.
        text: a release id, or a commit's sha, abbreviated to at least four digits.
        releases: all recorded ones.

    Raises:
        UsageError: the abbreviation is too short, or means several commits.
    """
    newest = sorted(releases, key=lambda r: r.id, reverse=True)
    for release in newest:
        if release.id == text:
            return release
    if len(text) < SHORTEST_SHA:
        step = f"give at least {SHORTEST_SHA} digits; known releases: {candidates(releases)}"
        raise UsageError(f"sha={text} is too short", next_step=step)
    matching = [r for r in newest if r.sha.startswith(text.lower()) and not r.scope and not r.dirty]
    commits = list(dict.fromkeys(r.sha for r in matching))
    if len(commits) > 1:
        raise UsageError(f"{stack}: sha={text} is ambiguous", next_step=f"one of {', '.join(commits)}")
    good = [r for r in matching if r.outcome == "good"]
    return good[0] if good else None


def candidates(releases: Sequence[Release]) -> str:
    """Return the newest good releases as text for a message."""
    good = [r for r in sorted(releases, key=lambda r: r.id, reverse=True) if r.outcome == "good"]
    newest_of = {r.sha: r for r in reversed(good)}
    shown = [f"{r.sha[:7]} ({r.created})" for r in good if newest_of[r.sha] is r]
    return ", ".join(shown[:_MOST_CANDIDATES]) or "none"
