"""Hosts are reached while something else is done: a connection takes as long as reading the Compose files."""

import atexit
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack

from tasks.adapters import process
from tasks.adapters.host import Reached, reached
from tasks.core.model import Configuration, Host

LONGEST_END_SECONDS = 5.0
# The verbs that always ask the hosts of the stacks they are named with.
_ASKING = {"plan", "deploy", "rollback", "status", "history", "report", "prune"}
# doit's own commands that name tasks and run none.
_NOT_RUNNING = {"list", "info", "help", "forget", "clean", "ignore", "reset-dep", "dumpdb", "strace", "tabcompletion"}
_guard = threading.Lock()
_hosts: dict[str, Future[Reached]] = {}
_threads: list[threading.Thread] = []
_closing = ExitStack()


def reach(host: Host) -> Future[Reached]:
    """Begin to reach a host, unless that was done before; it stays reached until `close`."""
    with _guard:
        if host.name not in _hosts:
            found: Future[Reached] = Future()
            _hosts[host.name] = found
            # A daemon: what ends early does not wait for a host that does not answer.
            thread = threading.Thread(target=_reach, args=(host, found), daemon=True)
            _threads.append(thread)
            thread.start()
        return _hosts[host.name]


def _reach(host: Host, found: Future[Reached]) -> None:
    context = reached(host)
    try:
        result = context.__enter__()
    except BaseException as error:  # noqa: BLE001 - whoever asks for the host gets it
        found.set_exception(error)
        return
    with _guard:
        _closing.push(context)
    found.set_result(result)


@atexit.register
def close() -> None:
    """Let go of all hosts, also of those that were not reached yet."""
    with _guard:
        pending = [thread for thread in _threads if thread.is_alive()]
        _threads.clear()
    if pending:
        process.stop_all()
        for thread in pending:
            thread.join(LONGEST_END_SECONDS)
    _closing.close()


def ahead(words: Iterable[str], configuration: Configuration) -> None:
    """Begin to reach the hosts that a command line will surely ask, before its Compose files are read.

    Args:
        words: its words that may be names of tasks.
        configuration: services.toml.
    """
    for name in asked(list(words) or ["plan"], {stack.name: stack.host for stack in configuration.stacks.values()}):
        reach(configuration.hosts[name])


def asked(words: Iterable[str], hosts: Mapping[str, str]) -> frozenset[str]:
    """Return the hosts that a command line will surely ask.

    Args:
        words: its words that may be names of tasks; none of them means what the default task means.
        hosts: by stack, its host.
    """
    names = list(words)
    found: set[str] = set()
    if names and names[0] in _NOT_RUNNING:
        return frozenset()
    for word in names:
        verb, _, name = word.partition(":")
        if verb not in _ASKING:
            continue
        if not name:
            found |= set(hosts.values())
        # The short name of a service says its stack only when the Compose files are read.
        elif (stack := name if name in hosts else name.partition(".")[0]) in hosts:
            found.add(hosts[stack])
    return frozenset(found)
