"""What rules look at: one stack, parsed, with the place of everything."""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field

from tasks.core import rollout
from tasks.core.compose import ComposeProject, ComposeService
from tasks.core.lint.catalogue import RULES
from tasks.core.lint.places import Places
from tasks.core.lint.rule import Fault, Place, Severity
from tasks.core.lint.stages import Dockerfile
from tasks.core.model import Stack


class Subject(Struct, frozen=True, kw_only=True):
    """One stack.

    Attributes:
        stack: what services.toml says.
        project: what Compose makes of its files, environment included.
        places: where in the files it stands.
        dockerfiles: by built service.
        logs_bounded: whether the host's engine bounds the logs of a container that says nothing.
        health_in_image: services whose image has a health check of its own, as far as that is known.
    """

    stack: Stack
    project: ComposeProject
    places: Places
    dockerfiles: Mapping[str, Dockerfile] = field(default_factory=dict)
    logs_bounded: bool = False
    health_in_image: frozenset[str] = frozenset()

    def services(self) -> Iterator["Service"]:
        """Yield the services that run."""
        for service in self.project.active().values():
            yield Service(subject=self, service=service)

    def built(self) -> Iterator["Service"]:
        """Yield the services that are built, those that others start from included."""
        for service in self.project.built().values():
            yield Service(subject=self, service=service)

    def fault(
        self,
        rule: str,
        place: Place,
        *,
        services: tuple[str, ...],
        what: str,
        mend: str,
        severity: Severity | None = None,
    ) -> Fault:
        """Return a fault of this stack."""
        return Fault(
            rule=rule,
            severity=severity or RULES[rule].severity,
            place=place,
            stack=self.stack.name,
            services=services,
            what=what,
            mend=mend,
        )


class Service(Struct, frozen=True, kw_only=True):
    """One service of a subject."""

    subject: Subject
    service: ComposeService

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    @property
    def spec(self) -> Mapping[str, Any]:
        """The service as Compose resolves it."""
        return self.service.definition

    @property
    def dockerfile(self) -> Dockerfile | None:
        """Its Dockerfile, if it is built here and the file can be read."""
        return self.subject.dockerfiles.get(self.name)

    @property
    def lives_on(self) -> bool:
        """Whether it is meant to run until somebody stops it: it is asked for something, or started again."""
        if not self.service.is_one_shot:
            return True
        if self.service.stays_ended and self._is_awaited():
            return False
        return bool(self.spec.get("ports") or self.spec.get("expose")) or self._is_needed()

    def _conditions(self) -> Iterator[str]:
        for other in self.subject.project.services.values():
            needed = (other.definition.get("depends_on") or {}).get(self.name)
            if needed:
                yield str(needed.get("condition") or "service_started")

    def _is_awaited(self) -> bool:
        return "service_completed_successfully" in self._conditions()

    def _is_needed(self) -> bool:
        return any(condition != "service_completed_successfully" for condition in self._conditions())

    @property
    def has_health_check(self) -> bool:
        """Whether a health check is known of: in the Compose files, the Dockerfile, or the image."""
        if self.service.healthcheck is not None or self.name in self.subject.health_in_image:
            return True
        if (self.spec.get("healthcheck") or {}).get("disable") or (self.spec.get("healthcheck") or {}).get("test"):
            return False
        # Times without a test are those of the image's own check; and without one nobody could wait for `healthy`.
        if "service_healthy" in self._conditions() or any(self.subject.places.written(self.name, "healthcheck")):
            return True
        runtime = self.dockerfile.runtime() if self.dockerfile else []
        words = [i.rest for stage in runtime for i in stage.instructions if i.word == "HEALTHCHECK"]
        return bool(words) and not words[-1].upper().startswith("NONE")

    @property
    def wants_start_first(self) -> bool:
        """Whether a rollout without a gap is worth something here and not excluded by services.toml."""
        return self.subject.stack.settings(self.name).rollout != "recreate"

    def memory_limit(self) -> int:
        """Return its memory limit in bytes; 0 if there is none."""
        return rollout.memory_bytes(self.service)

    def volatile(self) -> frozenset[str]:
        """Return the build args that services.toml calls volatile."""
        return frozenset(self.subject.stack.settings(self.name).volatile_args)

    def at(self, *path: str) -> Place:
        """Return the line of a key of this service, or of the nearest one around it."""
        return self.subject.places.find(self.name, *path)

    def fault(self, rule: str, place: Place, what: str, mend: str, severity: Severity | None = None) -> Fault:
        """Return a fault of this service."""
        return self.subject.fault(rule, place, services=(self.name,), what=what, mend=mend, severity=severity)
