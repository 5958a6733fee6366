"""A Docker engine: what it has, what it is told.

Questions go to its socket (see engine_socket), everything that takes its time through the `docker` program, with a
time limit. Both mean the engine of DOCKER_HOST or the current context, or a given socket.
"""

import contextlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from tasks.adapters import engine_socket, refusals
from tasks.adapters.process import GRACE_SECONDS, CommandFailed, Completed, lines, run
from tasks.core.durations import moment
from tasks.core.errors import OnevmError, ToolError
from tasks.core.images import CONTENT_KEY_LABEL
from tasks.core.networks import network
from tasks.core.observed import Container, Observed, container
from tasks.core.prune import LocalImage
from tasks.core.reference import Reference
from tasks.core.secret import Secret
from tasks.core.versions import OLDEST_ENGINE, Version
from tasks.core.volumes import volume

READ_SECONDS = 30
PULL_SECONDS = 1800
REMOVE_SECONDS = 120
MOST_INSPECTED = 500
MOST_QUESTIONS = 8
_EVENTS = ("create", "connect", "start", "die", "health_status", "destroy")
_FETCHED = ("Pulling fs layer", "Download complete", "Pull complete")
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"


class Engine:
    """One engine.

    Args:
        socket: `unix:///…` of the engine; None for the one that the environment names.
        explain: gets what went wrong on the way to it, and says it better, for example that the way is broken.
        guard: called before anything is changed; raises if that is no longer ours to do.
    """

    def __init__(
        self,
        socket: str | None = None,
        explain: Callable[[OnevmError], OnevmError] = lambda e: e,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self.socket = socket
        self._explain = explain
        self._guard = guard
        where = socket or engine_socket.here()
        self._socket = where if where.startswith("unix://") else ""

    def _docker(
        self,
        *args: str,
        timeout: float = READ_SECONDS,
        check: bool = True,
        env: Mapping[str, str | Secret] | None = None,
    ) -> Completed:
        where = ["-H", self.socket] if self.socket else []
        try:
            return run(["docker", *where, *args], timeout=timeout, env=env, check=check)
        except CommandFailed as failed:
            raise self._explain(explained(failed)) from None

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        try:
            return engine_socket.get(self._socket, path, query, timeout=READ_SECONDS)
        except ToolError as error:
            raise self._explain(error) from None

    def version(self) -> str:
        """Return the engine's version as it says it.

        Raises:
            ToolError: no engine answers, or its socket may not be opened.
        """
        if self._socket:
            return str(self._get("/version")["Version"])
        return self._docker("version", "--format", "{{.Server.Version}}").stdout.strip()

    def info(self) -> Mapping[str, Any]:
        """Return what `docker info` says of the engine."""
        if self._socket:
            return dict(self._get("/info"))
        return dict(json.loads(self._docker("info", "--format", "{{json .}}").stdout))

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
        label = f"{PROJECT_LABEL}={project}"
        if self._socket:
            query = {"all": "true", "filters": {"label": [label]}}
            listed = self._get("/containers/json", query) or ()
            found = [(entry["Id"], (entry.get("Labels") or {}).get(SERVICE_LABEL, "")) for entry in listed]
        else:
            form = f'{{{{.ID}}}}\t{{{{.Label "{SERVICE_LABEL}"}}}}'
            out = self._docker("ps", "-a", "--no-trunc", "--format", form, "--filter", f"label={label}").stdout
            found = [(i, service) for i, _, service in (line.partition("\t") for line in out.splitlines())]
        ids = [i for i, service in found if services is None or service in services]
        return tuple(container(entry) for entry in self.inspect(ids))

    def inspect(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return what `docker inspect` says of containers; those that vanished meanwhile are left out."""
        if self._socket and ids:
            from concurrent.futures import ThreadPoolExecutor

            # Through a connection to a VM each question takes its time, and one does not need the other's answer.
            with ThreadPoolExecutor(MOST_QUESTIONS) as pool:
                found = list(pool.map(lambda i: self._get(f"/containers/{i}/json"), ids))
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

    def present(self, images: Iterable[str]) -> frozenset[str]:
        """Return which of these references the engine has."""
        from concurrent.futures import ThreadPoolExecutor

        asked = set(images)
        # Of many, most are there; one that the list has by another name is asked for by itself.
        listed = frozenset(asked & self.sizes().keys() if len(asked) > MOST_QUESTIONS else ())
        rest = sorted(asked - listed)
        with ThreadPoolExecutor(MOST_QUESTIONS) as pool:
            return listed | {i for i, found in zip(rest, pool.map(self._image, rest), strict=True) if found}

    def _image(self, reference: str) -> Mapping[str, Any] | None:
        if self._socket:
            found: Mapping[str, Any] | None = self._get(f"/images/{quote(reference)}/json")
            return found
        done = self._docker("image", "inspect", reference, check=False)
        if done.returncode and "no such image" not in done.stderr.lower():
            raise explained(CommandFailed(["docker", "image", "inspect"], returncode=1, stderr=done.stderr, limit=0))
        return dict(json.loads(done.stdout)[0]) if done.returncode == 0 else None

    def image(self, reference: str) -> Mapping[str, Any] | None:
        """Return what `docker image inspect` says of an image, None if the engine does not have it."""
        return self._image(reference)

    def layers(self, reference: str) -> list[tuple[int, str]]:
        """Return the layers of an image, the last one first: bytes, and the instruction that made each."""
        if self._socket:
            found = self._get(f"/images/{quote(reference)}/history") or ()
            return [(int(entry["Size"]), str(entry["CreatedBy"])) for entry in found]
        form = "{{.Size}}\t{{.CreatedBy}}"
        done = self._docker("history", "--no-trunc", "--human=false", "--format", form, reference)
        rows = (line.partition("\t") for line in done.stdout.splitlines())
        return [(int(size), by) for size, _, by in rows if size.isdigit()]

    def observe(self, project: str, images: Iterable[str]) -> Observed:
        """Return the snapshot of a project."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(4) as pool:
            present = pool.submit(self.present, images)
            containers = pool.submit(self.containers, project)
            networks = pool.submit(self._made, "network", "")
            volumes = pool.submit(self._made, "volume", project)
            return Observed(
                containers=containers.result(),
                images=present.result(),
                networks=tuple(map(network, networks.result())),
                volumes=tuple(map(volume, volumes.result())),
            )

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

    def keyed_images(self) -> frozenset[str]:
        """Return `<repository>:key-<content key>` of all images that Onevm built and the engine still has."""
        if self._socket:
            query = {"filters": {"label": [CONTENT_KEY_LABEL]}}
            listed = self._get("/images/json", query) or ()
            names = [name for entry in listed for name in entry.get("RepoTags") or ()]
        else:
            where = f"label={CONTENT_KEY_LABEL}"
            form = "{{.Repository}}:{{.Tag}}"
            names = self._docker("image", "ls", "--filter", where, "--format", form).stdout.split()
        return frozenset(name for name in names if name.rpartition(":")[2].startswith("key-"))

    def images(self, names: Callable[[str], bool]) -> tuple[LocalImage, ...]:
        """Return the images that go by a name of which `names` says yes."""
        form = "{{.ID}} {{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
        out = self._docker("image", "ls", "--all", "--no-trunc", "--digests", "--format", form).stdout
        lines_ = [line.split() for line in out.splitlines()]
        wanted = sorted({i for i, tagged, pinned in lines_ if names(tagged) or names(pinned)})
        found: list[LocalImage] = []
        for start in range(0, len(wanted), MOST_INSPECTED):
            some = wanted[start : start + MOST_INSPECTED]
            # One that goes meanwhile is an error, and better asked for again than overlooked.
            found += map(local_image, json.loads(self._docker("image", "inspect", *some).stdout))
        return tuple(found)

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

    def images_bytes(self) -> int | None:
        """Return what all images take together, layers counted once; None if the engine cannot be asked that."""
        said = self._get("/system/df", {"type": "image"}) if self._socket else None
        return int(said["LayersSize"]) if said and said.get("LayersSize") else None

    def root(self) -> str:
        """Return the folder on the engine's machine in which its images are; empty if that is not told."""
        return str(self._get("/info")["DockerRootDir"]) if self._socket else ""

    def digests_of(self, reference: str) -> tuple[str, ...]:
        """Return the `repository@digest` names under which the engine knows an image; empty if it has none."""
        found = self._image(reference)
        return tuple(found.get("RepoDigests") or ()) if found else ()

    def labels(self, reference: str) -> Mapping[str, str]:
        """Return an image's labels; none if the engine does not have it."""
        found = self._image(reference)
        return ((found.get("Config") or {}).get("Labels") or {}) if found else {}

    def digests_in(self, repositories: Collection[str]) -> tuple[str, ...]:
        """Return `repository@digest` of all images that the engine has of some repositories, in full."""
        if self._socket:
            names = [name for entry in self._get("/images/json") or () for name in entry.get("RepoDigests") or ()]
        else:
            names = self._docker("image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}").stdout.split()
        full = (Reference.parse(name) for name in names if "<none>" not in name)
        return tuple(str(name) for name in full if name.name in repositories)

    def tag(self, reference: str, name: str) -> None:
        """Give a local image one more name."""
        self._docker("image", "tag", reference, name)

    def untag(self, names: Sequence[str]) -> None:
        """Take names away from local images, as far as they are there and not in use."""
        if names:
            self._guard()
            self._docker("image", "rm", "--no-prune", *names, check=False, timeout=REMOVE_SECONDS)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of every image, as `docker image ls` says, by each of its names."""
        if not self._socket:
            return {}
        found = {}
        for entry in self._get("/images/json") or ():
            for name in (*(entry.get("RepoTags") or ()), *(entry.get("RepoDigests") or ())):
                found[name] = int(entry.get("Size") or 0)
        return found

    def unpacked_layers(self, reference: str) -> tuple[str, ...]:
        """Return the digests of an image's layers as they are when unpacked, the lowest first; none if it has none."""
        found = self._image(reference) or {}
        return tuple((found.get("RootFS") or {}).get("Layers") or ())

    def pull(self, reference: str, env: Mapping[str, str | Secret]) -> frozenset[str]:
        """Pull an image.

        Args:
            reference: what to pull.
            env: variables for the login: the credential goes along with the request, the engine keeps none.

        Returns:
            The layers that were fetched: the first digits of their digests, as the engine says them.

        Raises:
            OnevmError: it cannot be pulled; the engine's words are the detail.
        """
        said = self._docker("pull", reference, timeout=PULL_SECONDS, env=env).stdout
        return frozenset(
            layer for layer, _, what in (line.partition(": ") for line in said.splitlines()) if what in _FETCHED
        )

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
    def watching(self, project: str, notice: Callable[[str, str], None]) -> Iterator[None]:
        """Call `notice` with event and service when a container of the project starts, dies or changes its health.

        So too when a container that was created meanwhile is connected to a network.
        """
        where = ["-H", self.socket] if self.socket else []
        attributes = (
            f'{{{{index .Actor.Attributes "{name}"}}}}' for name in (PROJECT_LABEL, SERVICE_LABEL, "container")
        )
        form = "\t".join(["{{.Action}}", "{{.Actor.ID}}", *attributes])
        args = ["docker", *where, "events", "--format", form]
        # Not by label: a network's events have none.
        args += [part for event in _EVENTS for part in ("--filter", f"event={event}")]
        with lines(args, timeout=PULL_SECONDS) as (stream, child):

            def read() -> None:
                created: dict[str, str] = {}
                for line in stream:
                    action, identity, of, service, connected = (*line.split("\t"), "", "", "", "")[:5]
                    if action == "create" and of == project:
                        created[identity] = service
                    if of == project or connected in created:
                        notice(action, created.get(connected, service))

            reading = threading.Thread(target=read, daemon=True)
            reading.start()
            try:
                yield
            finally:
                # A pipe must not be closed while somebody reads it.
                child.terminate()
                reading.join(GRACE_SECONDS)


def local_image(inspected: Mapping[str, Any]) -> LocalImage:
    """Return the image that one entry of `docker image inspect` describes."""
    named = (inspected.get("Metadata") or {}).get("LastTagTime") or ""
    return LocalImage(
        id=inspected["Id"],
        names=(*(inspected.get("RepoTags") or ()), *(inspected.get("RepoDigests") or ())),
        bytes=int(inspected.get("Size") or 0),
        touched=max(moment(inspected.get("Created") or "") or 0, moment(named) or 0),
    )


def explained(failed: CommandFailed) -> OnevmError:
    """Return a failure of the `docker` program as an error with its likely cause and the next step."""
    return refusals.known(failed.stderr) or failed


def check_version(text: str, where: str) -> None:
    """Refuse an engine that is too old.

    Args:
        text: its version.
        where: the host's name, for the message.

    Raises:
        ToolError: it is older than Onevm works with.
    """
    version = Version.parse(text)
    if version < OLDEST_ENGINE:
        raise ToolError(
            f"the Docker engine of host {where} is {text}; Onevm needs {OLDEST_ENGINE} or newer",
            next_step="upgrade Docker there",
        )
