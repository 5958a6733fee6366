"""The page of `doit report`: one file of HTML, with nothing in it that comes from elsewhere."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import doit

from tasks.core import graph
from tasks.core.durations import spoken
from tasks.core.errors import OnevmError
from tasks.core.sizes import spoken as bytes_spoken
from tasks.steps import sections, variables
from tasks.steps.reporting import Report

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = Path(__file__).with_name("page.html")
FILE = "report.html"


def path(cache_folder: Path) -> Path:
    """Return where the page goes: what `html=` says, or beside the clone's caches."""
    named = variables.text("html")
    return Path(doit.get_initial_workdir() or ".") / named if named else cache_folder / FILE


def write(report: Report, to: Path) -> None:
    """Write the page beside, and rename it: who looks at the old one meanwhile sees a whole one.

    Raises:
        OnevmError: it cannot be written there.
    """
    beside = to.with_name(f".{to.name}.new")
    try:
        beside.write_text(html(report, datetime.now(UTC)), encoding="utf-8")
        beside.replace(to)
    except OSError as error:
        raise OnevmError(
            f"the page {to} cannot be written: {error.strerror}", next_step="html=PATH names another place for it"
        ) from None


def html(report: Report, made: datetime) -> str:
    """Return the page of a report.

    Args:
        report: the report.
        made: when it was made, in UTC.
    """
    return _template().render(
        report=report,
        made=made,
        period=sections.period(report.stacks),
        cards=[sections.card(row) for row in report.targets],
        stacks=[sections.stack(one) for one in report.stacks],
        groups=sections.GROUPS,
        node_height=graph.NODE,
        letters=graph.MOST_LETTERS,
    )


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Any] = {
        "seconds": spoken,
        "size": bytes_spoken,
        "moment": sections.moment,
        "day": sections.day,
        "cell": sections.cell,
    }
    environment.filters.update(filters)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
