"""Waiting until services are healthy: woken by the engine's events, giving up as soon as it is hopeless."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec import Struct, field

from tasks.adapters.engine import Engine
from tasks.adapters.process import go_on
from tasks.core.compose import ComposeService
from tasks.core.durations import spoken
from tasks.core.errors import OnevmError, ToolError
from tasks.core.observed import Container

SETTLED_SECONDS = 5.0
MOST_RESTARTS = 3
MARGIN_SECONDS = 30.0
LOOK_SECONDS = 1.0
LOG_LINES = 25
# As the engine calls the event.
HEALTHY = "health_status: healthy"


class Watch(Struct):
    """The engine's events of one stack, as a counter that can be waited on."""

    count: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    _last: dict[str, str] = field(default_factory=dict)
    _started: dict[str, str] = field(default_factory=dict)

    def notice(self, action: str, service: str, container: str) -> None:
        """Take note of an event."""
        with self.changed:
            self.count += 1
            self._seen[action, service] += 1
            self._last[container] = action
            if action == "start":
                self._started[container] = service
            self.changed.notify_all()

    def became_healthy(self, containers: Collection[str]) -> bool:
        """Whether each of some containers became healthy while this watched, and nothing else happened to it since."""
        with self.changed:
            return all(self._last.get(container) == HEALTHY for container in containers)

    def started(self, service: str) -> tuple[str, ...]:
        """Return the containers of a service that started while this watched, and still are."""
        with self.changed:
            return tuple(c for c, of in self._started.items() if of == service and self._last[c] != "destroy")

    @contextmanager
    def once_known(self, service: str, networks: int, act: Callable[[], None]) -> Iterator[None]:
        """Do something, in a thread of its own, as soon as a new container of a service can be found by its names.

        That is within the block, when it is connected to so many networks, and at the latest when it has started.
        """
        connects, starts, over = self._seen["connect", service], self._seen["start", service], threading.Event()

        def known() -> bool:
            return (
                self._seen["connect", service] >= connects + max(networks, 1) or self._seen["start", service] > starts
            )

        def when_known() -> None:
            with self.changed:
                self.changed.wait_for(lambda: known() or over.is_set())
            if known():
                act()

        waiting = threading.Thread(target=when_known, daemon=True)
        waiting.start()
        try:
            yield
        finally:
            with self.changed:
                over.set()
                self.changed.notify_all()
            waiting.join()

    def wait(self, seen: int, seconds: float) -> int:
        """Wait for an event after the `seen`-th, at most some seconds; returns the count.

        Raises:
            SystemExit: the run was interrupted.
        """
        go_on()
        with self.changed:
            self.changed.wait_for(lambda: self.count > seen, seconds)
            return self.count


@contextmanager
def watch(engine: Engine, stack: str) -> Iterator[Watch]:
    """Watch a stack's containers."""
    found = Watch()
    with engine.watching(stack, found.notice):
        yield found


def until_answering(engine: Engine, seconds: float) -> None:
    """Return when an engine answers: at once, or after its restart.

    Args:
        engine: the engine.
        seconds: how long it may take.

    Raises:
        OnevmError: it does not answer in time, or the way to it is lost.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            engine.version()
        except ToolError:
            if time.monotonic() > until:
                raise
            go_on()
            time.sleep(LOOK_SECONDS / 4)
        else:
            return


def until_healthy(
    engine: Engine,
    stack: str,
    services: Sequence[ComposeService],
    events: Watch,
    *,
    tell: Callable[[str, str], None],
    healthy: Callable[[str], None],
    counts: Callable[[Container], bool] | None = None,
) -> None:
    """Return when every container of the services is healthy, or has run 5 s if it has no health check.

    Args:
        engine: the engine they run on.
        stack: the stack's name.
        services: what to wait for.
        events: the engine's events of the stack, watched since before the services were started.
        tell: called with a service and the condition it is waited in.
        healthy: called with a service when it is.
        counts: which of the services' containers are meant; None for all.

    Raises:
        OnevmError: a container is unhealthy, ended, keeps restarting, or its time limit is over; with its log
            tail and the last output of its health check.
    """
    began = time.monotonic()
    left = {service.name: service for service in services if service.replicas}
    running_since: dict[str, float] = {}
    starting = _just_started(left, events) if counts is None else {}
    known = left.keys() <= starting.keys()
    for name in left if known else ():
        tell(name, "starting")
    while left:
        seen = events.count
        now = time.monotonic()
        # An event says it without a question, which takes its time through a connection to a VM.
        for name in _heard_healthy(starting, events):
            del left[name], starting[name]
            healthy(name)
        # What has just been started is not asked for either, before something is heard of it.
        asked = {} if known else left
        known = False
        found = engine.containers(stack, asked) if asked else ()
        by_service = _by_service([c for c in found if counts is None or counts(c)], asked)
        for name, containers in by_service.items():
            service = left[name]
            _refuse_hopeless(engine, stack, service, containers)
            for c in containers:
                if c.state == "running":
                    running_since.setdefault(f"{c.id}/{c.restarts}", now)
            waiting = [c for c in containers if not _settled(service, c, now, running_since)]
            starting[name] = _all_starting(service, containers)
            if containers and not waiting:
                del left[name], starting[name]
                healthy(name)
                continue
            if now - began > (limit := _limit(service)):
                problem = f"is not healthy after {spoken(limit)}"
                raise failure(engine, stack, name, waiting[0] if waiting else None, problem)
            tell(name, waiting[0].condition if waiting else "no container yet")
        if left:
            events.wait(seen, LOOK_SECONDS)


def _heard_healthy(starting: Mapping[str, tuple[str, ...]], events: Watch) -> list[str]:
    return [name for name, ids in starting.items() if ids and events.became_healthy(ids)]


def _just_started(services: Mapping[str, ComposeService], events: Watch) -> dict[str, tuple[str, ...]]:
    """Return, of services with a health check, the ids of all their containers, as far as all were seen to start."""
    found = {name: events.started(name) for name, service in services.items() if service.healthcheck}
    return {name: ids for name, ids in found.items() if len(ids) == services[name].replicas}


def _all_starting(service: ComposeService, containers: Sequence[Container]) -> tuple[str, ...]:
    """Return the ids of a service's containers if all of them are starting, and none is missing."""
    ids = tuple(c.id for c in containers if c.state == "running" and c.health == "starting")
    return ids if len(ids) == len(containers) == service.replicas else ()


def _refuse_hopeless(engine: Engine, stack: str, service: ComposeService, containers: Sequence[Container]) -> None:
    for c in containers:
        if problem := hopeless(service, c):
            raise failure(engine, stack, service.name, c, problem)


def while_health_is(
    health: str,
    engine: Engine,
    services: Sequence[ComposeService],
    events: Watch,
    *,
    stack: str,
    seconds: float,
) -> None:
    """Return when the health of no container of the services is that any more, or when time is over.

    Args:
        health: `starting` or `unhealthy`.
        engine: the engine they run on.
        services: whose containers.
        events: the engine's events of the stack.
        stack: the stack's name.
        seconds: how long to wait.
    """
    until = time.monotonic() + seconds
    names = {service.name for service in services}
    while True:
        seen = events.count
        if not any(c.health == health and c.state == "running" for c in engine.containers(stack, names)):
            return
        if (left := until - time.monotonic()) <= 0:
            return
        events.wait(seen, min(left, LOOK_SECONDS))


def _by_service(containers: Sequence[Container], names: Collection[str]) -> dict[str, list[Container]]:
    found: dict[str, list[Container]] = {name: [] for name in names}
    for c in containers:
        if c.service in found and not c.one_off and not c.is_leftover:
            found[c.service].append(c)
    return found


def _limit(service: ComposeService) -> float:
    return MARGIN_SECONDS + (service.healthcheck.patience if service.healthcheck else SETTLED_SECONDS)


def _settled(service: ComposeService, c: Container, now: float, running_since: dict[str, float]) -> bool:
    if c.state == "exited":
        return service.is_one_shot and c.exit_code == 0
    if c.state != "running":
        return False
    if c.health:
        return c.health == "healthy"
    return now - running_since[f"{c.id}/{c.restarts}"] >= SETTLED_SECONDS


def hopeless(service: ComposeService, c: Container) -> str:
    """Return why waiting for a container is of no use; empty if it may yet be."""
    if c.health == "unhealthy" and c.state == "running":
        return "is unhealthy"
    if c.restarts >= MOST_RESTARTS:
        return f"keeps restarting ({c.restarts} times, exit code {c.exit_code})"
    if c.state == "exited" and service.stays_ended and (c.exit_code or not service.is_one_shot):
        return f"ended with exit code {c.exit_code}"
    if c.state == "dead":
        return "is dead"
    return ""


def failure(engine: Engine, stack: str, service: str, c: Container | None, problem: str) -> OnevmError:
    """Return the explained failure of a service, with its log tail and its last health output."""
    detail = ""
    if c is not None:
        log = engine.logs(c.id, LOG_LINES)
        detail = f"last lines of {c.name}:\n" + ("\n".join(f"  {line}" for line in log.splitlines()) or "  (none)")
        checks = [((e["State"].get("Health") or {}).get("Log") or []) for e in engine.inspect([c.id])]
        if checks and checks[0]:
            last = checks[0][-1]
            output = "\n".join(f"  {line}" for line in last.get("Output", "").strip().splitlines()) or "  (no output)"
            detail += f"\nlast health check (exit {last.get('ExitCode')}):\n{output}"
    return OnevmError(
        f"{stack}.{service} {problem}",
        detail=detail,
        next_step=f"mend it and run `doit deploy:{stack}` again",
    )
