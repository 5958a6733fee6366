"""A release: for one stack at one commit, which exact bytes every service runs.

Written once as JSON (schema 1), beside and renamed, never edited. The rules are in docs/architecture.md.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct, field

from tasks.core import measured
from tasks.core.errors import OnevmError
from tasks.core.measured import Measured
from tasks.core.outage import Outage
from tasks.core.values import plain

SCHEMA = 1
Outcome = Literal["good", "failed"]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ReleasedService:
    """One service of a release.

    Attributes:
        image: `repository@digest`; an external image that no registry knows keeps its tag.
        content_key: the key of a built service, empty for an external one.
        revision: the commit at which these bytes were built, empty for an external one.
        external: whether the image is not built here.
        source: the reference in the Compose file that an external image was resolved from.
        inputs: the commits of other repositories that its inputs are in, by path relative to the checkout's top.
        starts_from: digests by image that a refresh built a service on; no part of what the release is.
    """

    image: str
    content_key: str = ""
    revision: str = ""
    external: bool = False
    source: str = ""
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)
    starts_from: dict[str, str] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def has_digest(self) -> bool:
        """Whether it is pinned by a registry's digest; else it was built on the host, or no registry knows it."""
        return "@" in self.image


class Release(Struct, frozen=True, kw_only=True):
    """What a stack is, or was, on its host.

    Attributes:
        id: sorts by time: `<UTC time>-<sha7>[-dirty]`.
        sha: the full commit.
        dirty: whether uncommitted changes went in.
        created: ISO 8601, UTC.
        performer: who deployed, `user@machine`.
        previous: the id of the release that was current before, or None.
        services: by name.
        compose: Compose files in order, path in the checkout -> sha256 of the content.
        files: travelling files, path in the checkout -> sha256 of the content.
        config: hash of everything else that Compose starts a service with, by service.
        kind: `deploy` or `rollback`.
        built: `on-host` if images were made by the host's engine, not for the registry.
        outcome: `good` or `failed`.
        reason: why it failed.
        restores: the id of the release that a rollback went back to.
        scope: the services that were named, if not the whole stack was: the others are of earlier commits.
        timings: seconds by phase, up to the record.
        outage: what was noticed at each address that was asked meanwhile, by service; `verify` is the stack's own.
        measured: what else it took and cost; None if an older Onevm recorded it.
    """

    id: str
    stack: str
    sha: str
    dirty: bool
    created: str
    performer: str
    previous: str | None
    services: dict[str, ReleasedService]
    compose: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    config: dict[str, str] = field(default_factory=dict)
    kind: str = "deploy"
    built: str = ""
    outcome: Outcome = "good"
    reason: str = ""
    restores: str = ""
    scope: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    outage: dict[str, Outage] = field(default_factory=dict)
    measured: Measured | None = None

    @property
    def took(self) -> float:
        """Seconds from the start of the command to the record; of an older Onevm's record only those on the host."""
        return self.measured.took if self.measured else sum(self.timings.values())

    def same_bytes(self, other: "Release") -> bool:
        """Whether the two put the same images and files on the host, whatever commit they were named by."""
        return (self.services, self.compose, self.files) == (other.services, other.compose, other.files)

    def same_content(self, other: "Release") -> bool:
        """Whether the two put the same bytes and files on the host, from the same commit."""
        return (self.sha, self.dirty, self.services, self.compose, self.files) == (
            other.sha,
            other.dirty,
            other.services,
            other.compose,
            other.files,
        )

    def bases(self, service: str) -> tuple[str, ...]:
        """Return the commits that had a built service's inputs as they are in its image, the surest first.

        One that ends in `-dirty` had them but for changes that were not committed.
        """
        whole = self.kind == "deploy" and not self.dirty and (not self.scope or service in self.scope)
        known = self.services.get(service)
        found = [self.sha if whole else "", known.revision if known else ""]
        return tuple(sha for sha in found if sha)

    def to_json(self) -> str:
        """Return the release as its JSON document."""
        # The order of the Compose files counts, so keys are not sorted.
        return json.dumps({"schema": SCHEMA, **plain(self)}, indent=2) + "\n"


def from_json(text: str, where: str) -> Release:
    """Return the release of a JSON document.

    Args:
        text: the document.
        where: its path, for messages.

    Raises:
        OnevmError: it is not a release, or of a newer schema.
    """
    try:
        raw: Mapping[str, Any] = json.loads(text)
        schema = raw["schema"]
        if schema != SCHEMA:
            msg = f"{where} has schema {schema}; this Onevm reads schema {SCHEMA}"
            raise OnevmError(msg, next_step="use the Onevm that wrote it, or a newer one")
        fields = {key: value for key, value in raw.items() if key in Release.__struct_fields__}
        fields["services"] = {name: _service(spec) for name, spec in raw["services"].items()}
        fields["outage"] = {name: Outage(**spec) for name, spec in (raw.get("outage") or {}).items()}
        fields["scope"] = tuple(raw.get("scope") or ())
        fields["measured"] = measured.from_mapping(raw["measured"]) if raw.get("measured") else None
        return Release(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        msg = f"{where} is not a release: {type(error).__name__}: {error}"
        raise OnevmError(
            msg, next_step="it was edited or half-written; deploy again, it is not needed for that"
        ) from None


def _service(spec: Mapping[str, Any]) -> ReleasedService:
    return ReleasedService(**{key: value for key, value in spec.items() if key in ReleasedService.__dataclass_fields__})
