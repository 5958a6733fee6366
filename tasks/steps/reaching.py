"""Hosts are reached while something else is done: a connection takes as long as reading the Compose files."""

import atexit
import threading
from collections.abc import Collection, Iterable
from concurrent.futures import Future, wait
from contextlib import ExitStack

from tasks.adapters import later, process
from tasks.adapters.host import Reached, reached
from tasks.core.model import Configuration, Host

LONGEST_END_SECONDS = 5.0
# The verbs that always ask the hosts of the stacks they are named with.
_ASKING = frozenset({"plan", "deploy", "rollback", "status", "history", "report", "prune"})
# doit's own commands that name tasks and run none.
_NOT_RUNNING = {"list", "info", "help", "forget", "clean", "ignore", "reset-dep", "dumpdb", "strace", "tabcompletion"}
_guard = threading.Lock()
_hosts: dict[str, Future[Reached]] = {}
_closing = ExitStack()


def reach(host: Host) -> Future[Reached]:
    """Begin to reach a host, unless that was done before; it stays reached until `close`."""
    with _guard:
        if host.name not in _hosts:
            _hosts[host.name] = later.begun(lambda: _reached(host))
        return _hosts[host.name]


def _reached(host: Host) -> Reached:
    context = reached(host)
    found = context.__enter__()
    with _guard:
        _closing.push(context)
    return found


@atexit.register
def close() -> None:
    """Let go of all hosts, also of those that were not reached yet."""
    with _guard:
        pending = [found for found in _hosts.values() if not found.done()]
        _hosts.clear()
    if pending:
        process.stop_all()
        wait(pending, LONGEST_END_SECONDS)
    _closing.close()


def ahead(words: Iterable[str], configuration: Configuration) -> None:
    """Begin to reach the hosts that a command line will surely ask, before its Compose files are read.

    Args:
        words: its words that may be names of tasks.
        configuration: services.toml.
    """
    hosts = {configuration.stacks[name].host for name in named(words, configuration.stacks, _ASKING)}
    for name in sorted(hosts):
        reach(configuration.hosts[name])


def named(words: Iterable[str], stacks: Collection[str], verbs: Collection[str]) -> frozenset[str]:
    """Return the stacks that a command line surely means with some verbs.

    Args:
        words: its words that may be names of tasks; none of them means what the default task means.
        stacks: all stacks.
        verbs: the verbs.
    """
    names = list(words) or ["plan"]
    found: set[str] = set()
    if names[0] in _NOT_RUNNING:
        return frozenset()
    for word in names:
        verb, _, name = word.partition(":")
        if verb not in verbs:
            continue
        if not name:
            found |= set(stacks)
        # The short name of a service says its stack only when the Compose files are read.
        elif (stack := name if name in stacks else name.partition(".")[0]) in stacks:
            found.add(stack)
    return frozenset(found)
