"""Carries out a plan on a host. No decision is made here: the plan says what, the Compose files say in which order."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.adapters import host_compose
from tasks.adapters.engine import Engine
from tasks.adapters.release_folder import ReleaseFolder
from tasks.core.compose import ComposeProject, ComposeService, start_levels
from tasks.core.durations import seconds
from tasks.core.errors import OnevmError
from tasks.core.plan import Plan
from tasks.steps import wait
from tasks.steps.output import Screen
from tasks.steps.timings import Timings

UP_MARGIN_SECONDS = 120.0
PARALLEL_PULLS = 4
PARALLEL_STARTS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Executor:
    """What carrying out a plan needs.

    Attributes:
        engine: the host's engine.
        folder: the stack's folder on the host.
        project: the Compose project of the release.
        compose: its Compose files, in order.
        screen: where progress goes.
        timings: where durations go.
        login: gives the variables of the registry's login.
    """

    engine: Engine
    folder: ReleaseFolder
    project: ComposeProject
    compose: Sequence[str]
    screen: Screen
    timings: Timings
    login: Callable[[], Mapping[str, str]]

    def pull(self, plan: Plan, images: Mapping[str, str]) -> None:
        """Pull what the host lacks, before anything stops.

        Raises:
            OnevmError: an image cannot be pulled; nothing was changed.
        """
        if not plan.of("pull"):
            return
        env = self.login()

        def one(service: str) -> None:
            key = f"{plan.stack}.{service}"
            self.screen.begin(key, "pulling")
            try:
                self.engine.pull(images[service], env)
            except OnevmError as error:
                raise OnevmError(
                    f"{key}: its image {images[service]} cannot be pulled",
                    detail=f"{error.what}\n{error.detail}",
                    next_step=error.next_step or "see whether its registry has it, and mend `image:` if it is external",
                ) from None
            self.screen.end(key, "pulled")

        with self.timings.phase("pull"), ThreadPoolExecutor(PARALLEL_PULLS) as pool:
            list(pool.map(one, sorted(plan.services("pull"))))

    def sweep(self, plan: Plan) -> None:
        """Remove what a killed deploy left behind."""
        self.engine.remove([op.service for op in plan.of("sweep")], grace_seconds=0)

    def switch(self, plan: Plan, release: PurePosixPath, starting: frozenset[str]) -> None:
        """Create, start and replace containers in dependency order, and wait until they are healthy.

        Args:
            plan: the operations.
            release: the folder of the staged release.
            starting: more services to wait for.

        Raises:
            OnevmError: a service failed; what was not begun is left alone.
        """
        services = self.project.active()
        with wait.watch(self.engine, plan.stack) as events:
            created = plan.services("create")
            if created:
                self._create(plan.stack, release, sorted(created), events)
            changed = plan.services("recreate", "start")
            for level in start_levels(services, changed):
                self._replace(plan, release, level, events)
            rest = starting - created - changed
            self._healthy(plan.stack, [services[name] for name in sorted(rest) if name in services], events)

    def remove(self, plan: Plan) -> None:
        """Remove the containers of services that are no longer in the Compose files."""
        for op in plan.of("remove"):
            self.screen.say(f"{plan.stack}: removing {op.service}: {op.cause}")
        self.engine.remove([op.service for op in plan.of("remove")])

    def _create(self, stack: str, release: PurePosixPath, names: list[str], events: wait.Watch) -> None:
        # Nothing stops here, so one `up` may start them all: Compose keeps the order and makes networks and volumes.
        for name in names:
            self.screen.begin(f"{stack}.{name}", "starting")
        services = [self.project.services[name] for name in names]
        with self.timings.phase("start"):
            limit = UP_MARGIN_SECONDS + sum(s.healthcheck.patience for s in services if s.healthcheck)
            try:
                host_compose.up(self.folder, release, self.compose, names, timeout=limit)
            except Exception:
                # Compose names only containers; a service that failed says more by its log.
                self._healthy(stack, self._present(stack, services), events)
                raise
        self._healthy(stack, services, events)

    def _present(self, stack: str, services: list[ComposeService]) -> list[ComposeService]:
        there = {c.service for c in self.engine.containers(stack) if c.state != "created"}
        return [s for s in services if s.name in there]

    def _replace(self, plan: Plan, release: PurePosixPath, level: list[str], events: wait.Watch) -> None:
        # One `up` per service: one call for several stops all before it starts any.
        modern = host_compose.version(self.folder.transport) >= host_compose.NO_DEPS_IS_SAFE
        flags = ["--no-deps"] if modern else []

        def one(name: str) -> None:
            key = f"{plan.stack}.{name}"
            self.screen.begin(key, "replacing")
            together = [name, *self._followers(name)]
            host_compose.up(self.folder, release, self.compose, together, flags=flags, timeout=self._limit(together))

        with self.timings.phase("start"), ThreadPoolExecutor(PARALLEL_STARTS) as pool:
            list(pool.map(one, level))
        self._healthy(plan.stack, [self.project.services[name] for name in level], events)

    def _limit(self, names: Sequence[str]) -> float:
        grace = (seconds(self.project.services[n].definition.get("stop_grace_period")) or 10.0 for n in names)
        return UP_MARGIN_SECONDS + sum(grace)

    def _followers(self, name: str) -> list[str]:
        # They live in the namespace of its container and would be left in a dead one.
        marks = {f"service:{name}"}
        return [
            other.name
            for other in self.project.active().values()
            if {other.definition.get(k) for k in ("network_mode", "ipc", "pid")} & marks
            or any(v.partition(":")[0] == name for v in other.definition.get("volumes_from") or ())
        ]

    def _healthy(self, stack: str, services: list[ComposeService], events: wait.Watch) -> None:
        if not services:
            return
        shown: set[str] = set()

        def tell(name: str, condition: str) -> None:
            if name not in shown:
                shown.add(name)
                self.screen.begin(f"{stack}.{name}", "waiting for health")
            self.screen.note(f"{stack}.{name}", condition)

        def healthy(name: str) -> None:
            self.screen.end(f"{stack}.{name}", "healthy")

        with self.timings.phase("healthy"):
            wait.until_healthy(self.engine, stack, services, events, tell=tell, healthy=healthy)
