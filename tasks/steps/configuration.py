"""services.toml as the command line means it, and the hosts in it that will surely be asked."""

import os
import sys
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import doit

from tasks.core import config
from tasks.core.errors import UsageError
from tasks.core.model import Configuration
from tasks.core.values import replace
from tasks.steps import reaching, variables


@cache
def configuration() -> Configuration:
    """Return services.toml, and begin to ask the hosts and checkouts that this run will surely ask.

    Raises:
        UsageError: the command line has mistakes.
        ConfigurationError: services.toml has mistakes.
    """
    variables.check()
    path = config_path()
    # doit has moved to the folder of dodo.py: a name relative to the user's folder would open another file.
    below = os.path.relpath(path)
    at_home = Path.cwd() == Path(doit.get_initial_workdir() or ".").resolve()
    found = config.load(Path(below) if at_home and not below.startswith("..") else path, os.environ)
    found = _elsewhere(found, variables.text("host"))
    reaching.ahead(words(), found)
    # Not before: it is loaded while the hosts are reached.
    from tasks.steps import checkouts

    checkouts.ahead(words(), found)
    return found


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


def words() -> tuple[str, ...]:
    """Return the words of the command line that may be task names or doit commands."""
    return tuple(word for word in sys.argv[1:] if not word.startswith("-") and "=" not in word)
