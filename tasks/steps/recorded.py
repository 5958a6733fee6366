"""Going to a release that exists already: from the host's records, or from a commit that was pushed. Builds nothing."""

from collections.abc import Callable, Mapping, Sequence

from tasks.adapters import host_compose, later, temporary
from tasks.adapters.release_folder import Current
from tasks.core import compose, history
from tasks.core.errors import OnevmError, UsageError
from tasks.core.images import CONTENT_KEY_LABEL, REVISION_LABEL, commit_tag, repository
from tasks.core.model import Stack
from tasks.core.reference import Reference
from tasks.core.release import Release, ReleasedService
from tasks.core.values import replace
from tasks.steps import early, external
from tasks.steps.candidate import Candidate, read_files
from tasks.steps.run import Run
from tasks.steps.target import Observing


def records(r: Run, stack: Stack) -> Callable[[Current], tuple[tuple[Release, ...], tuple[str, ...]]]:
    """Begin to read the host's records of a stack; what is returned gives them, with notes, once the lock is held.

    Records do not change, but another run may have added or removed some before the lock was ours.
    """
    folder = r.folder(stack)
    reading = later.begun(folder.releases)
    # The files of the one that is chosen, and what Compose makes of them.
    folder.transport.expect(2)

    def known(current: Current) -> tuple[tuple[Release, ...], tuple[str, ...]]:
        # To stage the one that is chosen, and to start what differs.
        folder.transport.expect(2)
        releases, notes = reading.result()
        runs = current.release.id if current.release else ""
        if len(releases) + len(notes) == current.recorded and (not runs or runs in {r.id for r in releases}):
            return releases, notes
        return folder.releases()

    return known


def of_release(r: Run, stack: Stack, release: Release) -> Candidate:
    """Return the candidate that a recorded release is.

    Raises:
        OnevmError: its files on the host are damaged, or an image is gone from host and registry.
    """
    folder, compose_files = r.folder(stack), tuple(release.compose)
    fetching = later.begun(lambda: folder.fetch(release))
    r.resolving[stack.name] = later.begun(lambda: host_compose.resolve_recorded(folder, release.id, compose_files))
    pins = {name: service.image for name, service in release.services.items()}
    seen = early.observe(r, stack, pins.values())
    had = later.begun(lambda: _images_to_be_had(r, stack, pins, release.id, seen))
    contents = fetching.result()
    had.result()
    return Candidate(
        sha=release.sha,
        dirty=release.dirty,
        services=release.services,
        compose=compose_files,
        contents=contents,
        files=release.files,
        recorded=True,
    )


def _images_to_be_had(r: Run, stack: Stack, pins: Mapping[str, str], name: str, seen: Observing) -> None:
    present = seen.found.result().images
    gone = []
    for service, image in sorted(pins.items()):
        if image in present:
            continue
        try:
            if r.digest_of(image) is None:
                gone.append(f"{service} ({image})")
        except OnevmError as error:
            gone.append(f"{service} ({image}: {error.what})")
    if gone:
        raise OnevmError(
            f"{stack.name}: images of {name} are neither on the host nor in the registry: {', '.join(gone)}",
            next_step="nothing was touched; choose another release (`doit history`), or build that commit again",
        )


def of_commit(r: Run, stack: Stack, text: str, releases: Sequence[Release], current: Release | None) -> Candidate:
    """Return the candidate of a commit that was pushed: its Compose files from git, its images from the registry.

    Args:
        r: the run's resources.
        stack: the stack.
        text: the commit, may be abbreviated.
        releases: the host's records: a good one of this commit is taken as it is.
        current: the current release, for pins of external images.

    Raises:
        UsageError: the commit is unknown or ambiguous; with the candidates.
        OnevmError: a service has no image at this commit.
    """
    if recorded := history.named(stack.name, text, releases):
        return of_release(r, stack, recorded)
    checkout = r.sources(stack).checkout
    if not checkout.has(text):
        raise UsageError(
            f"{stack.name}: no release and no commit is called {text}",
            next_step=f"known releases: {history.candidates(releases)}; or `git fetch` the commit into this clone",
        )
    commit = checkout.commit(text)
    with temporary.folder("commit") as above:
        folder = above / "checkout"
        folder.mkdir()
        checkout.export(commit.sha, folder)
        there = replace(stack, path=folder / stack.path.resolve().relative_to(checkout.top.resolve()))
        return _from_registry(r, there, commit.sha, current)


def _from_registry(r: Run, stack: Stack, sha: str, current: Release | None) -> Candidate:
    from tasks.adapters.compose import read_project

    project = compose.parse(stack, *read_project(stack, r.project.cache))
    contents, files = read_files(stack)
    services: dict[str, ReleasedService] = {}
    missing = []
    for name, service in project.active().items():
        if service.build is None:
            engine = r.host(stack).engine
            services[name] = external.pin(
                service.image or "",
                f"{stack.name}.{name}",
                current,
                ask=r.digest_of,
                engine=engine,
                warn=r.screen.warn,
            )
            continue
        where = Reference.parse(repository(r.project.configuration.registry, stack.name, name))
        digest = r.registry.head(where.repository, commit_tag(sha))
        if digest is None:
            missing.append(name)
            continue
        labels = r.registry.labels(where.repository, digest)
        services[name] = ReleasedService(
            image=where.with_digest(digest).familiar,
            content_key=labels.get(CONTENT_KEY_LABEL, ""),
            revision=labels.get(REVISION_LABEL, ""),
        )
    if missing:
        raise OnevmError(
            f"{stack.name}: commit {sha[:7]} was not pushed whole: no image of {', '.join(missing)} is named by it",
            next_step=f"check that commit out and run `doit push:{stack.name}`; nothing was touched",
        )
    return Candidate(sha=sha, dirty=False, services=services, compose=stack.compose, contents=contents, files=files)
