"""Why a service is stale: `git diff` explains, the content key decides."""

import os
from collections.abc import Iterator

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
    base = released.revision.removesuffix("-dirty")
    if not base or not checkout.has(base):
        known = f"commit {base[:7]}, from which it runs, is not in this clone" if base else "from an unknown commit"
        return _listed(changed) or f"changed files unknown: {known}"
    read = list(_with_bases(sources, keyed))
    there = {entry.location for one in read for source in one.inputs.sources for entry in source.entries}
    for path in checkout.changed_between(base, "HEAD"):
        gone = not os.path.lexists(path) and any(sources.was_read(one.definition, path) for one in read)
        if gone or str(path) in there:
            changed.add(os.path.relpath(path, checkout.top))
    return _listed(changed) or "its build definition changed"


def _with_bases(sources: Sources, keyed: Keyed) -> Iterator[Keyed]:
    yield keyed
    for base in keyed.definition.bases:
        yield from _with_bases(sources, sources.keyed(base))


def _listed(paths: set[str]) -> str:
    shown = sorted(paths)[:MOST_FILES]
    more = f" and {len(paths) - len(shown)} more" if len(paths) > len(shown) else ""
    return f"{', '.join(shown)}{more} changed" if shown else ""
