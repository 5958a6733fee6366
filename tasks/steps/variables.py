"""The `name=value` variables of the command line. doit ignores a misspelt one; Onevm does not."""

from difflib import get_close_matches

import doit
from doit import doit_cmd

from tasks.core.errors import UsageError

KNOWN = {
    "config": "another services.toml",
    "host": "another host than the stacks' own",
    "sha": "the commit of a release",
    "dirty": "dirty=1 lets uncommitted changes go to a host over SSH",
    "build": "build=on-host: `deploy` and `plan` without a registry, with images built by the stack's host",
    "fail_fast": "fail_fast=1: a stack that fails keeps the others from being deployed",
    "lock_wait": "seconds to wait for another deploy of the same stack",
    "format": "format=json gives one JSON document",
    "html": "where `doit report` puts its page",
    "force": "`doit ci force=1` overwrites workflow files that were edited by hand",
    "images": "`doit check images=1` looks into images, too",
    "refresh": "refresh=1: take base images and external images as their registries have them now",
    "apply": "`doit prune apply=1` deletes what `doit prune` shows",
    "branches": "branches=1: `doit prune` keeps the images of the heads of branches",
    "grace": "seconds; `doit prune` keeps what is younger",
    "detailed": "`doit plan detailed=1` exits with 10 when something would change",
}


def check() -> None:
    """Refuse variables that nobody reads, and values that cannot be meant, before anything is done.

    Raises:
        UsageError: a variable is unknown (the message has the nearest known one), or its value is.
    """
    for name in doit_cmd._CMDLINE_VARS or {}:  # noqa: SLF001 - doit has no public way to list them
        if name not in KNOWN:
            near = get_close_matches(name, KNOWN, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise UsageError(f"unknown variable {name!r}{hint}", next_step=f"known ones: {', '.join(sorted(KNOWN))}")
    if text("format") not in {"", "json", "table"}:
        raise UsageError(f"format={text('format')} is not known", next_step="format=json, or leave it away")
    if text("build") not in {"", "on-host"}:
        raise UsageError(f"build={text('build')} is not known", next_step="build=on-host, or leave it away")
    if text("build") and text("sha"):
        raise UsageError("sha= builds nothing, so build=on-host cannot be meant with it", next_step="leave one away")
    for name in ("dirty", "detailed", "fail_fast", "force", "images", "apply", "branches", "refresh"):
        flag(name)
    if flag("refresh") and text("sha"):
        raise UsageError("refresh=1 and sha= exclude each other", next_step="an existing release stays as it is")
    if flag("refresh") and text("build"):
        raise UsageError(
            "refresh=1 and build=on-host exclude each other", next_step="what a refresh made, the registry knows"
        )
    for name in ("lock_wait", "grace"):
        seconds(name, 0)


def text(name: str) -> str:
    """Return a variable's value, an empty string if it is not given."""
    return str(doit.get_var(name, ""))


def flag(name: str) -> bool:
    """Return whether a variable is 1.

    Raises:
        UsageError: it is neither 0 nor 1.
    """
    value = text(name)
    if value not in {"", "0", "1"}:
        raise UsageError(f"{name}={value}: 1 or 0 is meant")
    return value == "1"


def seconds(name: str, default: float) -> float:
    """Return a variable as a number of seconds.

    Raises:
        UsageError: it is no number, or negative.
    """
    value = text(name)
    try:
        number = float(value) if value else default
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise UsageError(f"{name}={value}: a number of seconds is meant")
    return number


def as_json() -> bool:
    """Whether exactly one JSON document is wanted on standard output."""
    return text("format") == "json"
