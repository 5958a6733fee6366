"""Rules that ask an image."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from tasks.core.lint import images
from tasks.core.lint.inventory import File, Image, Inventory, Layer
from tests.unit.core.lint.conftest import MakeSubject

PROGRAM = File(1, "", True, False)
SH = {"bin": File(0, "usr/bin", False, False), "usr/bin": File(0, "", False, True), "usr/bin/sh": PROGRAM}


def image(files: dict[str, File] | None = None, **more: Any) -> Image:
    there = {**SH, **(files or {})}
    parents = {str(parent) for path in there for parent in PurePosixPath(path).parents} - {"."}
    folders = {path: File(0, "", False, True) for path in parents}
    return Image(reference="x", size=100, inventory=Inventory(files={**folders, **there}), **{"user": "1", **more})


def rules(subject: MakeSubject, seen: Image, spec: str, build: str = "") -> dict[str, str]:
    """Return what is found by rule."""
    text = f"x: {{restart: always, mem_limit: 1, logging: {{driver: local}}, {spec}{build or ', image: x:1'}}}"
    (service,) = subject(text, files={"x/Dockerfile": "FROM a:1\n", "x/.dockerignore": ""}).services()
    return {f.rule: f.what for f in images.faults(service, seen, {}, lambda _t, _f: None)}


def check(test: str) -> str:
    return f"healthcheck: {{test: {test}, interval: 1s}}"


TOOLS: dict[str, tuple[str, dict[str, File], dict[str, Any], bool]] = {
    "in the path": ("[CMD, wget, x]", {"usr/bin/wget": PROGRAM}, {}, True),
    "a link to another program": (
        "[CMD, wget, x]",
        {"usr/bin/wget": File(0, "busybox", True, False), "usr/bin/busybox": PROGRAM},
        {},
        True,
    ),
    "a link to nowhere": ("[CMD, wget, x]", {"usr/bin/wget": File(0, "/opt/wget", True, False)}, {}, False),
    "a link to itself": ("[CMD, wget, x]", {"usr/bin/wget": File(0, "wget", True, False)}, {}, False),
    "not there": ("[CMD, wget, x]", {}, {}, False),
    "not to be run": ("[CMD, wget, x]", {"usr/bin/wget": File(1, "", False, False)}, {}, False),
    "in the image's own path": ("[CMD, wget, x]", {"opt/wget": PROGRAM}, {"env": {"PATH": "/bin:/opt"}}, True),
    "outside of the image's own path": ("[CMD, wget, x]", {"usr/bin/wget": PROGRAM}, {"env": {"PATH": "/opt"}}, False),
    "by its path through a linked folder": ("[CMD, /bin/wget, x]", {"usr/bin/wget": PROGRAM}, {}, True),
    "relative to the working directory": ("[CMD, ./check]", {"app/check": PROGRAM}, {"folder": "/app"}, True),
    "in a shell": ("[CMD-SHELL, 'wget x || exit 1']", {"usr/bin/wget": PROGRAM}, {}, True),
    "the second one in a shell": ("[CMD-SHELL, 'wget x | jq .']", {"usr/bin/wget": PROGRAM}, {}, False),
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_tool_of_a_health_check(name: str, subject: MakeSubject) -> None:
    test, files, more, there = TOOLS[name]
    found = rules(subject, image(files, **more), check(test))
    assert ("health-tool-missing" not in found) == there, found


def test_a_shell_is_a_tool_too(subject: MakeSubject) -> None:
    bare = Image(
        reference="x",
        size=1,
        user="1",
        inventory=Inventory(files={"bin": File(0, "", False, True), "bin/wget": PROGRAM}),
    )
    assert "needs a shell" in rules(subject, bare, check("[CMD-SHELL, wget x]"))["health-tool-missing"]


def test_a_mounted_tool_is_there(subject: MakeSubject) -> None:
    mount = ", volumes: [{type: bind, source: /opt/tools, target: /tools}]"
    assert rules(subject, image(), check("[CMD, /tools/check]") + mount) == {}
    assert set(rules(subject, image(), check("[CMD, /other/check]") + mount)) == {"health-tool-missing"}


USERS = {
    ("", ""): True,
    ("root", ""): True,
    ("0:0", ""): True,
    ("1000:1000", ""): False,
    ("node", ""): False,
    ("", "1000"): False,
    ("1000", "root"): True,
}


@pytest.mark.parametrize(("own", "asked"), USERS)
def test_whose_process_it_is(own: str, asked: str, subject: MakeSubject) -> None:
    more = f", user: '{asked}'" if asked else ""
    found = rules(subject, image(user=own), check("[CMD, sh]") + more)
    assert ("runs-as-root" in found) == USERS[own, asked]


def test_an_image_that_starts_as_root_and_goes_on_as_another(subject: MakeSubject) -> None:
    (service,) = subject("x: {image: 'x:1'}").services()
    for user, root in ((None, True), (0, True), (999, False)):
        found = list(images.faults(service, image(user=""), {}, lambda _t, _f: None, user=user))
        assert bool(found) == root, user


LEFT = {
    "root/.npm/_cacache/x": ("package-cache", "npm"),
    "root/.cache/pip/http/x": ("package-cache", "pip"),
    "var/lib/apt/lists/x": ("package-cache", "apt"),
    "go/pkg/mod/x": ("package-cache", "go"),
    "home/app/.npm/_cacache/x": ("package-cache", "npm"),
}


@pytest.mark.parametrize("path", LEFT)
def test_a_cache_that_was_left(path: str, subject: MakeSubject) -> None:
    rule, tool = LEFT[path]
    build = ", build: {context: HERE/x}"
    there = image({path: File(5_000_000, "", False, False)}, env={"HOME": "/home/app"})
    found = rules(subject, there, check("[CMD, sh]"), build)
    assert set(found) == {rule}
    assert "5.0 MB" in found[rule]
    assert tool in found[rule]
    few = image({path: File(50_000, "", False, False)}, env={"HOME": "/home/app"})
    assert rules(subject, few, check("[CMD, sh]"), build) == {}
    assert rules(subject, there, check("[CMD, sh]")) == {}, "what others made is theirs to slim"


def test_a_compiler_and_what_comes_along(subject: MakeSubject) -> None:
    files = {"usr/bin/gcc": PROGRAM, "usr/lib/gcc/x/cc1": File(30_000_000, "", True, False)}
    found = rules(subject, image(files), check("[CMD, sh]"), ", build: {context: HERE/x}")
    assert found == {"build-tools": "gcc is in the image, 30 MB with what comes along"}


@pytest.mark.parametrize(
    ("before", "size", "grown"),
    [(100, 130, True), (100, 119, False), (1000, 1150, False), (10, 25, False), (0, 900, False), (200, 100, False)],
)
def test_an_image_that_grew(before: int, size: int, grown: bool, subject: MakeSubject) -> None:
    (service,) = subject("x: {image: 'x:1'}").services()
    layers = (Layer(1, "RUN small"), Layer(50, "COPY big /"))
    seen = Image(reference="x", size=size * 1_000_000, layers=layers)
    found = list(images.growth(service, seen, before * 1_000_000))
    assert bool(found) == grown
    assert all("COPY big /" in f.mend for f in found)
