"""A Docker engine: what it has, what it is told."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import Struct

from tasks.adapters import shares
from tasks.adapters.engine_access import (
    MOST_INSPECTED,
    MOST_QUESTIONS,
    PULL_SECONDS,
    REMOVE_SECONDS,
    check_version,
)
from tasks.adapters.engine_images import Images
from tasks.adapters.process import GRACE_SECONDS, lines
from tasks.core.errors import OnevmError
from tasks.core.networks import network
from tasks.core.observed import ONE_OFF_LABEL, Container, Observed, container
from tasks.core.volumes import volume

_EVENTS = ("create", "connect", "start", "die", "health_status", "destroy")
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"


class _Listed(NamedTuple):
    id: str
    service: str
    image: str


class Listing(Struct, frozen=True, kw_only=True):
    """What an engine lists of a project, without a question about each container.

    Attributes:
        containers: its containers.
        images: which of the images asked for are there.
        networks: all networks.
        volumes: the project's volumes.
        stamp: a text that is another whenever containers, images or volumes may lead to another plan; empty if that
            cannot be told from a list.
    """

    containers: tuple[_Listed, ...]
    images: frozenset[str]
    networks: list[dict[str, Any]]
    volumes: list[dict[str, Any]]
    stamp: str = ""


# `Up 2 hours (healthy)`, `Exited (1) 3 minutes ago`: what is between has nothing to do with the time.
_CONDITION = re.compile(r"\((.*?)\)")


def _as_it_is(entry: Mapping[str, Any]) -> list[Any]:
    """Return what may become another of a container in the engine's list; the rest is as it was made."""
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    connected = sorted((name, one.get("NetworkID"), one.get("EndpointID")) for name, one in networks.items())
    conditions = _CONDITION.findall(str(entry.get("Status")))
    return [entry["Id"], sorted(entry["Names"] or ()), entry["Image"], entry["State"], conditions, connected]


def _stamp(states: list[list[Any]], images: Iterable[str], volumes: list[dict[str, Any]]) -> str:
    made = sorted(json.dumps(one, sort_keys=True) for one in volumes)
    return hashlib.sha256(json.dumps([states, sorted(images), made]).encode()).hexdigest()


class Engine(Images):
    """One engine: its containers, and what `Images` and `Access` say."""

    def running(self) -> list[dict[str, Any]]:
        """Return what `docker inspect` says of all running containers, whosever they are."""
        if self._socket:
            return self.inspect([entry["Id"] for entry in self._get("/containers/json") or ()])
        return self.inspect(self._docker("ps", "-q", "--no-trunc").stdout.split())

    def containers(self, project: str, services: Collection[str] | None = None) -> tuple[Container, ...]:
        """Return the containers of a Compose project, stopped ones included.

        Args:
            project: the project.
            services: those of which containers are wanted; None for all.
        """
        found, _ = self._listed(project)
        ids = [listed.id for listed in found if services is None or listed.service in services]
        return tuple(container(entry) for entry in self.inspect(ids))

    def _listed(self, project: str) -> tuple[list[_Listed], list[list[Any]] | None]:
        """Return a project's containers, and of each what may become another; None if the list does not say that."""
        label = f"{PROJECT_LABEL}={project}"
        if self._socket:
            query = {"all": "true", "filters": {"label": [label]}}
            said = self._get("/containers/json", query) or ()
            found = [_Listed(e["Id"], (e.get("Labels") or {}).get(SERVICE_LABEL, ""), e["Image"]) for e in said]
            return found, sorted(map(_as_it_is, said))
        form = f'{{{{.ID}}}}\t{{{{.Label "{SERVICE_LABEL}"}}}}\t{{{{.Image}}}}'
        out = self._docker("ps", "-a", "--no-trunc", "--format", form, "--filter", f"label={label}").stdout
        return [_Listed(*line.split("\t")) for line in out.splitlines()], None

    def inspect(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return what `docker inspect` says of containers; those that vanished meanwhile are left out."""
        if self._socket and ids:
            # Through a connection to a VM each question takes its time, and one does not need the other's answer.
            found = shares.ask(lambda i: self._get(f"/containers/{i}/json"), ids, threads=MOST_QUESTIONS)
            return [entry for entry in found if entry is not None]
        if not ids:
            return []
        done = self._docker("container", "inspect", *ids, check=False)
        return list(json.loads(done.stdout)) if done.stdout.strip() else []

    def memory_bytes(self, identity: str) -> int:
        """Return the memory a running container takes, without the page cache it could give back."""
        if self._socket:
            said = self._get(f"/containers/{identity}/stats", {"stream": "false", "one-shot": "true"}) or {}
            memory = said.get("memory_stats") or {}
            return max(int(memory.get("usage") or 0) - int((memory.get("stats") or {}).get("inactive_file") or 0), 0)
        return 0

    def listing(self, project: str, images: Iterable[str]) -> Listing:
        """Return what the engine lists of a project.

        Args:
            project: the project.
            images: those of which is asked whether they are there.
        """
        return self._look(project, frozenset(images), inspect=False)[0]

    def observe(self, project: str, images: Iterable[str]) -> Observed:
        """Return the snapshot of a project."""
        listing, inspected = self._look(project, frozenset(images), inspect=True)
        return Observed(
            containers=tuple(map(container, inspected)),
            images=listing.images,
            networks=tuple(map(network, listing.networks)),
            volumes=tuple(map(volume, listing.volumes)),
            stamp=listing.stamp,
        )

    def _look(self, project: str, asked: frozenset[str], *, inspect: bool) -> tuple[Listing, list[dict[str, Any]]]:
        from concurrent.futures import ThreadPoolExecutor

        if not self._socket:
            check_version(self.version(), "local")
        with ThreadPoolExecutor(4) as pool:
            asking = pool.submit(self._made, "network", ""), pool.submit(self._made, "volume", project)
            found, states = self._listed(project)
            # The list names an image only as long as that name still leads to what the container runs.
            named = asked & {one.image for one in found}
            present = pool.submit(self.present, asked - named)
            inspected = self.inspect([one.id for one in found]) if inspect else []
            there = named | present.result()
            networks, volumes = (made.result() for made in asking)
        listing = Listing(
            containers=tuple(found),
            images=there,
            networks=networks,
            volumes=volumes,
            stamp="" if states is None else _stamp(states, there, volumes),
        )
        return listing, inspected

    def _made(self, kind: str, project: str) -> list[dict[str, Any]]:
        """Return what `docker network inspect` or `docker volume inspect` says of those of a project, or of all."""
        label = f"{PROJECT_LABEL}={project}"
        if self._socket:
            said = self._get(f"/{kind}s", {"filters": {"label": [label]}} if project else None)
            return list((said["Volumes"] if kind == "volume" else said) or ())
        names = self._docker(kind, "ls", "-q", *(["--filter", f"label={label}"] if project else [])).stdout.split()
        done = self._docker(kind, "inspect", *names, check=False) if names else None
        return list(json.loads(done.stdout)) if done and done.stdout.strip() else []

    def inside(self, network_name: str) -> dict[str, str]:
        """Return the names of the running containers in a network, by their ids."""
        found = self._docker("network", "inspect", network_name, check=False).stdout.strip()
        said = json.loads(found) if found else []
        return {i: entry["Name"] for one in said for i, entry in (one.get("Containers") or {}).items()}

    def used(self) -> dict[str, tuple[str, str]]:
        """Return, by container, the id of its image and the name by which that was asked for; all of them."""
        ids = self._docker("ps", "--all", "--quiet", "--no-trunc").stdout.split()
        found: dict[str, tuple[str, str]] = {}
        for start in range(0, len(ids), MOST_INSPECTED):
            form = "{{.Name}} {{.Image}} {{.Config.Image}}"
            some = ids[start : start + MOST_INSPECTED]
            done = self._docker("container", "inspect", "--format", form, *some, check=False)
            others = [line for line in done.stderr.splitlines() if line and "no such container" not in line.lower()]
            if done.returncode and others:
                raise self._explain(OnevmError("the engine does not say what its containers run", detail=done.stderr))
            for line in done.stdout.splitlines():
                name, image, asked = line.split(" ", 2)
                found[name.lstrip("/")] = (image, asked)
        return found

    def remove(self, containers: Sequence[str], grace_seconds: int | None = None) -> None:
        """Stop containers within their grace period and remove them (their anonymous volumes stay)."""
        if containers:
            self._guard()
            grace = [] if grace_seconds is None else ["--time", str(grace_seconds)]
            self._docker("stop", *grace, *containers, timeout=REMOVE_SECONDS, check=False)
            self._docker("rm", "--force", *containers, timeout=REMOVE_SECONDS)

    def logs(self, identity: str, lines_: int) -> str:
        """Return the last lines a container wrote, both streams."""
        done = self._docker("logs", "--tail", str(lines_), identity, check=False)
        return (done.stdout + done.stderr).strip()

    @contextlib.contextmanager
    def watching(self, project: str, notice: Callable[[str, str, str], None]) -> Iterator[None]:
        """Call `notice` with event, service and id when a container of the project starts, dies or changes its health.

        So too when a container that was created meanwhile is connected to a network. What `docker compose run` makes
        is none of the service's.
        """
        created: dict[str, str] = {}

        def take(action: str, identity: str, attributes: Mapping[str, str]) -> None:
            of, service = attributes.get(PROJECT_LABEL, ""), attributes.get(SERVICE_LABEL, "")
            connected = attributes.get("container", "")
            if attributes.get(ONE_OFF_LABEL) == "True":
                return
            if action == "create" and of == project:
                created[identity] = service
            if of == project or connected in created:
                notice(action, created.get(connected, service), connected or identity)

        with self._events() as (told, end):

            def read() -> None:
                # Whoever waits for health asks for what he hears nothing of, and hears of an engine that is gone.
                with contextlib.suppress(OnevmError, ValueError):
                    for line in told:
                        event = json.loads(line)
                        actor = event.get("Actor") or {}
                        take(str(event.get("Action")), str(actor.get("ID")), actor.get("Attributes") or {})

            reading = threading.Thread(target=read, daemon=True)
            reading.start()
            try:
                yield
            finally:
                # A pipe must not be closed while somebody reads it.
                end()
                reading.join(GRACE_SECONDS)

    @contextlib.contextmanager
    def _events(self) -> Iterator[tuple[Iterator[bytes] | Iterator[str], Callable[[], None]]]:
        """Give the engine's events as lines of JSON, and what ends them."""
        # Not by label: a network's events have none.
        if self._socket:
            stream = self._follow("GET", "/events", {"filters": {"event": list(_EVENTS)}})
            yield stream.lines(), stream.end
        else:
            args = ["docker", "events", "--format", "{{json .}}"]
            args += [part for event in _EVENTS for part in ("--filter", f"event={event}")]
            with lines(args, timeout=PULL_SECONDS) as (told, child):
                yield told, child.terminate
