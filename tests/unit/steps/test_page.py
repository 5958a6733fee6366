"""The page is one file that needs nothing else, and shows what others have named as they named it."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from doit import doit_cmd

from tasks.core.errors import OnevmError
from tasks.steps import page, sections
from tasks.steps.reporting import Report
from tests.unit import reports

MADE = datetime(2026, 3, 16, 9, 30, tzinfo=UTC)
HARM = "</style></title>\"'><script>alert(1)</script><img src=//evil.example/x>{{ 7 * 7 }}&amp;"
REPORTS = {"fortnight": reports.fortnight(), "empty": reports.empty(), "hostile": reports.hostile(HARM)}


class Reading(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._in_style else data


@pytest.fixture(autouse=True)
def _nothing_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doit_cmd, "_CMDLINE_VARS", {})


def html(report: Report) -> str:
    return page.html(report, MADE)


@pytest.mark.parametrize("name", list(REPORTS))
def test_nothing_comes_from_elsewhere_and_nothing_is_run(name: str) -> None:
    text = html(REPORTS[name])
    found = Reading(text)
    assert not {"script", "img", "iframe", "object", "embed", "form", "base", "use", "image"} & set(found.tags)
    assert [value for name, value in found.attributes if name in {"src", "href", "data", "action"}] == ["data:,"]
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    assert not re.search(r"url\(|@import|//", style)


def test_names_that_mean_harm_are_shown_as_they_are() -> None:
    found = Reading(html(REPORTS["hostile"]))
    plain = Reading(html(reports.hostile("harmless")))
    assert found.tags == plain.tags
    assert found.text.count(HARM) >= 8
    assert "49" not in found.text.replace("7 * 7", "")


def test_the_page_says_what_was_measured() -> None:
    text = " ".join(Reading(html(REPORTS["fortnight"])).text.split())
    for words in (
        "16 deploys from 2 Mar 2026 to 14 Mar 2026, 1 failed; 1 run found nothing to do.",
        "made 16 Mar 2026, 09:30",
        "0 failed of 365 requests",
        "notes.backend is unhealthy",
        "backend/src/app.ts changed",
        "4 older",
        "0 of 1080 requests failed",
    ):
        assert words in text


def test_without_a_release_the_page_says_how_to_get_one() -> None:
    text = " ".join(Reading(html(REPORTS["empty"])).text.split())
    assert "No release yet." in text
    assert "doit deploy:notes makes the first" in text
    assert text.count("nothing measured yet") == 4


def test_every_phase_has_a_colour() -> None:
    from tasks.core.measured import PHASES

    named = [phase for phases in sections.GROUPS.values() for phase in phases]
    assert sorted(named) == sorted(PHASES)
    style = page.TEMPLATE.read_text()
    assert all(f".{group} {{ background" in style for group in sections.GROUPS)


def test_the_page_goes_where_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doit.get_initial_workdir", lambda: str(tmp_path))
    assert page.path(tmp_path / ".onevm") == tmp_path / ".onevm" / "report.html"
    doit_cmd.set_var("html", "sub/r.html")
    assert page.path(tmp_path / ".onevm") == tmp_path / "sub" / "r.html"
    with pytest.raises(OnevmError, match=r"sub/r\.html cannot be written: No such file") as caught:
        page.write(REPORTS["empty"], page.path(tmp_path))
    assert "html=PATH" in caught.value.next_step
    (tmp_path / "sub").mkdir()
    page.write(REPORTS["empty"], page.path(tmp_path))
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["r.html"]


@pytest.mark.parametrize(("when", "text"), [("2026-03-02T08:05:00Z", "2 Mar 2026, 08:05"), ("nonsense", "nonsense")])
def test_times_are_written_for_people(when: str, text: str) -> None:
    assert sections.moment(when) == text
