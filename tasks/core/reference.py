"""Image references: `redis:7` as what Docker takes it for.

The grammar and the rules for Docker Hub are those of github.com/distribution/reference (`ParseNormalizedNamed`).
"""

import re

from msgspec import Struct

from tasks.core.errors import OnevmError
from tasks.core.values import replace

HUB = "docker.io"
HUB_ALIASES = ("index.docker.io", "registry-1.docker.io")
NAME_LIMIT = 255

_DOMAIN_PART = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_DOMAIN = re.compile(rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?")
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PATH_PART}(?:/{_PATH_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_IMAGE_ID = re.compile(r"[0-9a-f]{64}")


class ReferenceInvalid(OnevmError):
    """A text that is no image reference; the message names it and says why."""


def is_digest(text: str) -> bool:
    """Whether a text is a digest (`sha256:…` with 64 hex digits, or `sha512:…` with 128)."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether a text can be a tag."""
    return _TAG.fullmatch(text) is not None


class Reference(Struct, frozen=True, kw_only=True):
    """An image reference in full.

    Attributes:
        registry: host with port, `docker.io` for Docker Hub.
        repository: path in the registry, `library/…` for Docker Hub's own images.
        tag: None if none was given; Docker then takes `latest`, unless there is a digest.
        digest: `sha256:…`, None if none was given. It wins over the tag.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference as Docker does.

        Raises:
            ReferenceInvalid: it is none.
        """
        name, digest = _cut(text, "@")
        if digest is not None and not is_digest(digest):
            raise _invalid(text, f"{digest!r} is no digest (sha256: and 64 hex digits)")
        if _IMAGE_ID.fullmatch(name):
            raise _invalid(text, "an image id is no reference")
        registry, path = _split_registry(name)
        if not _DOMAIN.fullmatch(registry):
            raise _invalid(text, f"{registry!r} is no registry host")
        path, tag = _cut(path, ":")
        if tag is not None and not is_tag(tag):
            raise _invalid(text, f"{tag!r} is no tag (letters, digits, _ . -; at most 128)")
        if not _PATH.fullmatch(path):
            raise _invalid(text, _why_no_path(path))
        if registry == HUB and "/" not in path:
            path = f"library/{path}"
        if len(registry) + 1 + len(path) > NAME_LIMIT:
            raise _invalid(text, f"the name is longer than {NAME_LIMIT} characters")
        return cls(registry=registry, repository=path, tag=tag, digest=digest)

    @property
    def name(self) -> str:
        """`registry/repository`, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def manifest(self) -> str:
        """What to ask the registry for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    @property
    def familiar(self) -> str:
        """The short form people type: `redis:7`."""
        text = str(self).removeprefix(f"{HUB}/")
        return text.removeprefix("library/") if self.registry == HUB else text

    def with_digest(self, digest: str) -> "Reference":
        """The same repository at a digest, and no tag: what Compose is given."""
        if not is_digest(digest):
            raise _invalid(f"{self.name}@{digest}", f"{digest!r} is no digest")
        return replace(self, tag=None, digest=digest)

    def with_tag(self, tag: str) -> "Reference":
        """The same repository at a tag, and no digest: what is pushed to."""
        if not is_tag(tag):
            raise _invalid(f"{self.name}:{tag}", f"{tag!r} is no tag")
        return replace(self, tag=tag, digest=None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def _cut(text: str, mark: str) -> tuple[str, str | None]:
    head, found, rest = text.partition(mark)
    return head, rest if found else None


def _split_registry(name: str) -> tuple[str, str]:
    """The first part is a host if it has a dot, a colon or a capital letter, or is `localhost`."""
    first, slash, rest = name.partition("/")
    is_host = bool(slash) and ("." in first or ":" in first or first == "localhost" or first.lower() != first)
    if not is_host:
        return HUB, name
    return (HUB if first in HUB_ALIASES else first), rest


def _why_no_path(path: str) -> str:
    if not path:
        return "the repository is missing"
    if path.lower() != path:
        return f"the repository {path!r} must be in lower case"
    return f"{path!r} is no repository"


def _invalid(text: str, why: str) -> ReferenceInvalid:
    return ReferenceInvalid(
        f"{text!r} is no image reference: {why}",
        next_step="write it as [host[:port]/]repository[:tag][@sha256:…]",
    )
