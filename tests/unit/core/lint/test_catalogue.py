"""Every rule has its page and every page its rule, and no message names another."""

import re
from pathlib import Path

import pytest

from tasks.core.lint.catalogue import IMAGE_RULES, RULES
from tasks.core.lint.rule import Rule

ROOT = Path(__file__).parents[4]
PAGES = ROOT / "docs" / "rules"
INDEX = (PAGES / "README.md").read_text()


def test_every_rule_has_its_page_and_every_page_its_rule() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == set(RULES)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_page_says_what_why_how_and_whence(rule: Rule) -> None:
    text = (PAGES / f"{rule.id}.md").read_text()
    head = f"# {rule.id}\n\n**{rule.severity}**{' · only with `images=1`' if rule.needs_image else ''} · "
    assert text.startswith(head)
    assert f"\n{rule.why}\n" in text
    sections = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    assert sections[1::2] == ["What is found", "How to mend it", "Where it comes from"]
    assert all(len(body.strip()) > 5 for body in sections[2::2])


def test_the_index_has_every_rule_with_its_severity_and_reason() -> None:
    rows = re.findall(r"^\| \[([a-z-]+)\]\(([a-z-]+)\.md\) \| (\w+) \| (.+) \|$", INDEX, re.MULTILINE)
    assert [row[0] for row in rows if row[0] != row[1]] == []
    assert {row[0]: (row[2], row[3]) for row in rows} == {r.id: (r.severity, r.why) for r in RULES.values()}
    below = INDEX.partition("## Only from the image")[2]
    assert {row for row in IMAGE_RULES if f"[{row}]" in below} == IMAGE_RULES


def test_the_rules_that_the_code_names_are_those() -> None:
    named: set[str] = set()
    for module in (ROOT / "tasks" / "core" / "lint").glob("*.py"):
        named |= set(re.findall(r"(?:\.fault\(\s*|rule=)\"([a-z-]+)\"", module.read_text()))
    assert named == set(RULES)


def test_a_reason_is_one_sentence() -> None:
    assert [r.why for r in RULES.values() if not re.fullmatch(r"\S.*[^.]\.", r.why) or len(r.why) > 130] == []
