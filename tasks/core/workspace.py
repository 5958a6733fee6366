"""Where repositories stand beside each other on a runner, so that the relative paths between them hold."""

import os
from collections.abc import Iterable
from pathlib import Path


def places(own: Path, name: str, others: Iterable[Path]) -> dict[Path, str]:
    """Return the folder of each repository, relative to the workspace.

    The repository with services.toml gets its name on the forge: what its folder is called on somebody's machine
    shall not change the files. Relative paths that lead out of it and back in again would break by that, so it keeps
    its folder's name where another repository has taken the other one.

    Args:
        own: top of the repository with services.toml, absolute.
        name: its name on the forge, or an empty string.
        others: tops of the other repositories, absolute.
    """
    tops = [own, *(top for top in others if top != own)]
    base = Path(os.path.commonpath([top.parent for top in tops]))
    found = {top: top.relative_to(base) for top in tops}
    renamed = found[own].with_name(name or own.name)
    if renamed not in {place for top, place in found.items() if top != own}:
        old = found[own]
        for top, place in found.items():
            if place.is_relative_to(old):
                found[top] = renamed / place.relative_to(old)
    return {top: place.as_posix() for top, place in found.items()}
