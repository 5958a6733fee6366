"""services.toml, read and checked into a `Configuration`, with every mistake reported at once."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.core import document, hints, hosts, stacks
from tasks.core.errors import ConfigurationError, Problem
from tasks.core.fields import Fields
from tasks.core.model import Builder, Configuration, Registry, Stack
from tasks.core.schema import SCHEMA
from tasks.core.source import Source

ONLY = "ONEVM_STACKS"


def load(path: Path, environ: Mapping[str, str]) -> Configuration:
    """Read and check a configuration file.

    Args:
        path: the file, as the user named it; messages repeat it. Paths in it are relative to its folder.
        environ: environment variables; HOME and XDG_STATE_HOME give the default root on this machine, ONEVM_STACKS
            names the only stacks that count.

    Raises:
        UsageError: the file is not there or may not be read.
        ConfigurationError: it has mistakes; they are sorted by line.
    """
    source = document.read(path)
    base = Path(path).absolute().parent
    fields = Fields(source, document.parse(source))
    values = fields.table(fields.data, SCHEMA)
    _narrow(fields, values, environ.get(ONLY, ""))
    _check(fields, values, base, environ)
    if fields.problems:
        problems = dict.fromkeys(sorted(fields.problems, key=lambda problem: (problem.line, problem.key)))
        raise ConfigurationError(tuple(problems))
    return _build(path, source, values, base, environ)


def _narrow(fields: Fields, values: dict[str, Any], names: str) -> None:
    """Forget the stacks that are not named, if any are: their checkouts need not be on this machine."""
    stacks = values.get("stacks", {})
    wanted = names.replace(",", " ").split()
    for name in wanted:
        if name not in stacks and not fields.has(("stacks", name)):
            fields.report(("stacks",), f"${ONLY} names {name}, which is not there{hints.did_you_mean(name, stacks)}")
    if wanted:
        values["stacks"] = {name: stack for name, stack in stacks.items() if name in wanted}


def missing_variables(configuration: Configuration, environ: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return the variables that the registry's login needs and that are not set.

    Not a mistake of the file: only verbs that talk to the registry need them.
    """
    name = configuration.registry.password_env
    if name is None or environ.get(name):
        return ()
    state = "is empty" if name in environ else "is not set"
    message = f"the environment variable {name} {state}"
    return (configuration.source.problem(("registry", "password_env"), message),)


def unknown_services(stack: Stack, names: Collection[str]) -> tuple[Problem, ...]:
    """Return the service sections of a stack that are none of `names`, its Compose services."""
    return tuple(
        stack.problem(("services", name), f"the Compose files have no such service{hints.did_you_mean(name, names)}")
        for name in stack.services
        if name not in names
    )


def shared_repositories(configuration: Configuration, built: Mapping[str, Collection[str]]) -> tuple[Problem, ...]:
    """Return the services whose images would get the name of another stack's.

    `a` with service `b-c` and `a-b` with service `c` are both `<url>/a-b-c`.

    Args:
        configuration: the stacks.
        built: for each stack's name, the names of its built services.
    """
    owners: dict[str, tuple[str, str]] = {}
    problems: list[Problem] = []
    for name, services in built.items():
        for service in services:
            image = f"{name}-{service}"
            stack, other = owners.setdefault(image, (name, service))
            if stack != name:
                message = f"the image of {service} would be {image}, as that of {stack}.{other}; rename the stack"
                problems.append(configuration.stacks[name].problem((), message))
    return tuple(problems)


def _check(fields: Fields, values: dict[str, Any], base: Path, environ: Mapping[str, str]) -> None:
    """Report what the values say together, and with the files that are there."""
    for one, other in (("username", "password_env"), ("password_env", "username")):
        if fields.has(("registry", one)) and not fields.has(("registry", other)):
            fields.report(("registry", one), f"needs {other} too; leave both out to be anonymous")
    known: Mapping[str, Any] = values.get("hosts", {})
    hosts.check(fields, known, base, environ)
    for name, stack in values.get("stacks", {}).items():
        if isinstance(fields.data.get("hosts", {}), dict):
            hosts.check_choice(fields, name, stack, known, environ)
        stacks.check(fields, name, stack, base)
    stacks.check_pairs(fields, values.get("stacks", {}), base)


def _build(path: Path, source: Source, values: dict[str, Any], base: Path, environ: Mapping[str, str]) -> Configuration:
    configured: Mapping[str, Any] = values.get("hosts", {})
    return Configuration(
        path=Path(path).absolute(),
        registry=Registry(**values["registry"]),
        builder=Builder(**values.get("builder", {})),
        hosts=hosts.build(configured, base, environ),
        stacks={
            name: stacks.build(name, stack, hosts.chosen(stack, configured) or hosts.LOCAL, base, source)
            for name, stack in values["stacks"].items()
        },
        source=source,
    )
