"""Carries out a plan on a host. No decision is made here: the plan says what, the Compose files say in which order."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import PurePosixPath

from msgspec import Struct, field

from tasks.adapters import host_compose
from tasks.adapters.engine import Engine
from tasks.adapters.release_folder import ReleaseFolder
from tasks.core import networks
from tasks.core.compose import ComposeProject, ComposeService, start_levels
from tasks.core.durations import seconds
from tasks.core.errors import OnevmError
from tasks.core.plan import Plan
from tasks.core.rollout import alias, followers
from tasks.steps import start_first, wait
from tasks.steps.early import Coming
from tasks.steps.output import Screen
from tasks.steps.start_first import Ground, Shift
from tasks.steps.timings import Timings

UP_MARGIN_SECONDS = 120.0
PARALLEL_PULLS = 4
PARALLEL_STARTS = 8
# What has just been started gets so long to answer before it is replaced again.
CHANCE_SECONDS = 10.0


class Executor(Struct, frozen=True, kw_only=True):
    """What carrying out a plan needs.

    Attributes:
        engine: the host's engine.
        folder: the stack's folder on the host.
        project: the Compose project of the release.
        compose: its Compose files, in order.
        screen: where progress goes.
        timings: where durations go.
        waits: told when containers are waited for.
        login: gives the variables of the registry's login.
        pulled: told of each image that was pulled, and the layers that were fetched for it.
        coming: images that are on their way already.
        hashes: the config hash of each service.
        switched: the services whose name a proxy reads from a file.
        drains: by service, seconds for its old copies to finish what they have.
        doubled: services of which there are more or fewer containers than replicas, and how many.
        starting: services of which a container has started and is not healthy yet.
    """

    engine: Engine
    folder: ReleaseFolder
    project: ComposeProject
    compose: Sequence[str]
    hashes: Mapping[str, str]
    switched: frozenset[str]
    drains: Mapping[str, float]
    doubled: Mapping[str, int]
    starting: frozenset[str]
    screen: Screen
    timings: Timings
    login: Callable[[], Mapping[str, str]]
    waits: Callable[[], None] = lambda: None
    pulled: Callable[[str, frozenset[str]], None] = lambda *_: None
    coming: Mapping[str, Coming] = field(default_factory=dict)

    def pull(self, plan: Plan, images: Mapping[str, str]) -> None:
        """Pull what the host lacks, before anything stops.

        Raises:
            OnevmError: an image cannot be pulled; nothing was changed.
        """
        if any(self.project.lean_on([name]) for name in plan.services("recreate", "start")):
            host_compose.ask_version(self.folder.transport)
        if not plan.of("pull"):
            return
        env = self.login()

        def one(service: str) -> None:
            key = f"{plan.stack}.{service}"
            self.screen.begin(key, "pulling")
            try:
                begun = self.coming.get(images[service])
                if begun and (came := begun.get()):
                    self.timings.add("pull", came.seconds, service)
                    self.pulled(images[service], came.layers)
                else:
                    with self.timings.phase("pull", service):
                        self.pulled(images[service], self.engine.pull(images[service], env))
            except OnevmError as error:
                raise OnevmError(
                    f"{key}: its image {images[service]} cannot be pulled",
                    detail=f"{error.what}\n{error.detail}",
                    next_step=error.next_step or "see whether its registry has it, and mend `image:` if it is external",
                ) from None
            self.screen.end(key, "pulled")

        with self.timings.phase("pull"), ThreadPoolExecutor(PARALLEL_PULLS) as pool:
            list(pool.map(one, sorted(plan.services("pull"))))

    def asked_first(self, plan: Plan) -> dict[str, str]:
        """Return the names that proxies are to ask before anything is created or replaced in place, by service.

        Their own name is good before and after: whatever happens in between, whoever runs is asked.
        """
        names = plan.services("create") | plan.services("recreate", "start")
        return {name: name for name in names - _beside(plan) if name in self.switched}

    def sweep(self, plan: Plan) -> None:
        """Remove what a killed deploy left behind."""
        self.engine.remove([op.service for op in plan.of("sweep")], grace_seconds=0)

    def switch(self, plan: Plan, release: PurePosixPath, awaited: frozenset[str]) -> None:
        """Create, start and replace containers in dependency order, and wait until they are healthy.

        Args:
            plan: the operations.
            release: the folder on the host with the Compose files, those of a staged release.
            awaited: more services to wait for.

        Raises:
            OnevmError: a service failed; what was not begun is left alone.
        """
        services = self.project.active()
        with wait.watch(self.engine, plan.stack) as events:
            self._let_start(plan, events)
            created = plan.services("create")
            changed = plan.services("recreate", "start") - self._renew(plan, release, events)
            beside = _beside(plan)
            if created:
                self._create(plan.stack, release, sorted(created), events)
            for level in start_levels(services, changed):
                self._replace(plan, release, level, events, beside)
            rest = [services[name] for name in sorted(awaited - created - changed) if name in services]
            self._let_recover(plan.stack, rest, events)
            self._healthy(plan.stack, rest, events)

    def _let_start(self, plan: Plan, events: wait.Watch) -> None:
        """Let what a run before this one has just started answer first, so that two gaps do not become one."""
        named = self.starting & (plan.services("recreate") - _beside(plan))
        services = [self.project.services[name] for name in sorted(named)]
        if services:
            self.screen.say(f"{plan.stack}: {', '.join(sorted(named))} has just been started: it may answer first")
            with self.timings.phase("start"):
                wait.while_health_is(
                    "starting", self.engine, services, events, stack=plan.stack, seconds=CHANCE_SECONDS
                )

    def _let_recover(self, stack: str, services: Sequence[ComposeService], events: wait.Watch) -> None:
        """Let what is unhealthy answer its health check once more: what was in its way may be over."""
        checks = [s.healthcheck for s in services if s.healthcheck]
        if checks:
            with self.timings.phase("healthy"):
                longest = max(check.interval + check.timeout for check in checks)
                wait.while_health_is("unhealthy", self.engine, services, events, stack=stack, seconds=longest)

    def remove(self, plan: Plan) -> None:
        """Remove the containers of services that are no longer in the Compose files."""
        for op in plan.of("remove"):
            self.screen.say(f"{plan.stack}: removing {op.service}: {op.cause}")
        self.engine.remove([op.service for op in plan.of("remove")])

    def _renew(self, plan: Plan, release: PurePosixPath, events: wait.Watch) -> frozenset[str]:
        """Make networks anew, and replace in one `up` all that is in them; returns the services that were."""
        names = [op.service for op in plan.of("renew")]
        if not names:
            return frozenset()
        services = self.project.active()
        own = networks.own(self.project.definition, services.values())
        inside = networks.inside(own, services.values(), names) & plan.services("recreate")
        inside |= {other for name in inside for other in followers(name, services)}
        for name in sorted(inside):
            self.screen.begin(f"{plan.stack}.{name}", "replacing")
        # Their containers know the network by its id: nothing but another container comes into the new one.
        flags = ["--force-recreate", *self._alone(inside)]
        with self.timings.phase("start"):
            host_compose.up(
                self.folder,
                release,
                self.compose,
                sorted(inside),
                flags=flags,
                renewed=names,
                timeout=self._limit(sorted(inside))
                + sum(s.healthcheck.patience for n in inside if (s := services[n]).healthcheck),
            )
        self._healthy(plan.stack, [services[name] for name in sorted(inside)], events)
        self._point_to_own(sorted(inside))
        return inside

    def _create(self, stack: str, release: PurePosixPath, names: list[str], events: wait.Watch) -> None:
        # Nothing stops here, so one `up` may start them all: Compose keeps the order and makes networks and volumes.
        for name in names:
            self.screen.begin(f"{stack}.{name}", "starting")
        services = [self.project.services[name] for name in names]
        began = time.monotonic()
        with self.timings.phase("start"):
            limit = UP_MARGIN_SECONDS + sum(s.healthcheck.patience for s in services if s.healthcheck)
            try:
                host_compose.up(self.folder, release, self.compose, names, timeout=limit)
            except Exception:
                # Compose names only containers; a service that failed says more by its log.
                self._healthy(stack, self._present(stack, services), events)
                raise
        for name in names:
            self.timings.add("start", time.monotonic() - began, name)
        self._healthy(stack, services, events)
        self._point_to_own(names)

    def _point(self, names: Mapping[str, str]) -> None:
        self.folder.point({service: name for service, name in names.items() if service in self.switched})

    def _point_to_own(self, names: Sequence[str]) -> None:
        self._point({name: alias(name, self.hashes[name]) for name in names if name in self.hashes})

    def _asked_once_known(self, name: str, events: wait.Watch) -> AbstractContextManager[None]:
        """Let proxies ask a replaced container by its own name at once: under the service's they know the old address.

        Nobody is at the old one any more, so a request would wait until it is given up; the new one refuses at once
        until it listens. Of several replicas some still run, and are asked by the service's name.
        """
        if name not in self.switched or self.project.services[name].replicas != 1:
            return nullcontext()

        def point() -> None:
            # It is said again when all are healthy.
            with suppress(OnevmError):
                self._point_to_own([name])

        networks = self.project.services[name].definition.get("networks") or ()
        return events.once_known(name, len(networks), point)

    def _present(self, stack: str, services: list[ComposeService]) -> list[ComposeService]:
        there = {c.service for c in self.engine.containers(stack) if c.state != "created"}
        return [s for s in services if s.name in there]

    def _replace(
        self, plan: Plan, release: PurePosixPath, level: list[str], events: wait.Watch, beside: frozenset[str]
    ) -> None:
        # One `up` per service: one call for several stops all before it starts any.
        ground = Ground(
            engine=self.engine,
            folder=self.folder,
            release=release,
            compose=tuple(self.compose),
            events=events,
            screen=self.screen,
            timings=self.timings,
            waits=self.waits,
        )

        services, replaced = self.project.active(), plan.services("recreate")
        along = {other for name in replaced for other in followers(name, services)}

        def one(name: str) -> None:
            if name in along:
                return
            if name in beside:
                start_first.change_over(ground, self._shift(name))
                return
            key = f"{plan.stack}.{name}"
            self.screen.begin(key, "replacing")
            # They would be left in a dead namespace.
            together = [name, *followers(name, services)]
            # Compose that looks at dependencies would bring them to their replicas, and choose itself which ones go.
            others = self.doubled.keys() - plan.services("recreate", "start") - set(together)
            flags = self._alone(together)
            heeded = others if self.project.lean_on(together) and not flags else ()
            left = [f"--scale={other}={self.doubled[other]}" for other in sorted(heeded)]
            with self.timings.phase("start", name), self._asked_once_known(name, events):
                host_compose.up(
                    self.folder, release, self.compose, together, flags=[*flags, *left], timeout=self._limit(together)
                )

        began = time.monotonic()
        try:
            with ThreadPoolExecutor(PARALLEL_STARTS) as pool:
                list(pool.map(one, level))
        finally:
            self.timings.replacing(time.monotonic() - began, level, start_first.PARTS)
        in_place = [name for name in level if name not in beside]
        self._healthy(plan.stack, [self.project.services[name] for name in in_place], events)
        self._point_to_own(in_place)

    def _alone(self, names: Collection[str]) -> list[str]:
        """Return the flags that keep an `up` to the services it names, as far as this Compose has any to be trusted."""
        if not self.project.lean_on(names):
            return []
        modern = host_compose.version(self.folder.transport) >= host_compose.NO_DEPS_IS_SAFE
        return ["--no-deps"] if modern else []

    def _shift(self, name: str) -> Shift:
        return Shift(
            service=self.project.services[name],
            config_hash=self.hashes[name],
            switched=name in self.switched,
            drain_seconds=self.drains.get(name, 0.0),
            flags=tuple(self._alone([name])),
        )

    def _limit(self, names: Sequence[str]) -> float:
        grace = (seconds(self.project.services[n].definition.get("stop_grace_period")) or 10.0 for n in names)
        return UP_MARGIN_SECONDS + sum(grace)

    def _healthy(self, stack: str, services: list[ComposeService], events: wait.Watch) -> None:
        if not services:
            return
        shown: set[str] = set()

        def tell(name: str, condition: str) -> None:
            if name not in shown:
                shown.add(name)
                self.screen.begin(f"{stack}.{name}", "waiting for health")
            self.screen.note(f"{stack}.{name}", condition)

        began = time.monotonic()

        def healthy(name: str) -> None:
            self.timings.add("healthy", time.monotonic() - began, name)
            self.screen.end(f"{stack}.{name}", "healthy")

        self.waits()
        # The next level, or the record.
        self.folder.transport.expect(1)
        with self.timings.phase("healthy"):
            wait.until_healthy(self.engine, stack, services, events, tell=tell, healthy=healthy)


def _beside(plan: Plan) -> frozenset[str]:
    return frozenset(op.service for op in plan.of("recreate") if op.rollout == "start-first")
