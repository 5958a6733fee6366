"""What Compose says reaches BuildKit unchanged: real `docker compose config`, real `docker buildx bake`."""

import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.compose import read_project
from tasks.core.bake import Target, bake_file, target_names
from tasks.core.build import BuildDefinition
from tasks.core.compose import parse
from tasks.core.model import Builder, Stack
from tasks.core.values import replace

pytestmark = pytest.mark.engine

# Every text of up to four of the marks that HCL knows, and what people write around them.
VALUES = [
    *("".join(marks) for length in range(1, 5) for marks in itertools.product("$%{x", repeat=length)),
    "${HOME}",
    "%{ if true }",
    "$${x}",
    "a$b",
    'she said "no"',
    "it's",
    "\\",
    "\\${x}",
    "\\n",
    "one\ntwo\r\nthree\t",
    " around ",
    "é \u2028 🎈",
    "{{ .Values }}",
    "a,b=c",
    "-x",
    "#",
]
DOCKERFILE = """FROM scratch
# syntax ${x} %{y} $$ "q" 'r'
ARG A="${B:-c}"
LABEL x="$${A}" y="100%{"
"""


def printed(file: str, folder: Path, *targets: str) -> dict[str, Any]:
    """Return the targets as buildx understands them."""
    (folder / "bake.json").write_text(file)
    args = ["docker", "buildx", "bake", "--file", str(folder / "bake.json"), "--print", *targets]
    found: dict[str, Any] = json.loads(subprocess.run(args, check=True, capture_output=True, timeout=60).stdout)
    return dict(_unmarked(found["target"]) if _prints_marks(folder) else found["target"])


def _prints_marks(folder: Path) -> bool:
    """Whether this buildx prints what could be read again, with marks doubled, as newer ones do."""
    (folder / "probe.json").write_text(json.dumps({"target": {"probe": {"args": {"A": "$${x}"}}}}))
    args = ["docker", "buildx", "bake", "--file", str(folder / "probe.json"), "--print", "probe"]
    found = json.loads(subprocess.run(args, check=True, capture_output=True, timeout=60).stdout)
    return bool(found["target"]["probe"]["args"]["A"] == "$${x}")


def words(values: list[Any]) -> list[str]:
    """Return secrets as they are written; newer ones are printed as objects."""
    return [value if isinstance(value, str) else ",".join(f"{k}={v}" for k, v in value.items()) for value in values]


def _unmarked(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("$${", "${").replace("%%{", "%{")
    if isinstance(value, dict):
        return {name: _unmarked(inner) for name, inner in value.items()}
    return [_unmarked(inner) for inner in value] if isinstance(value, list) else value


def target(definition: BuildDefinition, **more: Any) -> Target:
    plain = Target(
        definition=definition,
        content_key="0" * 64,
        reference="onevm-test.invalid/x:y",
        repository="onevm-test.invalid/x",
        push=False,
        args={name: value for name, value in definition.args if value is not None},
        revision="1a2b3c4",
        source="",
        created="",
    )
    return replace(plain, **more)


def test_every_value_reaches_buildkit_as_it_is(tmp_path: Path) -> None:
    named = {f"n{number}": value for number, value in enumerate(VALUES)}
    definition = BuildDefinition(
        stack="s",
        service="web",
        context=str(tmp_path),
        dockerfile_inline=DOCKERFILE,
        args=tuple(named.items()),
        options=(("labels", json.dumps(named)),),
    )
    file = bake_file([target(definition)], (), Builder(), target_names([definition]))
    found = printed(file, tmp_path, "web")["web"]
    assert found["args"] == named
    assert {name: found["labels"][name] for name in named} == named
    assert found["dockerfile-inline"] == DOCKERFILE


COMPOSE = """
services:
  base:
    image: onevm-test.invalid/base
    build:
      context: .
      dockerfile_inline: |
        FROM scratch
        LABEL x="$${x} $$y"
  web:
    build:
      context: ${WHERE:-web}
      args:
        BRACED: $${HOME}
        PLAIN: a$$b
        PERCENT: "100%{x}"
        QUOTED: 'she said "no"'
        LINES: "one\\ntwo"
        GIVEN: ${ONEVM_TEST_GIVEN}
        INHERITED:
        UNSET:
        NUMBER: 3
        TRUTH: true
      labels:
        price: 5$$
      ulimits:
        nofile: {soft: 1024, hard: 2048}
        nproc: 65535
      shm_size: 64m
      network: host
      additional_contexts:
        - lib=../lib
        - base=service:base
      secrets:
        - source: token
          target: renamed
        - file
secrets:
  token: {environment: ONEVM_TEST_TOKEN}
  file: {file: ./secret.txt}
"""


def test_what_compose_resolves_is_what_buildx_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONEVM_TEST_GIVEN", "a$b ${c}")
    monkeypatch.setenv("INHERITED", "from outside $x")
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.delenv("WHERE", raising=False)
    checkout = tmp_path / "shop"
    (checkout / "web").mkdir(parents=True)
    (tmp_path / "lib").mkdir()
    (checkout / "secret.txt").write_text("s")
    (checkout / "web" / "Dockerfile").write_text("FROM base\n")
    (checkout / "compose.yaml").write_text(COMPOSE)
    stack = Stack(name="shop", path=checkout, compose=("compose.yaml",), host="local")

    definition, active = read_project(stack, tmp_path / "cache")
    again, still = read_project(stack, tmp_path / "cache")
    assert (definition, active) == (again, still)
    project = parse(stack, definition, active)

    built = [s.build for s in project.built().values() if s.build]
    file = bake_file([target(d) for d in built], (), Builder(), target_names(built))
    found = printed(file, tmp_path, "web", "base")
    web = found["web"]
    assert web["context"] == str(checkout / "web")
    assert web["dockerfile"] == str(checkout / "web" / "Dockerfile")
    assert web["args"] == {
        "BRACED": "${HOME}",
        "PLAIN": "a$b",
        "PERCENT": "100%{x}",
        "QUOTED": 'she said "no"',
        "LINES": "one\ntwo",
        "GIVEN": "a$b ${c}",
        "INHERITED": "from outside $x",
        "NUMBER": "3",
        "TRUTH": "true",
    }
    assert web["labels"]["price"] == "5$"
    assert web["ulimits"] == ["nofile=1024:2048", "nproc=65535"]
    assert web["shm-size"] == "67108864"
    assert json.loads(file)["target"]["web"]["network"] == "host"
    assert web["contexts"] == {"lib": str(tmp_path / "lib"), "base": "target:base"}
    assert words(web["secret"]) == [f"id=file,src={checkout / 'secret.txt'}", "id=renamed,env=ONEVM_TEST_TOKEN"]
    assert found["base"]["dockerfile-inline"] == 'FROM scratch\nLABEL x="${x} $y"\n'


def test_contexts_outside_the_working_directory_are_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by versions of buildx that ask for `--allow fs.read=…` first."""
    from tasks.adapters.buildx import bake

    context, elsewhere = tmp_path / "context", tmp_path / "elsewhere"
    context.mkdir()
    elsewhere.mkdir()
    (context / "file").write_text(os.urandom(8).hex())
    definition = BuildDefinition(
        stack="s", service="web", context=str(context), dockerfile_inline='FROM scratch\nCOPY file /f${x:-"}{"}\n'
    )
    names = target_names([definition])
    file = json.loads(bake_file([target(definition)], (), Builder(), names))
    file["target"]["web"]["output"] = [f"type=local,dest={elsewhere / 'out'}"]
    monkeypatch.chdir(elsewhere)
    baked = bake(json.dumps(file), ["web"], builder="default", env={}, tell=print)
    assert baked.ok, baked.solve.words
    assert [path.read_text() for path in (elsewhere / "out").iterdir()] == [(context / "file").read_text()]


VARIABLES = """
services:
  web: {build: {context: ., dockerfile_inline: FROM scratch, args: [LISTED], labels: {x: "${DOLLAR}"}}}
"""


@pytest.mark.parametrize("variable", ["LISTED", "DOLLAR"])
def test_a_changed_variable_is_seen_although_the_answer_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv("LISTED", "0")
    monkeypatch.setenv("DOLLAR", "0")
    (tmp_path / "compose.yaml").write_text(VARIABLES)
    stack = Stack(name="shop", path=tmp_path, compose=("compose.yaml",), host="local")
    seen = []
    for value in ("1", "2", "2"):
        monkeypatch.setenv(variable, value)
        build = read_project(stack, tmp_path / "cache")[0]["services"]["web"]["build"]
        seen.append(build["args"]["LISTED"] + build["labels"]["x"])
    assert seen in (["10", "20", "20"], ["01", "02", "02"])
    assert len(list((tmp_path / "cache" / "compose").iterdir())) == 2


def test_a_project_that_extends_another_file_is_never_kept(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text('services: {web: {"extends": {file: other.yaml, service: x}}}\n')
    stack = Stack(name="shop", path=tmp_path, compose=("compose.yaml",), host="local")
    for image in ("one", "two"):
        (tmp_path / "other.yaml").write_text(f"services: {{x: {{image: {image}}}}}\n")
        assert read_project(stack, tmp_path / "cache")[0]["services"]["web"]["image"] == image
