"""Image manifests as bytes with a digest, and what can be read in them.

The formats are OCI image-spec 1.1 and Docker's image manifest version 2, schema 2.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

IMAGE_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFEST_TYPES = IMAGE_TYPES + INDEX_TYPES

# BuildKit marks provenance and SBOM this way; they have no platform and no labels.
_ATTESTATION = ("vnd.docker.reference.type", "attestation-manifest")


class Platform(Struct, frozen=True, kw_only=True):
    """An operating system and a processor, in Go's words."""

    os: str = "linux"
    architecture: str = "amd64"
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


class Layer(Struct, frozen=True, kw_only=True):
    """A layer as it travels: its size in bytes, and whether it is compressed."""

    digest: str
    size: int
    compressed: bool


class Manifest(Struct, frozen=True, kw_only=True):
    """A manifest as the registry gave it; the bytes are what the digest is of."""

    content: bytes
    media_type: str
    digest: str

    @property
    def document(self) -> dict[str, Any]:
        """The manifest as a mapping."""
        document: dict[str, Any] = json.loads(self.content)
        return document

    @property
    def is_index(self) -> bool:
        """Whether this lists manifests (of platforms, and attestations) instead of layers."""
        return self.media_type in INDEX_TYPES

    def child_for(self, platform: Platform) -> str | None:
        """The digest of the platform's image in an index; None if the index has no image at all.

        Without the platform itself, linux/amd64 and then the first image stand in: labels are the same in all.
        """
        images = [child for child in self.document.get("manifests") or () if _is_image(child)]
        for wanted in (platform, Platform()):
            fits = [child for child in images if _fits(child.get("platform") or {}, wanted)]
            exact = [child for child in fits if _variant(child) == wanted.variant]
            if fits:
                return str((exact or fits)[0]["digest"])
        return str(images[0]["digest"]) if images else None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of an image; none of an index."""
        return tuple(
            Layer(
                digest=str(layer["digest"]),
                size=int(layer.get("size") or 0),
                compressed=not str(layer.get("mediaType")).endswith("tar"),
            )
            for layer in self.document.get("layers") or ()
        )

    @property
    def children(self) -> tuple[str, ...]:
        """The digests of everything an index lists, attestations too: all are needed by it."""
        if not self.is_index:
            return ()
        return tuple(str(child["digest"]) for child in self.document.get("manifests") or ())

    @property
    def blobs(self) -> dict[str, int]:
        """The sizes in bytes of what this consists of, itself included and manifests that it lists aside, by digest."""
        document = self.document
        described = [document.get("config") or {}, *(document.get("layers") or ())]
        sizes = {str(one["digest"]): int(one.get("size") or 0) for one in described if "digest" in one}
        return {self.digest: len(self.content), **sizes}


def digest_of(content: bytes, *, like: str = "sha256:") -> str:
    """The digest of some bytes, by the algorithm of another digest (sha256 unless told)."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


def _is_image(child: Mapping[str, Any]) -> bool:
    name, value = _ATTESTATION
    return (child.get("annotations") or {}).get(name) != value and (
        (child.get("platform") or {}).get("os") != "unknown"
    )


def _fits(found: Mapping[str, Any], wanted: Platform) -> bool:
    return (found.get("os"), found.get("architecture")) == (wanted.os, wanted.architecture)


def _variant(child: Mapping[str, Any]) -> str:
    return str((child.get("platform") or {}).get("variant") or "")
