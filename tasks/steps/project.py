"""What a run is about: services.toml and the Compose project of each stack. Loaded once, before any task runs."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from doit.exceptions import InvalidDodoFile
from msgspec import Struct, field

from tasks.adapters import compose as compose_adapter
from tasks.core import compose, config
from tasks.core.build import BuildDefinition
from tasks.core.compose import ComposeProject
from tasks.core.errors import ConfigurationError, OnevmError
from tasks.core.model import Configuration, Stack
from tasks.steps import output
from tasks.steps.configuration import cache_folder, configuration


class Project(Struct, frozen=True, kw_only=True):
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


@cache
def project() -> Project:
    """Return the project of this run.

    Raises:
        InvalidDodoFile: the command line or services.toml has mistakes (doit then ends with exit code 3).
    """
    try:
        return load(configuration(), cache_folder())
    except OnevmError as error:
        raise InvalidDodoFile(output.explained(str(error))) from None


def load(configuration: Configuration, folder: Path) -> Project:
    """Read the stacks' Compose projects.

    Args:
        configuration: services.toml.
        folder: the folder for what may be deleted at any time.

    Raises:
        ConfigurationError: services.toml names services that are not there.
    """
    stacks = configuration.stacks
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


def _compose(stack: Stack, folder: Path) -> ComposeProject:
    definition, active = compose_adapter.read_project(stack, folder)
    return compose.parse(stack, definition, active)
