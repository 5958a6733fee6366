"""The build definition of one built service, as `docker compose config` resolves it."""

from pathlib import Path

from msgspec import Struct


class BuildSecret(Struct, frozen=True, kw_only=True):
    """A build secret: its id, and where its value comes from. The value itself is never held here."""

    id: str
    file: Path | None = None
    environment: str | None = None


class BuildDefinition(Struct, frozen=True, kw_only=True):
    """What BuildKit is asked to build for one service.

    Attributes:
        stack: name of the stack.
        service: name of the Compose service.
        context: absolute path of the build context, or a URL for a remote one (see `is_remote`).
        dockerfile: absolute path of the Dockerfile, relative in a remote context; None if `dockerfile_inline` is given.
        dockerfile_inline: text of an inline Dockerfile.
        target: stage to build, None for the last one.
        args: build args as resolved; None means "set, without a value here" (BuildKit's own default).
        volatile_args: names of args that change with every commit: passed to the build, not in the key.
        contexts: named contexts (name, value); a value is an absolute path, a URL, `docker-image://…`,
            or `target:<service>` for a service of the same stack that is built here.
        starts_from: images from elsewhere that this one starts from: the name by which the Dockerfile reaches each (the
            name of a named context, or of the image itself), and the image. They count in the key by name only.
        bases: services of the same stack whose images this one starts from (`FROM`, `COPY --from`, contexts).
        platforms: platforms asked for; usually empty.
        inputs: more absolute paths (files or folders) that belong to the content key.
        options: every other build option of Compose that can change the image (network, ssh ids, shm_size,
            ulimits, extra_hosts, …), each as name and JSON text, sorted by name.
        secrets: build secrets (ids count for the key, values never do).
    """

    stack: str
    service: str
    context: str
    dockerfile: Path | None = None
    dockerfile_inline: str | None = None
    target: str | None = None
    args: tuple[tuple[str, str | None], ...] = ()
    volatile_args: frozenset[str] = frozenset()
    contexts: tuple[tuple[str, str], ...] = ()
    starts_from: tuple[tuple[str, str], ...] = ()
    bases: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    secrets: tuple[BuildSecret, ...] = ()

    @property
    def name(self) -> str:
        """`<stack>.<service>`, as in task names."""
        return f"{self.stack}.{self.service}"

    @property
    def is_remote(self) -> bool:
        """Whether the context is a URL (git or tarball), not a folder of this machine."""
        return is_remote(self.context)


def is_remote(context: str) -> bool:
    """Whether a build context is a URL, not a folder of this machine."""
    return "://" in context or context.startswith("git@")
