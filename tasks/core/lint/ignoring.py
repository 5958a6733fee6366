"""What services.toml excepts from rules, each with a reason; an exception that nothing needs is a fault of its own."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from tasks.core.lint.catalogue import IMAGE_RULES, RULES
from tasks.core.lint.rule import Fault, Place
from tasks.core.model import Stack


class Sifted(Struct, frozen=True, kw_only=True):
    """Faults, and what was ignored: each with the reason."""

    faults: tuple[Fault, ...]
    ignored: tuple[tuple[Fault, str], ...]


def sift(stack: Stack, faults: Iterable[Fault], *, images: bool) -> Sifted:
    """Take away what services.toml says to ignore.

    Args:
        stack: the stack, with its exceptions.
        faults: what the rules found, each of one service or of none.
        images: whether the rules that need images were asked; if not, their exceptions are not judged.
    """
    kept: list[Fault] = []
    ignored: list[tuple[Fault, str]] = []
    used: set[tuple[str, str]] = set()
    for fault in faults:
        reason, owner = _reason(stack, fault)
        if reason:
            used.add((owner, fault.rule))
            ignored.append((fault, reason))
        else:
            kept.append(fault)
    return Sifted(faults=(*kept, *_unused(stack, used, images=images)), ignored=tuple(ignored))


def _reason(stack: Stack, fault: Fault) -> tuple[str, str]:
    for service in fault.services:
        if reason := stack.settings(service).ignore.get(fault.rule):
            return reason, service
    return stack.ignore.get(fault.rule, ""), ""


def _unused(stack: Stack, used: Collection[tuple[str, str]], *, images: bool) -> Iterator[Fault]:
    owners = [("", stack.ignore), *((name, settings.ignore) for name, settings in stack.services.items())]
    for owner, exceptions in owners:
        for rule in exceptions:
            # A rule that images add to may find something there.
            if (owner, rule) in used or (not images and rule in IMAGE_RULES | _ALSO_OF_IMAGES):
                continue
            key = ("stacks", stack.name, *(("services", owner) if owner else ()), "ignore", rule)
            yield Fault(
                rule="unused-ignore",
                severity=RULES["unused-ignore"].severity,
                place=Place(str(Path(stack.source.file).absolute()), stack.source.line(key)),
                stack=stack.name,
                services=(owner,) if owner else (),
                what=f"the exception for {rule} silences nothing",
                mend=f"# remove {rule} from ignore",
            )


_ALSO_OF_IMAGES = frozenset({"dev-dependencies", "package-cache", "build-tools", "localhost-health-check"})
