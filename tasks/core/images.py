"""Names of images: repositories, tags, labels."""

from tasks.core.model import Registry

CONTENT_KEY_LABEL = "dev.onevm.content-key"
REVISION_LABEL = "org.opencontainers.image.revision"
SOURCE_LABEL = "org.opencontainers.image.source"
CREATED_LABEL = "org.opencontainers.image.created"


def repository(registry: Registry, stack: str, service: str) -> str:
    """Return `<url>/<stack>-<service>`."""
    return f"{registry.url}/{stack}-{service}"


def key_tag(content_key: str) -> str:
    """Return the tag that says "these bytes were made from this content"."""
    return f"key-{content_key}"


def building_tag(content_key: str, run: str) -> str:
    """Return the tag a bake pushes to, before its inputs were seen not to have changed meanwhile.

    No two runs share one: neither takes the other's bytes, or what a killed one left, for its own.
    """
    return f"building-{content_key[:12]}-{run}"


def commit_tag(sha: str, *, dirty_key: str = "") -> str:
    """Return the commit's tag; with uncommitted changes in the inputs it names their key too."""
    return f"{sha}-dirty-{dirty_key[:8]}" if dirty_key else sha
