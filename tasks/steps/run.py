"""What one run shares: the engine, the registry's client, the login, the hosts. Made when first needed."""

import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import PurePosixPath

from tasks.adapters import later
from tasks.adapters.engine import Engine
from tasks.adapters.host import Reached
from tasks.adapters.host_compose import Resolved
from tasks.adapters.memory import Memory
from tasks.adapters.registry import RegistryClient
from tasks.adapters.release_folder import ReleaseFolder
from tasks.adapters.transport import Local
from tasks.core import config
from tasks.core.contents import ContentHashes
from tasks.core.errors import ConfigurationError, OnevmError
from tasks.core.manifest import Layer, Platform
from tasks.core.model import Registry, Stack
from tasks.core.reference import Reference
from tasks.core.secret import Secret
from tasks.steps import output, reaching, variables
from tasks.steps.early import Coming
from tasks.steps.inputs import Sources
from tasks.steps.meanwhile import Meanwhile
from tasks.steps.project import Project, project
from tasks.steps.remembered import Remembered
from tasks.steps.room import Place
from tasks.steps.target import Observing

LOCK_SECONDS = 600


class Run:
    """The resources of a run.

    Args:
        of: what the run is about.
    """

    def __init__(self, of: Project) -> None:
        self.project = of
        self.id = secrets.token_hex(4)
        self.screen = output.screen()
        self._closing = ExitStack()
        self._guard = threading.RLock()
        self._sources: dict[str, Sources] = {}
        self.meanwhile = Meanwhile()
        # What was begun early, by stack; see `early`.
        self.resolving: dict[str, Future[Resolved | None]] = {}
        self.observing: dict[str, Observing] = {}
        self.remembered: dict[str, Future[dict[str, Remembered]]] = {}
        self.places: dict[str, Future[Place]] = {}
        self.coming: dict[str, dict[str, Coming]] = {}
        self.naming: dict[str, Future[list[None]]] = {}
        self._views: dict[tuple[str, str], Reached] = {}
        self._login: Mapping[str, str] | None = None
        self._registry: RegistryClient | None = None
        self._plans: Memory | None = None
        self._alone = False

    def close(self) -> None:
        """Give everything back: connections, the private Docker configuration."""
        reaching.close()
        self._closing.close()

    def alone(self, doing: str) -> None:
        """Be the only run that builds, pushes or deploys from this configuration, until the end of the run.

        Raises:
            OnevmError: another run did not end in time.
        """
        from tasks.adapters import lock

        with self._guard:
            if not self._alone:
                holder = {"performer": f"process {os.getpid()}", "since": now(), "doing": doing}
                path = self.project.cache / "lock"
                wait = variables.seconds("lock_wait", LOCK_SECONDS)
                self._closing.enter_context(
                    lock.held(path, holder, wait_seconds=wait, waiting=self.screen.say, what=f"the clone's {path}")
                )
                self._alone = True

    @property
    def login(self) -> Mapping[str, str]:
        """Variables that make `docker` and buildx use the registry's login of services.toml.

        Raises:
            OnevmError: the registry refuses the login.
        """
        from tasks.adapters.login import login

        with self._guard:
            if self._login is None:
                self._login = self._closing.enter_context(login(self._registry_settings()))
            return self._login

    @property
    def registry(self) -> RegistryClient:
        """The client of services.toml's registry."""
        with self._guard:
            if self._registry is None:
                self._registry = self._closing.enter_context(RegistryClient.of(self._registry_settings()))
            return self._registry

    def _registry_settings(self) -> Registry:
        if problems := config.missing_variables(self.project.configuration, os.environ):
            raise ConfigurationError(problems)
        return self.project.configuration.registry

    def digest_of(self, reference: str) -> str | None:
        """Ask an image's own registry for its digest; None if it does not have it.

        Raises:
            OnevmError: the registry cannot be asked.
        """
        with self._registry_of(reference) as (client, image):
            return client.head(image.repository, image.manifest)

    def layers_of(self, reference: str, platform: Platform) -> tuple[Layer, ...]:
        """Ask an image's own registry for its layers on a platform.

        Raises:
            OnevmError: the registry does not have it, or cannot be asked.
        """
        with self._registry_of(reference) as (client, image):
            return client.image_manifest(image.repository, image.manifest, platform).layers

    @contextmanager
    def _registry_of(self, reference: str) -> Iterator[tuple[RegistryClient, Reference]]:
        from tasks.adapters.retry import Patience

        image = Reference.parse(reference)
        if image.registry == self.registry.host:
            yield self.registry, image
            return
        with RegistryClient(image.registry, patience=Patience(attempts=2, total=10)) as client:
            yield client, image

    @cached_property
    def hashes(self) -> ContentHashes:
        """Content hashes of files, remembered between runs."""
        from tasks.adapters.hashcache import HashCache

        return self._closing.enter_context(HashCache(self.project.cache / "hashes.sqlite"))

    @cached_property
    def keys(self) -> Memory:
        """Content keys of services, remembered between runs."""
        return self._closing.enter_context(Memory(self.project.cache / "keys"))

    @property
    def plans(self) -> Memory:
        """Plans that were empty, remembered between runs."""
        with self._guard:
            if self._plans is None:
                self._plans = self._closing.enter_context(Memory(self.project.cache / "plans"))
            return self._plans

    @cached_property
    def engine(self) -> Engine:
        """The engine that builds: this machine's."""
        return Engine()

    @cached_property
    def local(self) -> Local:
        """This machine."""
        return Local()

    def sources(self, stack: Stack) -> Sources:
        """Return a stack's checkout."""
        with self._guard:
            if stack.name not in self._sources:
                built = self.project.compose[stack.name].built()
                definitions = {name: s.build for name, s in built.items() if s.build}
                self._sources[stack.name] = Sources(stack, definitions, self.hashes, self.keys)
            return self._sources[stack.name]

    def host(self, stack: Stack) -> Reached:
        """Return the host a stack runs on, for work under the stack's own lock; it is reached once per run.

        Raises:
            OnevmError: it cannot be reached.
        """
        found = self._reaching(stack).result()
        with self._guard:
            if (stack.name, stack.host) not in self._views:
                self._views[stack.name, stack.host] = found.another()
            return self._views[stack.name, stack.host]

    def reach_early(self, stacks: Iterable[Stack]) -> None:
        """Begin to reach the hosts of stacks that will be needed, while something else is done."""
        for stack in stacks:
            self._reaching(stack)

    def begin(self, stacks: Iterable[Stack]) -> None:
        """Begin to ask the checkouts of stacks what they are at, and to load what the registry is asked with."""
        for stack in stacks:
            self.sources(stack).checkout.begin()
        later.begun(self._load_registry)

    def _load_registry(self) -> None:
        self.registry.load()

    def _reaching(self, stack: Stack) -> Future[Reached]:
        return reaching.reach(self.project.configuration.hosts[stack.host])

    def folder(self, stack: Stack) -> ReleaseFolder:
        """Return a stack's folder on its host."""
        root = self.project.configuration.hosts[stack.host].root
        return ReleaseFolder(self.host(stack).transport, PurePosixPath(root), stack.name)

    def build_secrets(self, names: set[str]) -> dict[str, Secret]:
        """Return the values of variables that build secrets come from; they are hidden from all output.

        Raises:
            OnevmError: one is not set; BuildKit would take that for an empty secret.
        """
        missing = sorted(name for name in names if name not in os.environ)
        if missing:
            raise OnevmError(
                f"a build secret comes from ${', $'.join(missing)}, which is not set",
                next_step="set it in the environment of this command",
            )
        for name in names:
            output.hide(os.environ[name])
        return {name: Secret(os.environ[name]) for name in names}


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def finish() -> None:
    """Give the run's resources back, if there are any."""
    if run.cache_info().currsize:
        run().close()


@cache
def run() -> Run:
    """Return the resources of this run.

    Raises:
        OnevmError: the stacks' Compose projects cannot be read.
    """
    found = project()
    if found.broken:
        raise found.broken
    return Run(found)
