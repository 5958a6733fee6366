"""Which packages only development needs, as lock files say it, and which of them an image has.

Names decide: a package counts as one for development only if no entry of the lock file under that name is for
production.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

import tomli

from tasks.core.lint import tree
from tasks.core.lint.inventory import Inventory

# node_modules/NAME and node_modules/@SCOPE/NAME, at any depth.
_MODULE = re.compile(r"^(?P<root>(?:.*/)?node_modules/(?P<name>(?:@[^/]+/)?[^/.@][^/]*))/package\.json$")
_DIST = re.compile(r"^(?P<root>.*?(?:site|dist)-packages)/(?P<name>[^/]+?)-(?P<version>\d[^/]*)\.dist-info/RECORD$")
_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][\w.-]*)")
_DEV_FILE = re.compile(
    r"(?:^|/)(?:requirements[-_.](?:dev|test|tests|lint|ci)[\w-]*\.txt|(?:dev|test)[-_]requirements\.txt|requirements/(?:dev|test)\w*\.txt)$"
)
_PROD_FILE = re.compile(r"(?:^|/)(?:requirements\.txt|requirements/(?:base|prod|production|main)\.txt)$")

Yaml = Callable[[str, str], tree.Node | None]
"""Parses a text of a file into a tree."""


def development(texts: Mapping[str, str], yaml: Yaml) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that only the development sections of lock files have.

    Args:
        texts: lock files by path; package.json beside yarn.lock.
        yaml: reads YAML.

    Returns:
        Names of Node packages, and normalised names of Python packages.
    """
    node, python = _Verdict(), _Verdict()
    for path, text in texts.items():
        name = PurePosixPath(path).name
        try:
            if name in {"package-lock.json", "npm-shrinkwrap.json", ".package-lock.json"}:
                node.take(_npm(json.loads(text)))
            elif name == "pnpm-lock.yaml" and (root := yaml(text, path)) is not None:
                node.take(_pnpm(root))
            elif name == "yarn.lock":
                beside = texts.get(str(PurePosixPath(path).with_name("package.json")))
                node.take(_yarn(text, json.loads(beside)) if beside else ())
            elif name in {"poetry.lock", "pdm.lock"}:
                python.take(_grouped(tomli.loads(text)))
            elif name == "uv.lock":
                python.take(_uv(tomli.loads(text)))
            elif name == "Pipfile.lock":
                found = json.loads(text)
                python.take(
                    (normal(n), section == "develop")
                    for section in ("default", "develop")
                    for n in found.get(section) or ()
                )
            elif _DEV_FILE.search(path) or _PROD_FILE.search(path):
                dev = _DEV_FILE.search(path) is not None
                python.take((normal(m[1]), dev) for line in text.splitlines() if (m := _REQUIREMENT.match(line)))
        except (ValueError, KeyError, AttributeError, TypeError):
            # What a tool cannot read, others will complain of; nothing is known of it here.
            continue
    return node.dev_only(), python.dev_only()


class _Verdict:
    def __init__(self) -> None:
        self._dev: set[str] = set()
        self._prod: set[str] = set()

    def take(self, entries: Iterable[tuple[str, bool]]) -> None:
        for name, dev in entries:
            (self._dev if dev else self._prod).add(name)

    def dev_only(self) -> frozenset[str]:
        return frozenset(self._dev - self._prod)


def normal(name: str) -> str:
    """Return a Python package's name as PEP 503 normalises it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _npm(lock: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for path, entry in (lock.get("packages") or {}).items():
        if "node_modules/" in path:
            yield path.rpartition("node_modules/")[2], bool(entry.get("dev") or entry.get("devOptional"))
    if "packages" not in lock:
        yield from _npm_1(lock.get("dependencies") or {})


def _npm_1(dependencies: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for name, entry in dependencies.items():
        yield name, bool(entry.get("dev"))
        yield from _npm_1(entry.get("dependencies") or {})


def _pnpm_name(key: str) -> str:
    """Return the name of `/name@1.0.0(peer)`, `/@scope/name/1.0.0`, `name@1.0.0`."""
    parts = key.lstrip("/").partition("(")[0].split("/")
    name = "/".join(parts[: 2 if key.lstrip("/").startswith("@") else 1])
    at = name.find("@", 1)
    return name[:at] if at > 0 else name


def _pnpm(root: tree.Node) -> Iterator[tuple[str, bool]]:
    packages = tree.entries(tree.at(root, "packages"))
    if any(tree.at(entry.value, "dev") is not None for entry in packages.values()):
        for key, entry in packages.items():
            yield _pnpm_name(key), tree.text(tree.at(entry.value, "dev")) == "true"
        return
    snapshots = tree.entries(tree.at(root, "snapshots"))
    needs = {
        key: [
            f"{name}@{tree.text(e.value)}"
            for section in ("dependencies", "optionalDependencies")
            for name, e in tree.entries(tree.at(entry.value, section)).items()
        ]
        for key, entry in snapshots.items()
    }
    importers = [entry.value for entry in tree.entries(tree.at(root, "importers")).values()]

    def wanted(*sections: str) -> list[str]:
        return [
            f"{name}@{tree.text(tree.at(e.value, 'version'))}"
            for importer in importers
            for section in sections
            for name, e in tree.entries(tree.at(importer, section)).items()
        ]

    yield from ((_pnpm_name(key), False) for key in _closure(wanted("dependencies", "optionalDependencies"), needs))
    yield from ((_pnpm_name(key), True) for key in _closure(wanted("devDependencies"), needs))


def _yarn(text: str, package: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Follow a yarn.lock of version 1 from what package.json names."""
    needs: dict[str, list[str]] = {}
    heads: list[str] = []
    section = ""
    for line in text.splitlines():
        if line and line[0] not in " #" and line.rstrip().endswith(":"):
            heads = [part.strip().strip('"') for part in line.rstrip(": \n").split(",")]
            needs |= {head: [] for head in heads}
        elif line.startswith("  ") and not line.startswith("    "):
            section = line.strip().rstrip(":")
        elif line.startswith("    ") and section in {"dependencies", "optionalDependencies"}:
            name, _, version = line.strip().partition(" ")
            for head in heads:
                needs[head].append(f"{name.strip(chr(34))}@{version.strip().strip(chr(34))}")
    for section, dev in (("dependencies", False), ("optionalDependencies", False), ("devDependencies", True)):
        start = [f"{name}@{version}" for name, version in (package.get(section) or {}).items()]
        yield from ((_pnpm_name(key), dev) for key in _closure(start, needs))


def _grouped(lock: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """poetry.lock and pdm.lock; before 2.1 Poetry wrote no groups, and only old ones a category."""
    for entry in lock.get("package") or ():
        groups = entry.get("groups")
        if groups is not None:
            yield normal(entry["name"]), not {"main", "default"} & set(groups)
        elif "category" in entry:
            yield normal(entry["name"]), entry["category"] == "dev"


def _uv(lock: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    entries = lock.get("package") or ()
    needs = {normal(e["name"]): [normal(d["name"]) for d in e.get("dependencies") or ()] for e in entries}
    own = [e for e in entries if {"virtual", "editable", "workspace"} & set(e.get("source") or {})]
    for entry in own:
        extras = [d for group in (entry.get("optional-dependencies") or {}).values() for d in group]
        start = [normal(d["name"]) for d in (*(entry.get("dependencies") or ()), *extras)]
        yield from ((name, False) for name in _closure(start, needs))
        later = [normal(d["name"]) for group in (entry.get("dev-dependencies") or {}).values() for d in group]
        yield from ((name, True) for name in _closure(later, needs))


def _closure(start: Iterable[str], needs: Mapping[str, Iterable[str]]) -> set[str]:
    found: set[str] = set()
    queue = list(start)
    while queue:
        name = queue.pop()
        if name not in found:
            found.add(name)
            queue += needs.get(name, ())
    return found


def installed_node(inventory: Inventory, names: frozenset[str]) -> dict[str, int]:
    """Return the bytes that Node packages with these names take, by name; those inside of them count for themselves."""
    roots = {m["root"]: m["name"] for path in inventory.files if (m := _MODULE.match(path)) and m["name"] in names}
    found = dict.fromkeys(roots.values(), 0)
    if not roots:
        return {}
    for path, file in inventory.files.items():
        head, inside, tail = path.rpartition("node_modules/")
        if inside:
            name = "/".join(tail.split("/")[: 2 if tail.startswith("@") else 1])
            if (root := f"{head}{inside}{name}") in roots:
                found[roots[root]] += file.size
    return found


def installed_python(inventory: Inventory, names: frozenset[str]) -> dict[str, int]:
    """Return the bytes that Python packages with these names take, by name, as their RECORD lists them."""
    found: dict[str, int] = {}
    for path in inventory.texts:
        match = _DIST.match(path)
        if match and (name := normal(match["name"])) in names:
            rows = (line.rsplit(",", 2) for line in inventory.texts[path].splitlines())
            files = (inventory.files.get(normpath(f"{match['root']}/{row[0]}")) for row in rows)
            found[name] = found.get(name, 0) + sum(file.size for file in files if file)
    return found
