"""What a stack's host makes of a candidate: the desired state, the observed one, and the plan between them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from tasks.adapters import host_compose
from tasks.adapters.engine import Engine, check_version
from tasks.adapters.release_folder import ReleaseFolder
from tasks.core import compose, desired
from tasks.core.compose import ComposeProject
from tasks.core.model import Stack
from tasks.core.observed import CONFIG_LABEL, Observed
from tasks.core.plan import Plan
from tasks.core.reconcile import Desired, reconcile
from tasks.core.release import Release
from tasks.steps.candidate import Candidate

UNBUILT = "unbuilt.onevm.invalid/image:none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A release on its host.

    Attributes:
        project: its Compose project as the host resolves it.
        hashes: config hash by service, for those whose image is known.
        observed: the snapshot.
        plan: from observed to desired.
    """

    project: ComposeProject
    hashes: Mapping[str, str]
    observed: Observed
    plan: Plan


def look(
    stack: Stack,
    folder: ReleaseFolder,
    engine: Engine,
    candidate: Candidate,
    *,
    unbuilt: Mapping[str, str] | None = None,
    why: Mapping[str, str] | None = None,
    only: frozenset[str] | None = None,
) -> Target:
    """Resolve a candidate on the host, take the snapshot, and plan.

    Args:
        stack: the stack.
        folder: its folder on the host.
        engine: the host's engine.
        candidate: what is to be released.
        unbuilt: services whose image is not built yet, with the reason.
        why: what is known about the reason of a service's new image.
        only: services to touch; None for all.
    """
    waiting = unbuilt or {}
    reasons = {**(why or {}), **waiting}
    pins = candidate.pins()
    placeholders = dict.fromkeys(waiting, UNBUILT)
    with ThreadPoolExecutor(2) as pool:
        seen = pool.submit(engine.observe, stack.name, pins.values())
        engine_version = pool.submit(engine.version)
        definition, active = host_compose.configuration(
            folder, candidate.contents, candidate.compose, desired.override({**placeholders, **pins}, {})
        )
        check_version(engine_version.result(), folder.transport.name)
        observed = seen.result()
    outside = desired.referenced_files(definition, folder.project, candidate.files)
    elsewhere = host_compose.file_hashes(folder.transport, outside)
    project = compose.parse(stack, definition, active)
    hashes = {
        name: desired.config_hash(
            service.definition, definition, folder=folder.project, files=candidate.files, elsewhere=elsewhere
        )
        for name, service in project.active().items()
        if name in pins
    }
    wanted = {
        name: Desired(image=pins.get(name), config_hash=hashes.get(name), why=reasons.get(name, ""))
        for name in project.active()
    }
    plan = reconcile(stack.name, project.services, wanted, observed, only=only)
    return Target(project=project, hashes=hashes, observed=observed, plan=plan)


def look_back(stack: Stack, folder: ReleaseFolder, engine: Engine, release: Release) -> Target:
    """Resolve a recorded release on the host from its own files there, take the snapshot, and plan.

    Raises:
        OnevmError: its files on the host are damaged.
    """
    pins = {name: service.image for name, service in release.services.items()}
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(engine.observe, stack.name, pins.values())
        definition, active = host_compose.recorded(folder, folder.folder_of(release.id), tuple(release.compose))
        observed = seen.result()
    project = compose.parse(stack, definition, active)
    hashes = {
        name: str((service.definition.get("labels") or {}).get(CONFIG_LABEL, ""))
        for name, service in project.active().items()
    }
    wanted = {
        name: Desired(image=pins.get(name), config_hash=hashes[name], why=f"back to release {release.id}")
        for name in project.active()
    }
    plan = reconcile(stack.name, project.services, wanted, observed)
    return Target(project=project, hashes=hashes, observed=observed, plan=plan)


def narrowed(candidate: Candidate, release: Release | None, only: frozenset[str] | None) -> Candidate:
    """Return a candidate in which services outside `only` stay as they are on the host."""
    if only is None or release is None:
        return candidate
    kept = {name: s for name, s in release.services.items() if name not in only}
    return replace(candidate, services={**candidate.services, **kept})
