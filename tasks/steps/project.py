"""What a run is about: services.toml and the Compose project of each stack. Loaded once, before any task runs."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import doit
from doit.exceptions import InvalidDodoFile

from tasks.adapters import compose as compose_adapter
from tasks.core import compose, config
from tasks.core.build import BuildDefinition
from tasks.core.compose import ComposeProject
from tasks.core.errors import ConfigurationError, OnevmError, UsageError
from tasks.core.model import Configuration, Stack
from tasks.steps import output, reaching, variables


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """The stacks of a run.

    Attributes:
        configuration: services.toml.
        compose: each stack's Compose project; empty if `broken`.
        cache: the folder for what may be deleted at any time.
        broken: why the Compose projects could not be read, if they could not.
    """

    configuration: Configuration
    compose: dict[str, ComposeProject] = field(default_factory=dict)
    cache: Path
    broken: OnevmError | None = None

    @property
    def stacks(self) -> dict[str, Stack]:
        """The stacks of services.toml by name."""
        return self.configuration.stacks

    def built(self) -> dict[str, BuildDefinition]:
        """Return the build definition of every service built here, by `<stack>.<service>`."""
        return {
            service.build.name: service.build
            for project in self.compose.values()
            for service in project.built().values()
            if service.build
        }


def config_path() -> Path:
    """Return services.toml as the command line, ONEVM_CONFIG or the default names it."""
    start = Path(doit.get_initial_workdir() or ".")
    named = variables.text("config")
    if named:
        return start / named
    if "ONEVM_CONFIG" in os.environ:
        return start / os.environ["ONEVM_CONFIG"]
    return Path("services.toml").absolute()


def start_folder() -> str:
    """Return the folder that the user is in."""
    return str(doit.get_initial_workdir() or Path.cwd())


def cache_folder() -> Path:
    """Return the folder of this configuration's caches, made if need be. Deleting it costs time, never correctness."""
    folder = config_path().parent / ".onevm"
    try:
        folder.mkdir(exist_ok=True)
    except OSError:
        # A missing folder or a read-only one: the configuration's own error says more than this one could.
        import tempfile

        return Path(tempfile.mkdtemp(prefix="onevm-cache-"))
    return folder


@cache
def project() -> Project:
    """Return the project of this run.

    Raises:
        InvalidDodoFile: the command line or services.toml has mistakes (doit then ends with exit code 3).
    """
    try:
        variables.check()
        return load(config_path(), cache_folder())
    except OnevmError as error:
        raise InvalidDodoFile(output.explained(str(error))) from None


def load(path: Path, folder: Path) -> Project:
    """Read services.toml and the stacks' Compose projects.

    Raises:
        ConfigurationError: services.toml has mistakes.
    """
    # doit has moved to the folder of dodo.py: a name relative to the user's folder would open another file.
    below = os.path.relpath(path)
    at_home = Path.cwd() == Path(doit.get_initial_workdir() or ".").resolve()
    configuration = config.load(Path(below) if at_home and not below.startswith("..") else path, os.environ)
    configuration = _elsewhere(configuration, variables.text("host"))
    stacks = configuration.stacks
    reaching.ahead(words(), configuration)
    try:
        with ThreadPoolExecutor(max(1, min(8, len(stacks)))) as pool:
            found = dict(zip(stacks, pool.map(lambda s: _compose(s, folder), stacks.values()), strict=True))
    except ConfigurationError:
        raise
    except OnevmError as error:
        return Project(configuration=configuration, cache=folder, broken=error)
    problems = [p for name, stack in stacks.items() for p in config.unknown_services(stack, found[name].services)]
    problems += config.shared_repositories(configuration, {name: list(p.built()) for name, p in found.items()})
    if problems:
        raise ConfigurationError(tuple(sorted(problems, key=lambda p: p.line)))
    return Project(configuration=configuration, compose=found, cache=folder)


def _elsewhere(configuration: Configuration, host: str) -> Configuration:
    """Return the configuration with every stack on another host, if one is named."""
    if not host:
        return configuration
    if host not in configuration.hosts:
        near = get_close_matches(host, configuration.hosts, 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UsageError(f"host={host}: services.toml has no such host{hint}")
    stacks = {name: replace(stack, host=host) for name, stack in configuration.stacks.items()}
    return replace(configuration, stacks=stacks)


def _compose(stack: Stack, folder: Path) -> ComposeProject:
    definition, active = compose_adapter.read_project(stack, folder)
    return compose.parse(stack, definition, active)


def words() -> tuple[str, ...]:
    """Return the words of the command line that may be task names or doit commands."""
    return tuple(word for word in sys.argv[1:] if not word.startswith("-") and "=" not in word)
