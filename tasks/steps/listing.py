"""Findings of rules as text: by file and line, readable at 80 columns and in a log, and as JSON values."""

import os.path
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from tasks.core.lint.catalogue import RULES
from tasks.core.lint.images import megabytes
from tasks.core.lint.rule import SEVERITIES, Fault
from tasks.core.plurals import counted
from tasks.steps.looking import ImageSize
from tasks.steps.output import Screen
from tasks.steps.report import Report

WIDTH = 80
_LARGEST = 3
_INDENT = "      "


def lines(faults: Sequence[Fault], base: str) -> Iterator[str]:
    """Yield findings: one line each with `file:line: severity: rule`, what it is once for all that are alike.

    Args:
        faults: sorted by file and line.
        base: the folder that paths are shown from.
    """
    for file, of_file in groupby(faults, key=lambda fault: fault.place.file):
        yield ""
        alike: dict[tuple[str, str, str, str], list[Fault]] = {}
        for fault in of_file:
            alike.setdefault((fault.rule, fault.severity, fault.what, fault.mend), []).append(fault)
        name = shown(file, base)
        for (rule, severity, what, mend), group in alike.items():
            for fault in group:
                whom = f" ({', '.join(fault.services)})" if fault.services else ""
                yield f"{name}:{fault.place.line}: {severity}: {rule}{whom}"
            yield from _wrapped("", what)
            if rule in RULES:
                yield from _wrapped("why:  ", RULES[rule].why)
            if mend:
                yield f"{_INDENT}mend:"
                yield from (f"{_INDENT}  {line}".rstrip() for line in mend.splitlines())


def _wrapped(label: str, text: str) -> list[str]:
    first, rest = f"{_INDENT}{label}", f"{_INDENT}{' ' * len(label)}"
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def summary(faults: Sequence[Fault], ignored: int) -> str:
    """Return one line that counts findings."""
    files = len({fault.place.file for fault in faults})
    counts = [(sum(fault.severity == severity for fault in faults), severity) for severity in SEVERITIES]
    words = ", ".join(counted(count, severity) for count, severity in counts)
    where = f" in {counted(files, 'file')}" if files else ""
    more = f", {ignored} ignored in services.toml" if ignored else ""
    pages = "; each rule has its page in docs/rules" if any(fault.rule in RULES for fault in faults) else ""
    return f"rules: {words}{where}{more}{pages}"


def show(screen: Screen, report: Report, base: str) -> None:
    """Show what rules found, and the sizes of images if they were looked at."""
    if report.images:
        columns = ["image", "size", "before", "largest layers"]
        screen.table("", columns, [_row(image) for image in report.images])
    for line in lines(report.faults, base):
        screen.say(line)
    screen.say("")
    screen.say(summary(report.faults, len(report.ignored)))


def _row(image: ImageSize) -> list[str]:
    largest = sorted(image.layers, key=lambda layer: -layer.size)[:_LARGEST]
    shown_layers = "\n".join(f"{megabytes(layer.size):>8}  {_short(layer.by)}" for layer in largest)
    before = megabytes(image.before) if image.before else ""
    return [f"{image.stack}.{image.service}", megabytes(image.size), before, shown_layers]


def _short(text: str, most: int = 36) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def document(report: Report, base: str) -> dict[str, Any]:
    """Return a report as JSON values."""
    return {
        "rules": [_values(fault, base) for fault in report.faults],
        "ignored": [{**_values(fault, base), "reason": reason} for fault, reason in report.ignored],
        "images": [
            {
                "stack": image.stack,
                "service": image.service,
                "image": image.image,
                "size": image.size,
                "before": image.before or None,
                "layers": [{"size": layer.size, "by": layer.by} for layer in image.layers],
            }
            for image in report.images
        ],
    }


def _values(fault: Fault, base: str) -> dict[str, Any]:
    return {
        "rule": fault.rule,
        "severity": fault.severity,
        "file": shown(fault.place.file, base),
        "line": fault.place.line,
        "stack": fault.stack,
        "services": list(fault.services),
        "what": fault.what,
        "why": RULES[fault.rule].why if fault.rule in RULES else "",
        "mend": fault.mend,
    }


def shown(file: str, base: str) -> str:
    """Return a path as a person in the folder `base` would write it: the shorter of both ways."""
    relative = os.path.relpath(file, base)
    return relative if len(relative) <= len(file) else file
