"""The engine and its builders as typed values, through python-on-whales.

For questions that are asked rarely: importing it takes longer than most answers, and it knows no time limits.
"""

from msgspec import Struct

from tasks.adapters import refusals
from tasks.core.errors import OnevmError


class EngineFacts(Struct, frozen=True, kw_only=True):
    """What `docker info` says that matters here; memory in bytes."""

    version: str
    storage_driver: str
    containerd_images: bool
    log_driver: str
    live_restore: bool
    memory: int
    cpus: int


class BuilderFacts(Struct, frozen=True, kw_only=True):
    """A buildx builder: its name, and its driver (`docker`, `docker-container`, `remote`, …)."""

    name: str
    driver: str


def engine_facts(socket: str | None = None) -> EngineFacts:
    """Return facts about an engine.

    Args:
        socket: `unix:///…`; None for the one that the environment names.

    Raises:
        OnevmError: no engine answers.
    """
    from python_on_whales import DockerClient
    from python_on_whales.exceptions import DockerException

    try:
        info = DockerClient(host=socket).system.info()
    except DockerException as error:
        # Its text holds the whole command line; only what the program said is passed on.
        words = error.stderr or ""
        raise refusals.known(words) or OnevmError("`docker info` failed", detail=words) from None
    if not info.server_version:
        raise OnevmError("no Docker engine answers", next_step="start Docker, or run scripts/lab engine")
    status = [tuple(pair) for pair in info.driver_status or ()]
    return EngineFacts(
        version=info.server_version,
        storage_driver=info.driver or "",
        containerd_images=("driver-type", "io.containerd.snapshotter.v1") in status,
        log_driver=info.logging_driver or "",
        live_restore=bool(info.live_restore_enabled),
        memory=info.mem_total or 0,
        cpus=info.n_cpu or 0,
    )


def builder_facts(name: str) -> BuilderFacts:
    """Return facts about a buildx builder.

    Raises:
        OnevmError: there is no such builder.
    """
    from python_on_whales import docker
    from python_on_whales.exceptions import DockerException

    try:
        builder = docker.buildx.inspect(name)
    except DockerException as error:
        words = error.stderr or ""
        raise refusals.known(words) or OnevmError(
            f"there is no buildx builder called {name}",
            detail=words,
            next_step="`docker buildx ls` lists them; mend [builder] name in services.toml",
        ) from None
    return BuilderFacts(name=builder.name or name, driver=builder.driver or "")
