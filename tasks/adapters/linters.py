"""Other linters that know Dockerfiles: hadolint, and BuildKit's own checks. Each is asked if it is there."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import which

from msgspec import Struct

from tasks.adapters.process import CommandFailed, run
from tasks.core.versions import Version

LINT_SECONDS = 60
# `--call` came with it, as an experiment that needs BuildKit 0.15.
_BUILDX_WITH_CHECK = Version(0, 16, 0)
_UNKNOWN = "unsupported request frontend.lint"
_ALOUD = frozenset({"error", "warning"})


class Remark(Struct, frozen=True, kw_only=True):
    """What another linter says: its name and rule (`hadolint:DL3008`), the line, its words."""

    rule: str
    line: int
    text: str


def hadolint_version() -> str:
    """Return hadolint's version, empty if it is not installed."""
    if which("hadolint") is None:
        return ""
    return run(["hadolint", "--version"], timeout=LINT_SECONDS, check=False).stdout.strip().rpartition(" ")[2]


def hadolint(dockerfile: Path, folder: Path) -> Iterator[Remark]:
    """Yield what hadolint says of a Dockerfile, hints and matters of style aside.

    Args:
        dockerfile: the file.
        folder: where its configuration file is looked for.
    """
    done = run(
        ["hadolint", "--no-fail", "--format", "json", str(dockerfile)], timeout=LINT_SECONDS, cwd=folder, check=False
    )
    try:
        said = json.loads(done.stdout or "[]")
    except ValueError:
        return
    for entry in said:
        if entry.get("level") in _ALOUD:
            yield Remark(rule=f"hadolint:{entry['code']}", line=int(entry["line"]), text=str(entry["message"]))


def can_check(buildx: Version) -> bool:
    """Whether a buildx has BuildKit's checks; its builder may still be too old for them."""
    return buildx >= _BUILDX_WITH_CHECK


def buildkit(dockerfile: Path, context: Path, target: str | None) -> Sequence[Remark] | None:
    """Return what BuildKit's checks say of a Dockerfile; None if the builder does not know them.

    They look at the base images, too; where those cannot be had, there is no answer.
    """
    args = ["docker", "buildx", "build", "--call=check,format=json", "--file", str(dockerfile)]
    args += ["--target", target] if target else []
    try:
        done = run([*args, str(context)], timeout=LINT_SECONDS, check=False)
        if _UNKNOWN in done.stderr:
            return None
        said = json.loads(done.stdout or "{}")
    except (CommandFailed, ValueError):
        return []
    return [
        Remark(rule=f"buildkit:{w.get('ruleName')}", line=_line(w), text=str(w.get("detail") or w.get("description")))
        for w in said.get("warnings") or ()
    ]


def _line(warning: dict[str, object]) -> int:
    location = warning.get("location")
    ranges = location.get("ranges") if isinstance(location, dict) else None
    return int(ranges[0]["start"]["line"]) if ranges else 1
