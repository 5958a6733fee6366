"""What only the development sections of lock files name, and what of it an image has."""

import json
from pathlib import PurePosixPath

import pytest

from tasks.adapters import yaml_tree
from tasks.core.lint import tree
from tasks.core.lint.inventory import File, Inventory
from tasks.core.lint.packages import development, installed_node, installed_python


def yaml(text: str, file: str) -> tree.Node:
    return yaml_tree.parse(text, file)[0].root


NPM_3 = {
    "lockfileVersion": 3,
    "packages": {
        "": {"dependencies": {"a": "1"}, "devDependencies": {"b": "1"}},
        "node_modules/a": {},
        "node_modules/b": {"dev": True},
        "node_modules/@t/c": {"dev": True},
        "node_modules/b/node_modules/a": {"dev": True},
        "packages/own": {"version": "1"},
    },
}
NPM_1 = {
    "lockfileVersion": 1,
    "dependencies": {"a": {"dependencies": {"d": {}}}, "b": {"dev": True}, "d": {"dev": True}, "@t/c": {"dev": True}},
}
PNPM_6 = """
lockfileVersion: '6.0'
packages:
  /a@1.0.0: {dev: false}
  /b@1.0.0(a@1.0.0): {dev: true}
  /@t/c@1.0.0: {dev: true}
"""
PNPM_5 = "packages: {/a/1.0.0: {dev: false}, /b/1.0.0_a@1: {dev: true}, /@t/c/1.0.0: {dev: true}}"
PNPM_9 = """
importers:
  .:
    dependencies: {a: {specifier: ^1, version: 1.0.0}}
    devDependencies: {b: {specifier: ^1, version: 1.0.0(a@1.0.0)}}
packages: {a@1.0.0: {}, b@1.0.0: {}, '@t/c@1.0.0': {}, d@1.0.0: {}}
snapshots:
  a@1.0.0: {dependencies: {d: 1.0.0}}
  b@1.0.0(a@1.0.0): {dependencies: {a: 1.0.0, '@t/c': 1.0.0}}
  '@t/c@1.0.0': {dependencies: {d: 1.0.0}}
  d@1.0.0: {}
"""
YARN = """# yarn lockfile v1

"@t/c@^1":
  version "1.0.0"

a@^1, a@^1.0:
  version "1.0.0"
  dependencies:
    d "^1"

b@^1:
  version "1.0.0"
  dependencies:
    "@t/c" "^1"
    a "^1.0"

d@^1:
  version "1.0.0"
"""
NODE = {
    "npm 7 and later": {"package-lock.json": json.dumps(NPM_3)},
    "npm's own list in node_modules": {"app/node_modules/.package-lock.json": json.dumps(NPM_3)},
    "npm before 7": {"package-lock.json": json.dumps(NPM_1)},
    "pnpm 5": {"pnpm-lock.yaml": PNPM_5},
    "pnpm 8": {"pnpm-lock.yaml": PNPM_6},
    "pnpm 9": {"pnpm-lock.yaml": PNPM_9},
    "yarn 1": {
        "x/yarn.lock": YARN,
        "x/package.json": json.dumps({"dependencies": {"a": "^1"}, "devDependencies": {"b": "^1"}}),
    },
}


@pytest.mark.parametrize("name", NODE)
def test_node_packages_for_development_alone(name: str) -> None:
    node, python = development(NODE[name], yaml)
    assert set(node) == {"b", "@t/c"}
    assert not python


UV = """
[[package]]
name = "shop"
source = { virtual = "." }
dependencies = [{ name = "flask" }]
[package.optional-dependencies]
s3 = [{ name = "boto3" }]
[package.dev-dependencies]
dev = [{ name = "pytest" }]
[[package]]
name = "flask"
dependencies = [{ name = "Click" }]
[[package]]
name = "click"
[[package]]
name = "boto3"
[[package]]
name = "pytest"
dependencies = [{ name = "iniconfig" }, { name = "click" }]
[[package]]
name = "iniconfig"
"""
POETRY_2 = """
[[package]]
name = "flask"
groups = ["main"]
[[package]]
name = "click"
groups = ["main", "dev"]
[[package]]
name = "pytest"
groups = ["dev"]
[[package]]
name = "Iniconfig"
groups = ["dev", "test"]
"""
POETRY_1 = """
[[package]]
name = "flask"
category = "main"
[[package]]
name = "pytest"
category = "dev"
[[package]]
name = "iniconfig"
category = "dev"
"""
PIPFILE: dict[str, dict[str, object]] = {
    "default": {"flask": {}, "click": {}},
    "develop": {"pytest": {}, "iniconfig": {}, "click": {}},
}
PYTHON = {
    "uv": {"uv.lock": UV},
    "poetry 2": {"poetry.lock": POETRY_2},
    "poetry 1": {"poetry.lock": POETRY_1},
    "pipenv": {"Pipfile.lock": json.dumps(PIPFILE)},
    "requirements": {
        "requirements.txt": "flask==3\nclick>=8\n",
        "requirements-dev.txt": "-r requirements.txt\npytest==8  # tests\nIniconfig\nclick\n",
    },
}


@pytest.mark.parametrize("name", PYTHON)
def test_python_packages_for_development_alone(name: str) -> None:
    node, python = development(PYTHON[name], yaml)
    assert set(python) == {"pytest", "iniconfig"}
    assert not node


@pytest.mark.parametrize("file", ["package-lock.json", "pnpm-lock.yaml", "uv.lock", "poetry.lock", "Pipfile.lock"])
def test_a_lock_file_that_cannot_be_read_says_nothing(file: str) -> None:
    assert development({file: "[1, 2, 3]"}, yaml) == (frozenset(), frozenset())


def inventory(files: dict[str, int], **texts: str) -> Inventory:
    return Inventory(
        files={path: File(size, "", False, False) for path, size in files.items()},
        texts={PurePosixPath(path.replace("__", "/")).as_posix(): text for path, text in texts.items()},
    )


def test_what_node_packages_weigh_without_those_inside_of_them() -> None:
    image = inventory(
        {
            "app/node_modules/b/package.json": 10,
            "app/node_modules/b/lib/index.js": 1000,
            "app/node_modules/b/node_modules/a/package.json": 10,
            "app/node_modules/b/node_modules/a/index.js": 500,
            "app/node_modules/@t/c/package.json": 10,
            "srv/node_modules/.pnpm/b@1.0.0/node_modules/b/package.json": 5,
            "app/b/package.json": 9999,
        }
    )
    assert installed_node(image, frozenset({"b", "@t/c", "gone"})) == {"b": 1015, "@t/c": 10}


def test_what_python_packages_weigh_as_their_records_say() -> None:
    place = "usr/lib/python3/site-packages"
    image = inventory(
        {f"{place}/pytest/a.py": 100, f"{place}/pytest/b.py": 20, "usr/bin/pytest": 3, f"{place}/x.py": 9}
    )
    image.texts[f"{place}/pytest-8.0.dist-info/RECORD"] = (
        "pytest/a.py,sha256=x,100\npytest/b.py,,\n../../../bin/pytest,sha256=x,3\ngone.py,,5\n"
    )
    image.texts[f"{place}/flask-3.0.dist-info/RECORD"] = "x.py,,9\n"
    assert installed_python(image, frozenset({"pytest"})) == {"pytest": 123}


def test_only_lists_of_packages_are_read() -> None:
    read = ["app/package-lock.json", "app/node_modules/.package-lock.json", "a/requirements-dev.txt", "package.json"]
    left = ["app/node_modules/b/package.json", "app/index.js", "RECORD", "usr/share/requirements"]
    assert [path for path in (*read, *left) if Inventory.wants(path)] == read
