"""Prints what an interpreter lacks of a dependency group: `python group.py PYPROJECT GROUP`.

It runs in the interpreter in question, before anything is installed there: standard library only.
One requirement per line, nothing if all are there in the wanted versions. Requirements are
`name` or `name==version`, the only forms the project uses.
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def requirements(groups: dict[str, list[str | dict[str, str]]], group: str) -> list[str]:
    """Returns a group's requirements, those of the groups it includes first (PEP 735)."""
    found: list[str] = []
    for entry in groups[group]:
        found += [entry] if isinstance(entry, str) else requirements(groups, entry["include-group"])
    return found


def is_met(requirement: str) -> bool:
    """Says whether the running interpreter has the distribution, in the version if one is named."""
    name, _, wanted = requirement.partition("==")
    try:
        return version(name.strip()) == (wanted.strip() or version(name.strip()))
    except PackageNotFoundError:
        return False


if __name__ == "__main__":
    pyproject, chosen = sys.argv[1:]
    groups = tomllib.loads(Path(pyproject).read_text(encoding="utf-8"))["dependency-groups"]
    print("\n".join(line for line in requirements(groups, chosen) if not is_met(line)))
