"""What services.toml excepts from rules."""

from pathlib import Path

from tasks.core.lint.ignoring import sift
from tasks.core.lint.rule import Fault, Place
from tasks.core.model import ServiceSettings, Stack
from tasks.core.source import Source

TEXT = """[stacks.shop]
path = "."
[stacks.shop.ignore]
host-port = "a"
docker-socket = "b"
runs-as-root = "c"
[stacks.shop.services.web]
ignore = { no-memory-limit = "d", no-health-check = "e" }
"""
STACK = Stack(
    name="shop",
    path=Path("/shop"),
    compose=("compose.yaml",),
    host="local",
    ignore={"host-port": "a", "docker-socket": "b", "runs-as-root": "c"},
    services={"web": ServiceSettings(ignore={"no-memory-limit": "d", "no-health-check": "e"})},
    source=Source("services.toml", TEXT),
)


def fault(rule: str, service: str) -> Fault:
    place = Place("/shop/compose.yaml", 1)
    return Fault(rule=rule, severity="warning", place=place, stack="shop", services=(service,), what="x")


def test_a_rule_is_silenced_for_its_service_or_its_stack_and_the_reason_is_kept() -> None:
    found = [fault("no-memory-limit", "web"), fault("no-memory-limit", "api"), fault("host-port", "api")]
    sifted = sift(STACK, found, images=False)
    assert [(f.rule, f.services[0]) for f in sifted.faults if f.rule != "unused-ignore"] == [("no-memory-limit", "api")]
    assert [(f.rule, f.services[0], reason) for f, reason in sifted.ignored] == [
        ("no-memory-limit", "web", "d"),
        ("host-port", "api", "a"),
    ]


def test_an_exception_that_silences_nothing_is_told_at_its_line() -> None:
    sifted = sift(STACK, [fault("host-port", "api"), fault("no-memory-limit", "web")], images=False)
    assert [(f.rule, f.place.line, f.services) for f in sifted.faults] == [
        ("unused-ignore", 5, ()),
        ("unused-ignore", 8, ("web",)),
    ]
    assert "docker-socket" in sifted.faults[0].what
    assert "no-health-check" in sifted.faults[1].what


def test_exceptions_for_images_are_judged_only_if_images_were_looked_at() -> None:
    told = {f.what.split()[3] for f in sift(STACK, [], images=True).faults}
    assert told - {f.what.split()[3] for f in sift(STACK, [], images=False).faults} == {"runs-as-root"}
