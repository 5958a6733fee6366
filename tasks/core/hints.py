"""What somebody meant who wrote a key that is not there, or a value that is none of the choices."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from tasks.core.schema import SCHEMA, Table, walk
from tasks.core.toml_lines import KeyPath

_SECRET = re.compile(r"(?i)(?:^|_)(?:password|passwd|pass|pwd|token|secret|api_?key|credentials?|auth)$")
_COMPOSE_SAYS = frozenset(
    {
        "args", "build", "command", "container_name", "context", "contexts", "depends_on", "dockerfile",
        "entrypoint", "env_file", "environment", "healthcheck", "image", "labels", "logging", "mem_limit",
        "networks", "platforms", "ports", "restart", "secrets", "target", "volumes",
    }
)  # fmt: skip


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "…"?` for the nearest of `known`, or `; there is …`."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1) or get_close_matches(word.lower(), names, n=1)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; there is {', '.join(names)}" if names else ""


def unknown_key(name: str, key: KeyPath, table: Table) -> str:
    """Return the message for the key `name`, found at `key`, that `table` does not have."""
    if _SECRET.search(name):
        if key[0] == "stacks":
            return "a secret never stands in this file; those of a service stay on the host, in its .env"
        return (
            "a secret never stands in this file; put it into an environment variable"
            " and that variable's NAME into registry.password_env"
        )
    if get_close_matches(name, table.keys, n=1):
        return f"unknown key{did_you_mean(name, table.keys)}"
    if key[0] == "stacks" and name in _COMPOSE_SAYS:
        return "unknown key; this is said in the Compose file, and read from there"
    homes = [path.rpartition(".")[0] for path, _ in walk(SCHEMA) if path.rpartition(".")[2] == name]
    if homes:
        tables = " and ".join(f"[{home}]" for home in homes)
        return f"unknown key here; it belongs to {tables} (a key belongs to the last [header] above it)"
    return f"unknown key{did_you_mean(name, table.keys)}"
