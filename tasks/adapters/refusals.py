"""What Docker's programs say when they cannot do their work, with the likely cause and the next step."""

from tasks.core.errors import OnevmError, ToolError


def known(text: str) -> OnevmError | None:
    """Return the explained error that a program's words mean; None if they are nothing known.

    Args:
        text: what it wrote to standard error.
    """
    low = text.lower()
    for marks, what, next_step in _KNOWN:
        if all(mark in low for mark in marks):
            kind = ToolError if "engine" in what or "socket" in what else OnevmError
            return kind(what, detail=_tail(text), next_step=next_step)
    return None


def _tail(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-6:])


_KNOWN: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("permission denied", "docker", "sock"),
        "this user may not use the Docker socket",
        "add the user to the group `docker` (then log in again), or use a rootless engine",
    ),
    (
        ("cannot connect to the docker daemon",),
        "no Docker engine answers",
        "start Docker, or run scripts/lab engine; DOCKER_HOST and `docker context` say where it should be",
    ),
    (
        ("is the docker daemon running",),
        "no Docker engine answers",
        "start Docker, or run scripts/lab engine; DOCKER_HOST and `docker context` say where it should be",
    ),
    (
        ("failed to connect to the docker api",),
        "no Docker engine answers",
        "start Docker, or run scripts/lab engine; DOCKER_HOST and `docker context` say where it should be",
    ),
    (
        ("no space left on device",),
        "the disk is full",
        "free space (`df -h`, and `docker system df` for the engine's part), then run the same command again",
    ),
    (
        ("server gave http response to https client",),
        "the engine speaks HTTPS to the registry, and the registry speaks plain HTTP",
        "list the registry under `insecure-registries` in the engine's daemon.json, or give it a certificate",
    ),
    (
        ("no builder", "found"),
        "there is no such buildx builder",
        "`docker buildx ls` lists them; mend [builder] name in services.toml",
    ),
    (
        ("cache export is not supported for the docker driver",),
        "this builder cannot keep its cache in a registry",
        'set [builder] cache = "inline" in services.toml, or use a docker-container builder',
    ),
)
