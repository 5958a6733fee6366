"""What a rule is, and what it finds."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import Struct

from tasks.core.values import replace

Severity = Literal["error", "warning"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning")


class Rule(Struct, frozen=True, kw_only=True):
    """One rule.

    Attributes:
        id: its name in messages, in `ignore`, and of its page in docs/rules.
        severity: an `error` gives `doit check` the exit code 1.
        why: why it matters, in one sentence.
        needs_image: whether only the image, or a container of it, can tell (`doit check images=1`).
    """

    id: str
    severity: Severity
    why: str
    needs_image: bool = False


class Place(NamedTuple):
    """A line of a file; the path is absolute."""

    file: str
    line: int


class Fault(Struct, frozen=True, kw_only=True):
    """Something that a rule found.

    Attributes:
        rule: the rule's id; what another linter found has that linter's name before a colon.
        severity: that of the rule, or of this very case.
        place: where to mend it.
        stack: the stack's name.
        services: whom it concerns; several where they share the line.
        what: what is there, in one sentence without secrets.
        mend: text to paste, empty where there is none.
    """

    rule: str
    severity: Severity
    place: Place
    stack: str
    services: tuple[str, ...]
    what: str
    mend: str = ""


def merged(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults by file and line, those of services that share a line as one."""
    found: dict[tuple[str, Place, str, str], Fault] = {}
    for fault in faults:
        key = (fault.rule, fault.place, fault.stack, fault.what)
        if known := found.get(key):
            services = tuple(dict.fromkeys((*known.services, *fault.services)))
            mend = known.mend if fault.mend in known.mend else f"{known.mend}\n{fault.mend}"
            found[key] = replace(known, services=services, mend=mend)
        else:
            found[key] = fault
    return sorted(found.values(), key=lambda f: (f.stack, f.place, SEVERITIES.index(f.severity), f.rule, f.what))
