"""The documentation says what is there: tasks, variables, links, and nothing of how the project is made."""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from doit.doit_cmd import DoitMain

from tasks.steps.variables import KNOWN

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
HIDDEN_BUT_OURS = {".ci", ".github", ".gitea"}
DOIT_COMMANDS = {command.get_name() for command in DoitMain.DOIT_CMDS}


def files() -> Iterator[Path]:
    """Give the project's files: what stands in no hidden folder, caches aside."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(n for n in folders if n != "__pycache__" and (n[0] != "." or n in HIDDEN_BUT_OURS))
        yield from (Path(folder) / name for name in sorted(names) if (Path(folder) / name).is_file())


PAGES = [path for path in files() if path.suffix == ".md"]


def section(title: str) -> str:
    """Return a section of the README."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def verbs() -> set[str]:
    """Return the verbs that dodo.py gives to doit."""
    tree = ast.parse((ROOT / "dodo.py").read_text())
    names = [a.name for node in tree.body if isinstance(node, ast.ImportFrom) for a in node.names]
    return {name.removeprefix("task_") for name in names if name.startswith("task_")}


def named_verbs(text: str) -> set[str]:
    """Return the words that follow `doit` where it is typed: in code."""
    code = re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL)
    return {verb for piece in code for verb in re.findall(r"\bdoit ([a-z][a-z-]*)", piece)}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and Gitea make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    assert named_verbs(page.read_text()) <= verbs() | DOIT_COMMANDS, "no such task"


def test_the_table_of_tasks_has_every_task_and_no_other() -> None:
    assert set(re.findall(r"^\| `doit ([a-z]+)` \|", section("Tasks"), re.MULTILINE)) == verbs()


def test_the_table_of_variables_has_every_variable_and_no_other() -> None:
    assert set(re.findall(r"^\| `([a-z_]+)=", section("Variables"), re.MULTILINE)) == KNOWN.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_the_pages_are_linked_from_the_readme() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in re.findall(r"\]\(([^):\s]+)\)", README)}
    ours = {page for page in PAGES if page.parent in {ROOT, ROOT / "docs"}} - {ROOT / "README.md"}
    assert ours <= linked


def test_the_project_speaks_of_itself_alone() -> None:
    # Put together here, so that this file does not name them.
    names = ["DESIGN" + ".md", "FIELD" + "-NOTES", "STYLE" + ".md"]
    foreign = re.compile("|".join([*map(re.escape, names), r"(?<![\w.}])/" + r"work(?![\w-])"]))
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files()
        if (match := foreign.search(path.read_bytes().decode(errors="replace")))
    ]
    assert not found
