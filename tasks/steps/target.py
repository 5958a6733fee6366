"""What a stack's host makes of a candidate: the desired state, the observed one, and the plan between them."""

from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from msgspec import Struct, field

from tasks.adapters import host_compose
from tasks.adapters.engine import Engine
from tasks.adapters.host_compose import Resolved
from tasks.adapters.release_folder import ReleaseFolder
from tasks.core import compose, desired, networks, volumes
from tasks.core.compose import ComposeProject, ComposeService
from tasks.core.errors import ConfigurationError
from tasks.core.model import Stack
from tasks.core.observed import CONFIG_LABEL, Observed
from tasks.core.plan import Plan
from tasks.core.reconcile import Desired, reconcile
from tasks.core.release import Release
from tasks.core.rollout import Rollout, alias, choose, switched
from tasks.core.values import replace
from tasks.steps import made
from tasks.steps.candidate import Candidate
from tasks.steps.fit import fit

UNBUILT = "unbuilt.onevm.invalid/image:none"


class Observing(Struct, frozen=True, kw_only=True):
    """A snapshot of a stack that is being taken under its lock, and the images that it was asked about."""

    images: frozenset[str]
    found: Future[Observed]


class Target(Struct, frozen=True, kw_only=True):
    """A release on its host.

    Attributes:
        project: its Compose project as the host resolves it.
        hashes: config hash by service, for those whose image is known.
        observed: the snapshot.
        plan: from observed to desired.
        rollouts: by service, how its containers are replaced.
        networks: by network, the label that it is made with.
        notes: what deserves a look.
        inputs: what Compose on the host read besides the release's files; empty if that is not known.
        outside: the host's files that configs and secrets name.
        elsewhere: sha256 of those that are there.
        called: what the networks of its Compose files are called on the engine.
    """

    project: ComposeProject
    hashes: Mapping[str, str]
    observed: Observed
    plan: Plan
    rollouts: Mapping[str, Rollout]
    networks: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    inputs: str = ""
    outside: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    called: frozenset[str] = frozenset()

    @property
    def switched(self) -> frozenset[str]:
        """The services whose name a proxy reads from a file."""
        return frozenset(name for name, rollout in self.rollouts.items() if rollout.switched)

    def aliases(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Return, by service, the name that its containers have besides their own, and in which networks."""
        networks = {name: self.project.services[name].definition.get("networks") or () for name in self.switched}
        return {
            name: (alias(name, self.hashes[name]), tuple(networks[name])) for name in networks if name in self.hashes
        }


def look(
    stack: Stack,
    folder: ReleaseFolder,
    engine: Engine,
    candidate: Candidate,
    *,
    unbuilt: Mapping[str, str] | None = None,
    why: Mapping[str, str] | None = None,
    only: frozenset[str] | None = None,
    resolving: Future[Resolved | None] | None = None,
    observing: Observing | None = None,
    coming: Collection[str] = (),
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
        resolving: what Compose there makes of the candidate's files, if it was asked already.
        observing: the snapshot, if it is being taken already.
        coming: images that are being pulled for this candidate: for its plan the host lacks them.
    """
    waiting = unbuilt or {}
    reasons = {**(why or {}), **waiting}
    pins = candidate.pins()
    placeholders = dict.fromkeys(waiting, UNBUILT)
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(_observed, stack, engine, pins.values(), observing)
        resolved = _resolved(folder, candidate, resolving)
        observed = seen.result()
    definition, active = resolved.pinned({**placeholders, **pins}), resolved.active
    observed = replace(observed, images=observed.images - frozenset(coming))
    outside = desired.referenced_files(definition, folder.project, candidate.files)
    elsewhere = host_compose.file_hashes(folder.transport, outside)
    project = compose.parse(stack, definition, active)
    rollouts = _rollouts(stack, project, switched(candidate.contents, project.active()))
    _refuse(stack, rollouts)
    hashes = {
        name: desired.config_hash(
            service.definition,
            definition,
            folder=folder.project,
            files=candidate.files,
            elsewhere=elsewhere,
            switched=rollouts[name].switched,
        )
        for name, service in project.active().items()
        if name in pins
    }
    wanted = {
        name: Desired(
            image=pins.get(name),
            config_hash=hashes.get(name),
            why=reasons.get(name, ""),
            rollout=rollouts[name],
            networks=networks.names(service, definition),
            volumes=volumes.names(service, definition),
        )
        for name, service in project.active().items()
    }
    if not candidate.recorded:
        made.refuse_volumes(stack.name, definition, observed)
    own = networks.own(definition, project.active().values())
    named = networks.own(definition, [s for name, s in project.active().items() if only is None or name in only])
    renewed = made.renewals(stack.name, named, observed, engine, only=only)
    plan = reconcile(stack.name, project.services, wanted, observed, only=only, renewed=renewed)
    plan = fit(plan, stack, project, observed, transport=folder.transport, engine=engine)
    return Target(
        project=project,
        hashes=hashes,
        observed=observed,
        plan=plan,
        rollouts=rollouts,
        networks=networks.labels(own, observed),
        notes=made.notes(stack.name, definition, observed),
        inputs=resolved.inputs,
        outside=outside,
        elsewhere=elsewhere,
        called=frozenset(str(known.get("name")) for known in (definition.get("networks") or {}).values()),
    )


def _observed(stack: Stack, engine: Engine, images: Collection[str], begun: Observing | None) -> Observed:
    return begun.found.result() if begun and begun.images.issuperset(images) else engine.observe(stack.name, images)


def _resolved(folder: ReleaseFolder, candidate: Candidate, begun: Future[Resolved | None] | None) -> Resolved:
    # Checked-out files may have been edited since; those of a recorded release never change.
    if begun and (found := begun.result()) and found.files in (None, candidate.contents):
        return found
    return host_compose.resolve(folder, candidate.contents, candidate.compose)


def _rollouts(stack: Stack, project: ComposeProject, in_files: frozenset[str]) -> dict[str, Rollout]:
    return {
        name: choose(service, project, stack.settings(name).rollout, switched=name in in_files)
        for name, service in project.active().items()
    }


def _refuse(stack: Stack, rollouts: Mapping[str, Rollout]) -> None:
    problems = tuple(
        stack.problem(("services", name, "rollout"), f"start-first cannot be done: {rollout.refused}")
        for name, rollout in rollouts.items()
        if rollout.refused
    )
    if problems:
        raise ConfigurationError(problems)


def look_back(stack: Stack, folder: ReleaseFolder, engine: Engine, release: Release) -> Target:
    """Resolve a recorded release on the host from its own files there, take the snapshot, and plan.

    Raises:
        OnevmError: its files on the host are damaged, or somebody is in a network that must be made anew.
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
    named = frozenset(
        name for name, service in project.active().items() if alias(name, hashes[name]) in _names(service)
    )
    rollouts = _rollouts(stack, project, named)
    why = f"back to release {release.id}"
    wanted = {
        name: Desired(image=pins.get(name), config_hash=hashes[name], why=why, rollout=rollouts[name])
        for name in project.active()
    }
    own = networks.own(definition, project.active().values())
    renewed = made.renewals(stack.name, own, observed, engine, only=None)
    plan = reconcile(stack.name, project.services, wanted, observed, renewed=renewed)
    return Target(project=project, hashes=hashes, observed=observed, plan=plan, rollouts=rollouts)


def _names(service: ComposeService) -> frozenset[str]:
    networks = (service.definition.get("networks") or {}).values()
    return frozenset(name for network in networks for name in (network or {}).get("aliases") or ())


def narrowed(candidate: Candidate, release: Release | None, only: frozenset[str] | None) -> Candidate:
    """Return a candidate in which services outside `only` stay as they are on the host."""
    if only is None or release is None:
        return candidate
    kept = {name: s for name, s in release.services.items() if name not in only}
    return replace(candidate, services={**candidate.services, **kept})
