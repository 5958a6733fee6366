"""Hosts of the configuration: defaults, and what two keys say together."""

import os.path
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.core.fields import Fields
from tasks.core.hints import did_you_mean
from tasks.core.model import Host, VmSettings

LOCAL = "local"
SSH_ROOT = Path("/srv/onevm")

_NO_HOME = "is missing, and HOME is not set to find the default"

Values = Mapping[str, Any]


def check(fields: Fields, hosts: Mapping[str, Values], base: Path, environ: Mapping[str, str]) -> None:
    """Report hosts without an address, roots that cannot be, and two names for one place."""
    places: dict[tuple[str, Path], str] = {}
    for name, values in hosts.items():
        key = ("hosts", name)
        address = address_of(name, values)
        if address is None:
            if not fields.has((*key, "address")):
                fields.report((*key, "address"), 'is missing; write "ssh://user@host" or "local"')
            continue
        if name == LOCAL and address != LOCAL:
            fields.report((*key, "address"), 'hosts.local is always this machine ("local"); choose another name')
        if "root" in values and address != LOCAL:
            _check_remote_root(fields, (*key, "root"), values["root"])
        root = root_of(address, values, base, environ)
        if root is None:
            fields.report((*key, "root"), _NO_HOME)
        elif (address, root) in places:
            fields.report(key, f"is the same machine and root as hosts.{places[address, root]}")
        else:
            places[address, root] = name


def address_of(name: str, values: Values) -> str | None:
    """Return a host's address; only the host named `local` needs none."""
    address: str | None = values.get("address", LOCAL if name == LOCAL else None)
    return address


def root_of(address: str, values: Values, base: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the absolute folder of a host's records; None if the default needs HOME and there is none.

    The default on this machine is `$XDG_STATE_HOME/onevm`, else `~/.local/state/onevm`
    (XDG Base Directory Specification 0.8: a relative value is ignored).
    """
    if address != LOCAL:
        return Path(values.get("root", SSH_ROOT))
    if "root" in values:
        return Path(os.path.realpath(base / values["root"]))
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if Path(state).is_absolute():
        return Path(state) / "onevm"
    return Path(home) / ".local/state/onevm" if Path(home).is_absolute() else None


def chosen(values: Values, configured: Collection[str]) -> str | None:
    """Return the name of a stack's host: its own, or the only one there is; None if it must say so."""
    if "host" in values:
        return str(values["host"])
    names = list(configured) or [LOCAL]
    return names[0] if len(names) == 1 else None


def check_choice(
    fields: Fields, stack: str, values: Values, configured: Collection[str], environ: Mapping[str, str]
) -> None:
    """Report a stack whose host is not there, or that must name one of several."""
    key = ("stacks", stack, "host")
    host = chosen(values, configured)
    if host is None:
        if not fields.has(key):
            fields.report(key, f"is missing, and there is more than one host: {', '.join(sorted(configured))}")
    elif host == LOCAL and LOCAL not in configured:
        if root_of(LOCAL, {}, Path(), environ) is None:
            fields.report(("hosts", LOCAL, "root"), _NO_HOME)
    elif host not in configured:
        known = {*configured, LOCAL}
        fields.report(key, f"there is no [hosts.{host}]{did_you_mean(host, known)}")


def build(hosts: Mapping[str, Values], base: Path, environ: Mapping[str, str]) -> dict[str, Host]:
    """Make the hosts of a checked configuration; this machine is always one of them if its root is known."""
    built: dict[str, Host] = {}
    everywhere: dict[str, Values] = {LOCAL: {}, **hosts}
    for name, values in everywhere.items():
        address = address_of(name, values)
        root = root_of(address, values, base, environ) if address else None
        if address and root:
            others = {key: value for key, value in values.items() if key not in {"address", "root", "vm"}}
            vm = VmSettings(**values.get("vm", {}))
            built[name] = Host(name=name, address=address, root=root, vm=vm, **others)
    return built


def _check_remote_root(fields: Fields, key: tuple[str, ...], root: str) -> None:
    path = PurePosixPath(root)
    if not path.is_absolute():
        fields.report(key, f'must be an absolute path on the host, like "{SSH_ROOT}"')
    elif ".." in path.parts or path == PurePosixPath("/"):
        fields.report(key, 'must be a folder of its own, without ".."')
