"""Why a service is stale: `git diff` explains, the content key decides."""

import os

from tasks.core.release import ReleasedService
from tasks.steps.inputs import Keyed, Sources

MOST_FILES = 3


def stale(sources: Sources, keyed: Keyed, released: ReleasedService | None) -> str:
    """Return why a service's image is not the one that runs: the changed files, as far as git can tell.

    Args:
        sources: its stack's checkout.
        keyed: the service.
        released: what runs now, None if nothing does.
    """
    if released is None or not released.content_key:
        return "never deployed"
    if released.content_key == keyed.key:
        return "its image is in no registry"
    changed = set(keyed.uncommitted)
    checkout = sources.checkout
    base = released.revision
    if not base or not checkout.has(base):
        known = f"commit {base[:7]}, from which it runs, is not in this clone" if base else "from an unknown commit"
        return _listed(changed) or f"changed files unknown: {known}"
    there = {entry.location for source in keyed.inputs.sources for entry in source.entries}
    for path in checkout.changed_between(base, "HEAD"):
        if str(path) in there or not os.path.lexists(path):
            changed.add(os.path.relpath(path, checkout.top))
    return _listed(changed) or "its build definition changed"


def _listed(paths: set[str]) -> str:
    shown = sorted(paths)[:MOST_FILES]
    more = f" and {len(paths) - len(shown)} more" if len(paths) > len(shown) else ""
    return f"{', '.join(shown)}{more} changed" if shown else ""
