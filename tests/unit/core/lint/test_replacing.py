"""Rules on rollouts, pins and commits."""

import pytest

from tasks.core.lint.replacing import names_commit
from tasks.core.model import ServiceSettings
from tests.unit.core.lint.conftest import Find

IMAGES = {
    "nginx": True,
    "nginx:latest": True,
    "nginx:edge": True,
    "registry.example.com:5000/nginx": True,
    "nginx:1.27": False,
    "registry.example.com:5000/nginx:1": False,
    "nginx@sha256:00": False,
    "nginx:latest@sha256:00": False,
    "nginx:stable-alpine": False,
}


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_that_may_be_another_one_tomorrow(image: str, find: Find) -> None:
    assert [f.rule for f in find(f"x: {{image: '{image}', HEALTHY}}")] == (["unpinned-image"] if IMAGES[image] else [])


def test_an_image_that_another_service_builds_is_no_external_one(find: Find) -> None:
    text = "web: {HEALTHY, image: shop/app, build: {context: HERE/x}}\nworker: {HEALTHY, image: 'shop/app:latest'}"
    assert find(text, files={"x/Dockerfile": "FROM a:1", "x/.dockerignore": ""}) == []


FROM = {
    "FROM a": [1],
    "FROM a:1 AS b\nFROM b": [],
    "FROM scratch": [],
    "ARG V=latest\nFROM a:${V}": [2],
    "ARG V=3\nFROM a:${V}": [],
    "FROM lib": [],
    "FROM a:1\nFROM 0": [],
    "FROM --platform=linux/amd64 a AS b\n\nFROM c:latest": [1, 3],
}


@pytest.mark.parametrize("text", FROM)
def test_what_a_dockerfile_starts_from(text: str, find: Find) -> None:
    build = "x:\n  {HEALTHY, build: {context: HERE/x, additional_contexts: {lib: HERE/lib}}}"
    faults = find(build, files={"x/Dockerfile": text, "x/.dockerignore": ""})
    assert [(f.rule, f.place.line) for f in faults] == [("unpinned-image", line) for line in FROM[text]]


FILES = {"x/Dockerfile": "FROM a:1\nRUN true\n", "x/.dockerignore": ""}
BUILT = "build: {context: HERE/x}"
ONCE = {
    "a name": ("image: 'x:1', container_name: x", {"container-name"}),
    "a name where nothing of the stack's network is used": (
        "image: 'x:1', container_name: x, network_mode: host",
        set(),
    ),
    "a port of what is built": (f"{BUILT}, ports: [{{target: 80, published: '8080'}}]", {"host-port"}),
    "a port that the engine chooses": (f"{BUILT}, ports: [{{target: 80}}]", set()),
    "a port of what is not built": ("image: 'x:1', ports: [{target: 80, published: '80'}]", set()),
}


@pytest.mark.parametrize("name", ONCE)
def test_what_can_be_taken_only_once(name: str, find: Find) -> None:
    more, rules = ONCE[name]
    assert {f.rule for f in find(f"x: {{HEALTHY, {more}}}", files=FILES)} == rules
    settings = {"x": ServiceSettings(rollout="recreate")}
    assert find(f"x: {{HEALTHY, {more}}}", files=FILES, settings=settings) == []


def test_a_proxy_that_is_built_may_publish_the_web_ports(find: Find) -> None:
    text = f"x: {{HEALTHY, {BUILT}, ports: [{{target: 80, published: '80'}}]}}"
    assert [f.rule for f in find(text, files=FILES)] == ["host-port"]
    assert find(text, files=FILES | {"x/Dockerfile": "FROM nginx:1.27\n"}) == []


@pytest.mark.parametrize(
    ("name", "commit"),
    [
        ("COMMIT_SHA", True),
        ("GIT_COMMIT", True),
        ("BYTELYST_COMMIT_DATE", True),
        ("BUILD_DATE", True),
        ("VCS_REF", True),
        ("git_sha", True),
        ("SHA", True),
        ("TINI_SHA256", False),
        ("NODE_VERSION", False),
        ("COMMITTEE", False),
        ("START_DATE", False),
    ],
)
def test_names_that_change_with_every_commit(name: str, commit: bool) -> None:
    assert names_commit(name) == commit


ARGS = {
    "from a variable": ('{COMMIT_SHA: "${COMMIT_SHA:-x}"}', True),
    "from a variable of another name": ('{VERSION: "${GIT_SHA}"}', True),
    "from the environment": ("[COMMIT_SHA]", True),
    "a constant": ("{COMMIT_SHA: 1a2b3c}", False),
    "something else": ('{REGISTRY: "${REGISTRY}"}', False),
}


@pytest.mark.parametrize("name", ARGS)
def test_a_commit_in_a_build_arg(name: str, find: Find) -> None:
    args, found = ARGS[name]
    text = f"x: {{HEALTHY, build: {{context: HERE/x, args: {args}}}}}".replace("[COMMIT_SHA]", "{COMMIT_SHA: null}")
    faults = find(text, files=FILES)
    assert [f.rule for f in faults] == (["commit-in-build-arg"] if found else [])
    settings = {"x": ServiceSettings(volatile_args=("COMMIT_SHA", "VERSION"))}
    assert find(text, files=FILES, settings=settings) == []


def test_the_mend_keeps_the_volatile_args_that_are_there(find: Find) -> None:
    args = '{A_COMMIT: "${A_COMMIT}", BUILD_DATE: "${BUILD_DATE}"}'
    settings = {"x": ServiceSettings(volatile_args=("OTHER",))}
    faults = find(f"x: {{HEALTHY, build: {{context: HERE/x, args: {args}}}}}", files=FILES, settings=settings)
    assert {f.mend for f in faults} == {
        '[stacks.shop.services.x]   # services.toml\nvolatile_args = ["OTHER", "A_COMMIT", "BUILD_DATE"]'
    }


def test_a_commit_in_environment_and_labels(find: Find) -> None:
    text = """x:
    {HEALTHY, image: 'x:1',
     environment: {A: "${COMMIT_SHA}", B: "${PORT}", REVISION: null},
     labels: {c: "v-${GIT_REV:-0}", d: "$$COMMIT"}}"""
    assert [(f.rule, f.what.split()[0]) for f in find(text)] == [
        ("commit-in-container", "A"),
        ("commit-in-container", "REVISION"),
        ("commit-in-container", "c"),
    ]


def test_a_commit_above_a_run_of_its_stage(find: Find) -> None:
    build = "FROM a:1 AS b\nARG COMMIT\nRUN x\n"
    text = f"{build}FROM a:1\nARG PLAIN\nRUN y\nARG MINE COMMIT_SHA\nCOPY z /\nRUN z\nARG GIT_SHA\n"
    settings = {"x": ServiceSettings(volatile_args=("MINE",))}
    faults = find(f"x: {{HEALTHY, {BUILT}}}", files=FILES | {"x/Dockerfile": text}, settings=settings)
    assert [(f.rule, f.place.line) for f in faults] == [("early-commit-arg", 7)]
    assert "line 9" in faults[0].mend
