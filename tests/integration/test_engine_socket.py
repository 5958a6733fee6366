"""What goes over the engine's socket: connections are kept, and what is heard by events is not asked for."""

import contextlib
import itertools
import socket
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.adapters import engine_socket
from tasks.adapters.engine import PROJECT_LABEL, SERVICE_LABEL, Engine
from tasks.core.compose import ComposeService, HealthCheck
from tasks.core.errors import OnevmError, ToolError
from tasks.steps import wait
from tests.integration.registries import of, running_front, silent
from tests.integration.shop import docker, lab_registry, until

pytestmark = pytest.mark.engine

_REQUEST = b" HTTP/1.1\r\n"


class Relay:
    """A socket that leads to this machine's engine; counts connections and requests, and can end them.

    Args:
        path: where it is.
        engine: the engine's own socket.
    """

    def __init__(self, path: Path, engine: str) -> None:
        self.address = f"unix://{path}"
        self.connections = self.requests = 0
        self._engine = engine
        self._open: list[socket.socket] = []
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.bind(str(path))
        self._listening.listen(16)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                engine.connect(self._engine)
                self.connections += 1
                self._open += [client, engine]
                for pair in ((client, engine), (engine, client)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.requests += data.count(_REQUEST)
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End all connections."""
        connected, self._open = self._open, []
        for one in connected:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        """End all, and accept no more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        # Else one that comes just now would be nobody's.
        self._accepting.join()
        self._listening.close()
        self.cut()


@pytest.fixture
def relay(lab: str, tmp_path: Path) -> Iterator[Relay]:
    del lab
    here = docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip().removeprefix("unix://")
    found = Relay(tmp_path / "engine.sock", here)
    yield found
    with contextlib.suppress(OSError):
        found.close()


@pytest.fixture
def service() -> Iterator[str]:
    """Create a container of a service as Compose does, that is healthy at once when it runs; gives project and id."""
    project = f"t{uuid.uuid4().hex[:8]}"
    labels = {PROJECT_LABEL: project, SERVICE_LABEL: "web"}
    words = itertools.chain.from_iterable(("--label", f"{name}={value}") for name, value in labels.items())
    image = f"{lab_registry()}/base/busybox:1"
    health = ("--health-cmd", "true", "--health-interval", "1s")
    identity = docker("create", *words, *health, "--name", f"{project}-web-1", image, "sleep", "600").strip()
    yield f"{project} {identity}"
    docker("rm", "--force", identity)


def listening(events: wait.Watch, project: str) -> None:
    """Wait until events are heard: containers of another service come and go until then."""

    def heard() -> bool:
        labels = ("--label", f"{PROJECT_LABEL}={project}", "--label", f"{SERVICE_LABEL}=other")
        docker("rm", docker("create", *labels, f"{lab_registry()}/base/busybox:1").strip())
        return events.count > 0

    until(heard, "events are heard")


def test_one_question_after_the_other_goes_over_one_connection(relay: Relay) -> None:
    engine = Engine(socket=relay.address)
    for _ in range(5):
        assert engine.version()
        assert engine.image("none.invalid/at-all:1") is None
    assert relay.connections == 1
    assert relay.requests == 10


def test_questions_at_once_do_not_wait_for_each_other(relay: Relay) -> None:
    engine = Engine(socket=relay.address)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: engine.version(), range(64)))) == 1
    assert relay.requests == 64
    assert 1 <= relay.connections <= 64
    before = relay.connections
    assert engine.version()
    assert relay.connections == before


def test_a_connection_that_was_ended_meanwhile_is_made_anew(relay: Relay) -> None:
    engine = Engine(socket=relay.address)
    assert engine.version()
    relay.cut()
    assert engine.version()
    assert engine.version()
    assert relay.connections == 2


def test_connections_that_were_begun_ahead_are_used_and_those_that_could_not_be_are_not(relay: Relay) -> None:
    engine_socket.connect_ahead(relay.address, 2, 5.0)
    engine = Engine(socket=relay.address)
    assert engine.version()
    assert relay.connections == 2
    gone = f"{relay.address}.gone"
    engine_socket.connect_ahead(gone, 2, 5.0)
    assert not engine_socket._kept.get(gone)


def test_an_engine_that_has_gone_is_told_of(relay: Relay) -> None:
    engine = Engine(socket=relay.address)
    assert engine.version()
    relay.close()
    with pytest.raises(ToolError, match="no Docker engine answers"):
        engine.version()


def test_what_has_just_been_started_is_not_asked_for(relay: Relay, service: str) -> None:
    project, identity = service.split()
    engine = Engine(socket=relay.address)
    told: list[object] = []
    web = ComposeService(
        name="web",
        image=None,
        build=None,
        depends_on=(),
        healthcheck=HealthCheck(),
        replicas=1,
        active=True,
        definition={},
    )
    with wait.watch(engine, project) as events:
        listening(events, project)
        docker("start", identity)
        until(lambda: events.became_healthy(events.started("web") or ["none"]), "it was heard to become healthy")
        before = relay.requests
        wait.until_healthy(engine, project, [web], events, tell=lambda *said: told.append(said), healthy=told.append)
    assert relay.requests == before
    assert told == [("web", "starting"), "web"]


def test_what_compose_run_started_is_not_the_services(relay: Relay, service: str) -> None:
    project, _ = service.split()
    engine = Engine(socket=relay.address)
    image = f"{lab_registry()}/base/busybox:1"
    labels = (f"{PROJECT_LABEL}={project}", f"{SERVICE_LABEL}=web")
    flags = [part for label in labels for part in ("--label", label)]
    with wait.watch(engine, project) as events:
        listening(events, project)
        docker("run", "--rm", *flags, "--label", "com.docker.compose.oneoff=True", image, "true")
        ours = docker("run", "--detach", *flags, image, "true").strip()
        until(lambda: events.started("web"), "the other one was heard of")
    docker("rm", "--force", ours)
    assert events.started("web") == (ours,)


def test_whoever_leaves_a_watch_leaves_no_stream_behind(relay: Relay) -> None:
    engine = Engine(socket=relay.address)
    assert engine.version()
    with wait.watch(engine, "nothing"):
        # Over the connection that stands.
        until(lambda: relay.requests == 2, "events are asked for")
        assert len(engine_socket._streams) == 1
    assert not engine_socket._streams
    assert relay.connections == 1
    assert engine.version()
    assert relay.connections == 2


def test_a_watch_that_is_left_at_once_ends(relay: Relay) -> None:
    for _ in range(20):
        with wait.watch(Engine(socket=relay.address), "nothing"):
            pass
    assert not engine_socket._streams


def test_a_pull_whose_connection_breaks_has_failed(relay: Relay) -> None:
    with running_front(lab_registry()) as front, ThreadPoolExecutor(1) as pool:
        front.always = of("docker", "*", "/manifests/", silent)
        pulling = pool.submit(Engine(socket=relay.address).pull, f"{front.host}/base/busybox:1", {})
        until(lambda: any("/manifests/" in request.path for request in front.seen), "the pull has begun")
        relay.cut()
        with pytest.raises(OnevmError):
            pulling.result(20)


def test_where_there_is_no_socket_events_are_heard_through_the_program(service: str) -> None:
    project, identity = service.split()
    engine = Engine()
    # As for an engine behind `tcp://`.
    engine._socket = ""
    with wait.watch(engine, project) as events:
        listening(events, project)
        docker("start", identity)
        until(lambda: events.became_healthy(events.started("web") or ["none"]), "it was heard to become healthy")
    assert events.started("web") == (identity,)
