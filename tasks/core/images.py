"""Names of images: repositories, tags, labels."""

from collections.abc import Mapping
from typing import Any

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


# An inline cache, which names its sources: the same image from the same base by another name has another.
_BESIDE_THE_IMAGE = frozenset({"moby.buildkit.cache.v0"})
_BY_COMMIT = frozenset({REVISION_LABEL, CREATED_LABEL})


def same_image(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two image configurations are of one image: layers, history, environment, all but from which commit.

    Args:
        one: an image's configuration (OCI image-spec, "config").
        other: another one's.
    """
    return _image(one) == _image(other)


def _image(config: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in config.items() if name not in _BESIDE_THE_IMAGE}
    own = dict(found.get("config") or {})
    own["Labels"] = {n: v for n, v in (own.get("Labels") or {}).items() if n not in _BY_COMMIT}
    return {**found, "config": own}
