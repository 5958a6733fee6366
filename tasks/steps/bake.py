"""One bake for everything that is stale and wanted, however it was named on the command line.

The first build or push task that runs makes the batch for all of them:

    keys -> look up -> bake what nobody has (one call) -> inputs unchanged? -> name it by its key

What a bake leaves is named `building-…` first. Only when its inputs are seen not to have changed meanwhile does it
get the tag `key-…`, which is a promise.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

from tasks.adapters import buildx, context_names, temporary
from tasks.adapters.engine import check_version
from tasks.core import bake as bakefile
from tasks.core.build import BuildDefinition
from tasks.core.errors import OnevmError
from tasks.core.images import CONTENT_KEY_LABEL, building_tag, key_tag, repository
from tasks.core.reference import Reference
from tasks.core.solve import Step
from tasks.steps import output, run, selection, variables
from tasks.steps.inputs import Keyed
from tasks.steps.once import once
from tasks.steps.timings import Timings

PARALLEL_LOOKUPS = 16
MOST_ROWS = 30
State = Literal["fresh", "built", "failed", "cancelled"]


@dataclass(kw_only=True, slots=True)
class Image:
    """A built service's image after the batch.

    Attributes:
        keyed: the service with its key.
        repository: its repository.
        pushed: whether the registry was to have it.
        state: `fresh` (it was there), `built`, `failed` or `cancelled`.
        digest: the registry's digest, empty if only the engine has it.
        error: why it failed.
    """

    keyed: Keyed
    repository: str
    pushed: bool
    state: State = "cancelled"
    digest: str = ""
    error: OnevmError | None = None

    @property
    def name(self) -> str:
        """`<stack>.<service>`."""
        return self.keyed.name

    @property
    def keyed_name(self) -> str:
        """The name that is a promise: `<repository>:key-<content key>`."""
        return f"{self.repository}:{key_tag(self.keyed.key)}"

    @property
    def path(self) -> str:
        """The repository without its registry's host."""
        return Reference.parse(self.repository).repository

    def revision(self, sha: str) -> str:
        """Return the commit that these bytes are made from; with uncommitted changes it says so."""
        return f"{sha}-dirty" if self.keyed.uncommitted else sha

    def demand(self) -> "Image":
        """Return itself if the image is there.

        Raises:
            OnevmError: it is not.
        """
        if self.error:
            raise self.error
        if self.state == "cancelled":
            raise OnevmError(f"{self.name}: not built: cancelled because another build failed")
        return self


@dataclass(slots=True)
class Batch:
    """The images of a run by `<stack>.<service>`."""

    images: dict[str, Image] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)
    baked: tuple[str, ...] = ()


@once
def batch() -> Batch:
    """Return the batch of this run; the first call makes it.

    Raises:
        OnevmError: nothing could be found out or built at all. A service that failed alone is in its `Image`.
    """
    wanted = selection.current()
    r = run.run()
    r.reach_early(r.project.stacks[name] for name in wanted.scopes.get("deploy", {}))
    if not variables.flag("dirty"):
        _refuse_uncommitted(r, wanted)
    r.alone(f"doit {' '.join(sorted(wanted.verbs))}")
    result = make(r, build=wanted.build, push=wanted.push)
    if "deploy" not in wanted.verbs:
        _report(result)
    return result


def _refuse_uncommitted(r: run.Run, wanted: selection.Selection) -> None:
    """Keep uncommitted changes from hosts over SSH, before anything is built or pushed."""
    for name, only in wanted.scopes.get("deploy", {}).items():
        stack = r.project.stacks[name]
        if r.project.configuration.hosts[stack.host].is_local:
            continue
        sources = r.sources(stack)
        built = [n for n in r.project.compose[name].built() if only is None or n in only]
        paths = {path for n in built for path in sources.keyed(n).uncommitted} | set(sources.files_uncommitted())
        if paths:
            raise OnevmError(
                f"stack {name} has uncommitted changes, and host {stack.host} is not this machine",
                detail="\n".join(sorted(paths)[:8]),
                next_step="commit them, or say dirty=1",
            )


def make(r: run.Run, *, build: frozenset[str], push: frozenset[str]) -> Batch:
    """Look up and bake what is wanted.

    Args:
        r: the run's resources.
        build: services wanted on the engine, or in the registry.
        push: services wanted in the registry.
    """
    result = Batch()
    with result.timings.phase("key"):
        result.images = keyed_images(r, build | push, push)
    with result.timings.phase("lookup"):
        look_up(r, list(result.images.values()))
    stale = [image for image in result.images.values() if image.state != "fresh"]
    if stale:
        with r.screen.live(), result.timings.phase("bake"):
            _bake(r, result, stale)
    return result


def keyed_images(r: run.Run, names: frozenset[str], push: frozenset[str]) -> dict[str, Image]:
    """Return the images of services with their content keys; nothing is known of them yet."""
    images = {}
    for name in sorted(names):
        stack_name, _, service = name.partition(".")
        stack = r.project.stacks[stack_name]
        keyed = r.sources(stack).keyed(service)
        where = repository(r.project.configuration.registry, stack_name, service)
        images[name] = Image(keyed=keyed, repository=where, pushed=name in push)
    return images


def look_up(r: run.Run, images: Sequence[Image]) -> None:
    """Find out which images are there already: in the registry, or, for `build` alone, on the engine.

    Raises:
        OnevmError: the registry or the engine could not be asked; that is never taken for "not there".
    """
    local = [image for image in images if not image.pushed]
    if local:
        have = r.engine.keyed_images()
        for image in local:
            if image.keyed_name in have:
                image.state = "fresh"
    ask = [image for image in images if image.pushed]
    with ThreadPoolExecutor(PARALLEL_LOOKUPS) as pool:
        digests = pool.map(lambda i: r.registry.head(i.path, key_tag(i.keyed.key)), ask)
        for image, digest in zip(ask, digests, strict=True):
            if digest:
                image.state, image.digest = "fresh", digest


def _bake(r: run.Run, result: Batch, stale: list[Image]) -> None:
    with ThreadPoolExecutor(1) as pool:
        engine_version = pool.submit(r.engine.version)
        buildx.check_version()
        check_version(engine_version.result(), "local")
    bases = _bases(r, stale, result)
    names = bakefile.target_names([i.keyed.definition for i in (*stale, *bases)])
    by_target = {names[i.keyed.definition.stack, i.keyed.definition.service]: i for i in stale}
    for image in stale:
        _refuse_what_bake_cannot(image.keyed.definition)
        r.screen.begin(image.name, "building")
    secrets = r.build_secrets({s.environment for i in stale for s in i.keyed.definition.secrets if s.environment})
    needs_login = any(image.pushed for image in stale)

    def tell(step: Step) -> None:
        image = by_target.get(step.target)
        if image:
            r.screen.note(image.name, step.text)

    with temporary.folder("contexts") as folder:
        links = context_names.linked(folder, r.project.cache / "contexts", [i.keyed.inputs for i in (*stale, *bases)])
        file = bakefile.bake_file(
            [_target(r, i, links) for i in stale],
            [_target(r, i, links) for i in bases],
            r.project.configuration.builder,
            names,
        )
        baked = buildx.bake(
            file,
            sorted(by_target),
            builder=r.project.configuration.builder.name,
            env={**(r.login if needs_login else {}), **secrets},
            tell=tell,
        )
    result.baked = tuple(sorted(by_target))
    blamed = _culprits(baked, by_target, names)
    with ThreadPoolExecutor(PARALLEL_LOOKUPS) as pool:
        list(pool.map(lambda item: _settle(r, item[1], item[0], baked, blamed), by_target.items()))
    for image in stale:
        took = r.screen.end(image.name, "pushed" if image.digest else image.state, ok=image.state == "built")
        result.timings.seconds[f"bake {image.name}"] = round(took, 3)
    for target in sorted(blamed, key=[*baked.solve.errors, *by_target].index):
        if by_target[target].error:
            r.screen.error(str(by_target[target].error))


def _culprits(baked: buildx.Baked, images: Mapping[str, Image], names: Mapping[tuple[str, str], str]) -> frozenset[str]:
    """Return the targets that a bake failed for: not those that start from one of them."""
    if baked.ok:
        return frozenset()
    found = {target for target in baked.solve.culprits() if target in images}
    found = found or {target for target in baked.solve.unread() if target in images} or set(images)
    definitions = {target: images[target].keyed.definition for target in found}
    bases = {target: {names.get((d.stack, base)) for base in d.bases} for target, d in definitions.items()}
    return frozenset(target for target in found if not bases[target] & found)


def _bases(r: run.Run, stale: list[Image], result: Batch) -> list[Image]:
    """Return the fresh services that stale ones start from and that are built along, from the cache."""
    present = {image.name for image in stale}
    found: dict[str, Image] = {}
    queue = [f"{i.keyed.definition.stack}.{base}" for i in stale for base in i.keyed.definition.bases]
    while queue:
        name = queue.pop()
        if name in present or name in found:
            continue
        image = result.images.get(name) or keyed_images(r, frozenset({name}), frozenset())[name]
        found[name] = image
        queue += [f"{image.keyed.definition.stack}.{base}" for base in image.keyed.definition.bases]
    return list(found.values())


def _refuse_what_bake_cannot(definition: BuildDefinition) -> None:
    if options := bakefile.unsupported_options(definition):
        raise OnevmError(
            f"{definition.name}: `docker buildx bake` cannot do build.{options[0]}",
            next_step="leave it away in the Compose file, or say it in the Dockerfile",
        )


def _target(r: run.Run, image: Image, links: Mapping[str, str]) -> bakefile.Target:
    stack = r.project.stacks[image.keyed.definition.stack]
    sources = r.sources(stack)
    commit = sources.commit
    return bakefile.Target(
        definition=image.keyed.definition,
        content_key=image.keyed.key,
        reference=f"{image.repository}:{building_tag(image.keyed.key)}",
        repository=image.repository,
        push=image.pushed,
        args=volatile_filled(
            image.keyed.definition, {"SHA": image.revision(commit.sha), "DATE": commit.date}, os.environ
        ),
        revision=image.revision(commit.sha),
        source=sources.checkout.origin,
        created=commit.date,
        context=links.get(image.keyed.definition.context, ""),
    )


def volatile_filled(
    definition: BuildDefinition, commit: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the build args with volatile ones filled in.

    A volatile arg takes the variable of its own name if that is set; else, by its name's ending, what the commit
    says (`…SHA`, `…COMMIT`, `…REVISION`, `…VERSION`; `…DATE`, `…TIME`, `…CREATED`); else what Compose says.
    """
    args = {name: value for name, value in definition.args if value is not None}
    for name in definition.volatile_args:
        upper = name.upper()
        if name in environ:
            args[name] = environ[name]
        elif upper.endswith(("SHA", "COMMIT", "REVISION", "VERSION")):
            args[name] = commit["SHA"]
        elif upper.endswith(("DATE", "TIME", "CREATED")):
            args[name] = commit["DATE"]
    return args


def _settle(r: run.Run, image: Image, target: str, baked: buildx.Baked, blamed: frozenset[str]) -> None:
    """Say what became of one target, and give it the name that is a promise."""
    building = building_tag(image.keyed.key)
    digest = baked.digests.get(target, "")
    if not baked.ok:
        # BuildKit may have named nobody: who has its image has not failed.
        digest = "" if target in baked.solve.culprits() else _finished_all_the_same(r, image, building)
        if not digest:
            if target in blamed:
                image.state, image.error = "failed", buildx.failure(image.name, target, baked.solve)
            return
    stack = r.project.stacks[image.keyed.definition.stack]
    changed = r.sources(stack).changed_meanwhile(image.keyed)
    if changed:
        image.state = "failed"
        image.error = OnevmError(
            f"{image.name}: inputs changed during the build: {', '.join(changed[:5])}",
            next_step="run the same command again, without editing meanwhile; nothing was recorded",
        )
        return
    if image.pushed:
        image.digest = publish_key(r, image, digest)
    _name_locally(r, image, building)
    image.state = "built"


def _finished_all_the_same(r: run.Run, image: Image, building: str) -> str:
    """After a failed bake: ask whoever should have the image. Returns its digest, or a mark for the engine's."""
    if image.pushed:
        digest = r.registry.head(image.path, building)
        if digest and r.registry.labels(image.path, digest).get(CONTENT_KEY_LABEL) == image.keyed.key:
            return digest
        return ""
    return "local" if r.engine.present([f"{image.repository}:{building}"]) else ""


def publish_key(r: run.Run, image: Image, digest: str) -> str:
    """Give pushed bytes their key's tag, unless another run was first: then its bytes are the ones that count."""
    tag = key_tag(image.keyed.key)
    if first := r.registry.head(image.path, tag):
        return first
    r.registry.put_manifest(image.path, tag, r.registry.get_manifest(image.path, digest))
    return r.registry.head(image.path, tag) or digest


def _name_locally(r: run.Run, image: Image, building: str) -> None:
    name = f"{image.repository}:{building}"
    if r.engine.present([name]):
        r.engine.tag(name, image.keyed_name)
        r.engine.untag([name])


def _report(result: Batch) -> None:
    if result.baked:
        rows = [
            [i.name, i.state, i.keyed.key[:12], i.digest[:19]]
            for i in result.images.values()
            if i.state != "fresh" or len(result.images) <= MOST_ROWS
        ]
        output.screen().table("", ["service", "build", "content key", "digest"], rows)


@once
def _engine_images() -> frozenset[str] | None:
    try:
        return run.run().engine.keyed_images()
    except OnevmError:
        return None


def engine_has(name: str) -> bool:
    """Whether the local engine has an image by its name; if no engine answers, the record is believed."""
    names = _engine_images()
    return names is None or name in names


def batch_seconds() -> dict[str, float]:
    """Return the seconds of the batch by phase; empty if nothing built here was wanted."""
    wanted = selection.current()
    return dict(batch().timings.seconds) if wanted.build or wanted.push else {}
