"""The report's page in a real browser: light, dark, on a phone, and with nothing to show yet."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.steps import page
from tests import browser as browsers
from tests.browser import Browser
from tests.unit import reports

MADE = datetime(2026, 3, 16, 9, 30, tzinfo=UTC)
REPORTS = {"fortnight": reports.fortnight, "empty": reports.empty}


@dataclass(frozen=True)
class View:
    """How somebody looks at the page."""

    width: int
    height: int
    dark: bool = False
    phone: bool = False


VIEWS = {
    "light": View(1200, 900),
    "dark": View(1200, 900, dark=True),
    "phone": View(360, 780, phone=True),
    "dark phone": View(360, 780, dark=True, phone=True),
}
LUMINANCE = """(() => {
  const [r, g, b] = getComputedStyle(document.body)[%r].match(/\\d+/g).map(Number);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
})()"""
# What may be scrolled sideways by itself is meant to be.
CUT_OFF = """[...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.wide') && !e.closest('details:not([open])'))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
  .map(e => e.outerHTML.slice(0, 80))"""
BARS = """[...document.querySelectorAll('.phases i')]
  .map(e => e.getBoundingClientRect().width / e.parentElement.clientWidth)"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = browsers.installed()
    if not program:
        pytest.skip("there is no Chromium on this machine (Debian: scripts/lab install chromium-headless-shell)")
    with browsers.running(program, tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module", params=list(REPORTS))
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / f"{request.param}.html"
    page.write(REPORTS[request.param](), path)
    return path


@pytest.mark.parametrize("name", list(VIEWS))
def test_the_page_is_whole_and_silent_however_it_is_looked_at(browser: Browser, file: Path, name: str) -> None:
    view = VIEWS[name]
    browser.open(file, width=view.width, height=view.height, dark=view.dark, phone=view.phone)
    assert browser.complaints() == []
    assert {url for url in browser.requests() if not url.startswith("data:")} == {file.as_uri()}
    assert browser.value("document.documentElement.clientWidth") == view.width
    assert browser.value("document.documentElement.scrollWidth") <= view.width
    assert browser.value(CUT_OFF) == []
    text = browser.value("document.body.innerText")
    for words in ("notes", "warm deploy, 1 service", "rollback", "on host prod"):
        assert words in text
    paper, ink = (browser.value(LUMINANCE % what) for what in ("backgroundColor", "color"))
    assert (paper < 60 and ink > 180) if view.dark else (paper > 220 and ink < 80)
    if folder := os.environ.get("ONEVM_TEST_PICTURES"):
        browser.picture(Path(folder) / f"{file.stem}-{name.replace(' ', '-')}.png")


def test_the_page_shows_every_section_of_a_fortnight(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    page.write(reports.fortnight(), path)
    browser.open(path, width=1200, height=900)
    text = browser.value("document.body.innerText")
    for words in ("Releases", "What was built", "Longest gap between two answers", "Memory of the host", "Image sizes"):
        assert words in text
    assert "notes.backend is unhealthy" in text
    assert browser.value("document.querySelectorAll('.strip .mark').length") == 16
    assert browser.value("document.querySelectorAll('.release').length") == 16
    assert browser.value("document.querySelectorAll('.graph g.stale').length") == 2
    bars = browser.value(BARS)
    assert max(bars) == pytest.approx(1, abs=0.01)
    assert len(bars) == 15


def test_names_that_mean_harm_are_only_shown(browser: Browser, tmp_path: Path) -> None:
    text = "</title></style><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">'\"&"
    path = tmp_path / "page.html"
    page.write(reports.hostile(text), path)
    browser.open(path, width=1200, height=900)
    assert browser.complaints() == []
    assert browser.requests()[0] == path.as_uri()
    assert not [url for url in browser.requests()[1:] if not url.startswith("data:")]
    assert browser.value("document.querySelectorAll('script, img').length") == 0
    assert "pwned" in browser.value("document.title")
    assert browser.value("document.title").startswith("Deploys: </title>")
    assert "</style><script>" in re.sub(r"\s+", "", browser.value("document.body.innerText"))
