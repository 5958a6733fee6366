"""check: are tools, engine, builder, registry and hosts as Onevm needs them, and what will hurt in the stacks' files?

Only looks. services.toml and the Compose files are read by every command before anything else; here the rules of
`core/lint` are asked about them, and with `images=1` about the images that the local engine has.
"""

from collections.abc import Iterator

from tasks.core.values import plain
from tasks.steps import outcome, run, variables
from tasks.steps.configuration import start_folder
from tasks.steps.naming import Task, broken
from tasks.steps.outcome import action
from tasks.steps.project import project

DOC = "check tools, engine, registry, hosts, stacks' files; only looks"


@action
def check() -> None:
    """Look at everything, and end with 1 if something fails."""
    # Every command loads this module, and no other needs the rules.
    from tasks.steps import checking, listing
    from tasks.steps.report import report

    r = run.run()
    found = checking.findings(r)
    rules = report(r, images=variables.flag("images"))
    found += rules.looks
    base = start_folder()
    if variables.as_json():
        r.screen.document({"schema": 1, "findings": [plain(f) for f in found], **listing.document(rules, base)})
    else:
        rows = [[f.subject, f.state, f.detail, f.next_step] for f in found]
        r.screen.table("", ["what", "state", "found", "next step"], rows)
        listing.show(r.screen, rules, base)
    if any(f.state == "failed" for f in found) or any(f.severity == "error" for f in rules.faults):
        outcome.note(1)


def task_check() -> Iterator[Task]:
    """Check tools, engine, builder, registry, hosts, and the stacks' files by rules; only looks."""
    found = project()
    if found.broken:
        yield from broken("check", DOC, found.broken)
        return
    yield {"basename": "check", "doc": DOC, "actions": [(check, [])], "uptodate": [False], "io": {"capture": False}}
