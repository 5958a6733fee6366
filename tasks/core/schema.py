"""Every key services.toml knows, as data. The reader, the hints and the documentation test walk it.

Defaults are not here: they are those of `model.py`.
"""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from msgspec import Struct

from tasks.core import syntax
from tasks.core.lint.catalogue import RULES
from tasks.core.model import CacheKind, OnFailure, RolloutKind

Kind = Literal["string", "integer", "number", "boolean", "strings", "reasons"]
Check = Callable[[str], str | None]
"""Looks at a text (of a `strings` array: at each) and returns what is wrong with it, or None."""


class Key(Struct, frozen=True, kw_only=True):
    """One key and what its value must be.

    Attributes:
        kind: type of the value.
        required: whether it must be there.
        choices: the only values there are.
        check: looks at the syntax of a string.
        least: smallest number; a `number` (of seconds) must also be at most `most`.
        most: largest number.
        names: the only names there are in a table of reasons.
        command: the value is a command line, in which `$` means what it means to a shell.
    """

    kind: Kind
    required: bool = False
    choices: tuple[str, ...] = ()
    check: Check | None = None
    least: int = 1
    most: int = 1_000_000
    names: tuple[str, ...] = ()
    command: bool = False


class Table(Struct, frozen=True, kw_only=True):
    """A table with fixed keys."""

    keys: "Mapping[str, Key | Table | Named]"
    required: bool = False


class Named(Struct, frozen=True, kw_only=True):
    """A table of tables, each under a name that the user chooses."""

    noun: str
    item: Table
    check: Check | None = None
    required: bool = False


REGISTRY = Table(
    required=True,
    keys={
        "url": Key(kind="string", required=True, check=syntax.registry_url),
        "username": Key(kind="string"),
        "password_env": Key(kind="string", check=syntax.variable_name),
        "insecure": Key(kind="boolean"),
    },
)

BUILDER = Table(
    keys={
        "name": Key(kind="string", check=syntax.builder_name),
        "cache": Key(kind="string", choices=get_args(CacheKind)),
    },
)

VM = Table(
    keys={
        "log_size": Key(kind="string", check=syntax.size),
        "log_files": Key(kind="integer", least=1, most=100),
        "builder_cache": Key(kind="string", check=syntax.size_or("none")),
        "swap": Key(kind="string", check=syntax.size_or("auto", "none")),
        "swap_file": Key(kind="string", check=syntax.file_on_host),
        "swappiness": Key(kind="integer", least=0, most=200),
        "disk_alert": Key(kind="integer", least=10, most=99),
        "alert_command": Key(kind="string", command=True),
        "alert_webhook_env": Key(kind="string", check=syntax.variable_name),
    },
)

HOST = Table(
    keys={
        "address": Key(kind="string", check=syntax.host_address),
        "root": Key(kind="string", check=syntax.folder),
        "keep_releases": Key(kind="integer", least=2),
        "vm": VM,
    },
)

VERIFY = Table(
    keys={
        "url": Key(kind="string", required=True, check=syntax.verify_url),
        "json": Key(kind="string", check=syntax.json_path),
        "timeout": Key(kind="number", most=3600),
    },
)

HOOKS = Table(
    keys={
        "before_deploy": Key(kind="string", command=True),
        "after_deploy": Key(kind="string", command=True),
        "on_failure": Key(kind="string", command=True),
    },
)

IGNORE = Key(kind="reasons", names=tuple(RULES))

SERVICE = Table(
    keys={
        "rollout": Key(kind="string", choices=get_args(RolloutKind)),
        "drain": Key(kind="number", least=0, most=3600),
        "probe": Key(kind="string", check=syntax.verify_url),
        "volatile_args": Key(kind="strings", check=syntax.arg_name),
        "inputs": Key(kind="strings", check=syntax.folder),
        "ignore": IGNORE,
    },
)

STACK = Table(
    keys={
        "path": Key(kind="string", required=True, check=syntax.folder),
        "compose": Key(kind="strings", check=syntax.inner_path),
        "host": Key(kind="string"),
        "on_failure": Key(kind="string", choices=get_args(OnFailure)),
        "files": Key(kind="strings", check=syntax.travelling_path),
        "verify": VERIFY,
        "hooks": HOOKS,
        "ignore": IGNORE,
        "services": Named(noun="service", item=SERVICE),
    },
)

SCHEMA = Table(
    keys={
        "registry": REGISTRY,
        "builder": BUILDER,
        "hosts": Named(noun="host", item=HOST, check=syntax.host_name),
        "stacks": Named(noun="stack", item=STACK, check=syntax.project_name, required=True),
    },
)


def walk(table: Table = SCHEMA, prefix: str = "") -> "list[tuple[str, Key]]":
    """List every key with its dotted path; a name that the user chooses is `NAME`."""
    found: list[tuple[str, Key]] = []
    for name, item in table.keys.items():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(item, Key):
            found.append((path, item))
        elif isinstance(item, Named):
            found += walk(item.item, f"{path}.NAME")
        else:
            found += walk(item, path)
    return found
