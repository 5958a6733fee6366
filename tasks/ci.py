"""ci: write the workflow files that build, push, deploy and roll back, for GitHub and Gitea Actions.

    services.toml, Compose files, origins of the checkouts -> .github/workflows, .gitea/workflows

They go into the repository of services.toml, and into that of every stack that has one of its own. A file that was
edited by hand is left alone, unless `force=1`. `ci:check` only looks, and ends with 1 if a file is not up to date.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tasks.core.errors import OnevmError
from tasks.steps import output, variables
from tasks.steps.naming import Task, broken
from tasks.steps.outcome import action
from tasks.steps.project import project
from tasks.steps.reach import reach

if TYPE_CHECKING:
    from tasks.steps.workflows import File

DOC = "write workflow files for GitHub and Gitea; ci:check compares them"
_PLAIN: Task = {"io": {"capture": False}, "uptodate": [False]}
_BY_HAND = {"edited": "edited by hand", "foreign": "not written by Onevm"}


@action
def write(name: str) -> None:
    """Write the files of one forge."""
    # Every command loads this module, and no other needs these.
    from tasks.core.forge import FORGES
    from tasks.steps import workflows

    force = variables.flag("force")
    found = workflows.files(project(), [FORGES[name]])
    kept = [] if force else [f for f in found if f.condition in _BY_HAND]
    states = {}
    for file in found:
        if file.condition == "up to date":
            states[file] = "unchanged"
        elif file in kept:
            states[file] = f"kept: {_BY_HAND[file.condition]}"
        else:
            file.write()
            states[file] = "written"
    _show(states.items())
    if kept:
        raise OnevmError(
            f"{len(kept)} of {len(found)} workflow files were left as they are: {_BY_HAND[kept[0].condition]}",
            next_step=f"doit ci:{name} force=1 overwrites them; `git diff` then shows what is lost",
        )


@action
def check() -> None:
    """Say which files are up to date; those that Onevm never wrote are nobody's business."""
    from tasks.core.forge import FORGES
    from tasks.steps import workflows

    found = workflows.used(workflows.files(project(), FORGES.values()))
    if not found:
        raise OnevmError("there are no workflow files yet", next_step="doit ci, or doit ci:github, or doit ci:gitea")
    _show((file, _BY_HAND.get(file.condition, file.condition)) for file in found)
    if wrong := [file for file in found if file.condition not in {"up to date", "foreign"}]:
        raise OnevmError(f"{len(wrong)} of {len(found)} workflow files are not up to date", next_step="doit ci")


def _show(states: "Iterable[tuple[File, str]]") -> None:
    rows = [[str(file.repository), file.path, state] for file, state in states]
    output.screen().table("", ["repository", "file", "state"], rows)


def task_ci() -> Iterator[Task]:
    """Write the workflow files of GitHub and Gitea Actions; ci:check compares them."""
    found = project()
    if found.broken:
        yield from broken("ci", DOC, found.broken)
        return
    yield {"name": None, "doc": DOC, "actions": None}
    if not reach().verb("ci"):
        return
    from tasks.core.forge import FORGES

    for name, forge in FORGES.items():
        yield {"name": name, "doc": f"write {forge.folder}", "actions": [(write, [name])], **_PLAIN}
    # A name of its own: `doit ci` does not mean it.
    doc = "say which workflow files are up to date"
    yield {"basename": "ci:check", "doc": doc, "actions": [(check, [])], **_PLAIN}
