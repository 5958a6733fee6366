"""One bake for everything that is stale and wanted, however it was named on the command line.

The first build or push task that runs makes the batch for all of them:

    keys -> look up -> bake what nobody has (one call) -> inputs unchanged? -> name it by its key
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from msgspec import Struct, field

from tasks.adapters import buildx, context_names, later, temporary
from tasks.adapters.engine import Engine
from tasks.adapters.engine_access import check_version
from tasks.core import bake as bakefile
from tasks.core.build import BuildDefinition
from tasks.core.errors import OnevmError, UsageError
from tasks.core.images import building_tag
from tasks.core.model import Builder, Stack
from tasks.core.solve import Solve, Step
from tasks.core.spans import alone, covered
from tasks.steps import bases, early, events, run, selection, tagging, variables
from tasks.steps.images import PARALLEL_LOOKUPS, Image, keyed_images, look_up, read
from tasks.steps.once import once
from tasks.steps.settle import culprits, settle
from tasks.steps.timings import Timings, merged, since_start


class Oven(Struct, frozen=True, kw_only=True):
    """Where images are made.

    Attributes:
        engine: the engine that has them afterwards, if no registry gets them.
        host: its name.
        builder: the builder.
        env: variables that make buildx mean that engine.
    """

    engine: Engine
    host: str
    builder: Builder
    env: Mapping[str, str]


class Batch(Struct):
    """The images of a run by `<stack>.<service>`.

    Attributes:
        images: the images.
        timings: seconds by phase, and by service.
        baked: the targets of the bake.
        pushed_layers: by service, its layers that went to the registry, if the builder says so: the first digits of
            their digests as they are when unpacked.
    """

    images: dict[str, Image] = field(default_factory=dict)
    timings: Timings = field(default_factory=Timings)
    baked: tuple[str, ...] = ()
    pushed_layers: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def stale(self) -> list[Image]:
        """The images that nobody has."""
        return [image for image in self.images.values() if image.state != "fresh"]


@once
def batch() -> Batch:
    """Return the batch of this run; the first call makes it.

    Raises:
        UsageError: images are to be built on hosts, where `build` and `push` have nothing to do.
        OnevmError: nothing could be found out or built at all. A service that failed alone is in its `Image`.
    """
    if variables.text("build"):
        raise UsageError("build=on-host is for `deploy` and `plan`", next_step="leave it away")
    wanted = selection.current()
    r = run.run()
    deployed = [r.project.stacks[name] for name in wanted.scopes.get("deploy", {})]
    r.reach_early(deployed)
    r.begin(deployed)
    refuse_uncommitted(r, wanted)
    early.begin(r, wanted.scopes.get("deploy", {}))
    began = Timings(seconds={"load": round(since_start(), 3)})
    with began.phase("lock"):
        r.alone(f"doit {' '.join(sorted(wanted.verbs))}")
    result = make(r, build=wanted.build, push=wanted.push, deployed=deployed)
    result.timings = merged(began, result.timings)
    events.batch(r, result, wanted.verbs)
    return result


def refuse_uncommitted(r: run.Run, wanted: selection.Selection) -> None:
    """Keep uncommitted changes from hosts over SSH, before anything is built or pushed.

    Raises:
        OnevmError: there are such, and nobody said dirty=1.
    """
    if variables.flag("dirty"):
        return
    for name, only in wanted.scopes.get("deploy", {}).items():
        stack = r.project.stacks[name]
        if r.project.configuration.hosts[stack.host].is_local:
            continue
        sources = r.sources(stack)
        built = [n for n in r.project.compose[name].built() if only is None or n in only]
        sources.look_at(built)
        paths = {path for n in built for path in sources.glanced(n).uncommitted} | set(sources.files_uncommitted())
        if paths:
            raise OnevmError(
                f"stack {name} has uncommitted changes, and host {stack.host} is not this machine",
                detail="\n".join(sorted(paths)[:8]),
                next_step="commit them, or say dirty=1",
            )


def make(r: run.Run, *, build: frozenset[str], push: frozenset[str], deployed: Sequence[Stack] = ()) -> Batch:
    """Look up and bake what is wanted.

    Args:
        r: the run's resources.
        build: services wanted on the engine, or in the registry.
        push: services wanted in the registry.
        deployed: the stacks that are deployed afterwards.
    """
    result = Batch()
    with result.timings.phase("key"):
        result.images = keyed_images(r, build | push, push, result.timings)
    with result.timings.phase("lookup"):
        look_up(r, list(result.images.values()), result.timings)
    with result.timings.phase("key"):
        changed = read(r, result.stale)
    if changed:
        with result.timings.phase("lookup"):
            look_up(r, changed, result.timings)
    if bases.wanted():
        with result.timings.phase("refresh"):
            bases.renew(r, result.images.values())
    if result.stale:
        changing = {image.keyed.definition.stack for image in result.stale}
        early.prepare(r, [stack for stack in deployed if stack.name in changing])
        tagging.begin(r, result.images.values())
        oven = Oven(engine=r.engine, host="local", builder=r.project.configuration.builder, env={})
        with r.screen.live(), result.timings.phase("bake"):
            bake(r, result, result.stale, oven, pushed=lambda pins: early.pull(r, deployed, pins))
        if not all(image.is_there for image in result.images.values()):
            # Nobody else waits for them where there is nothing to deploy.
            wait(r.naming.values())
    return result


def bake(
    r: run.Run,
    result: Batch,
    stale: list[Image],
    oven: Oven,
    *,
    pushed: Callable[[Mapping[str, str]], None] = lambda _: None,
) -> None:
    """Bake what is stale, in one call; what became of each image is in it, and in the batch.

    Args:
        r: the run's resources.
        result: the batch.
        stale: what to bake.
        oven: where.
        pushed: told, by `<stack>.<service>`, the pins of images that a registry has from now on.
    """
    buildx.refuse_legacy()
    # One that is too old has built what nobody takes. Asking before would keep every build waiting; so with buildx.
    checked = later.begun(lambda: check_version(oven.engine.version(), oven.host))
    along = _bases(r, stale, result)
    names = bakefile.target_names([i.keyed.definition for i in (*stale, *along)])
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
        links = context_names.linked(folder, r.project.cache / "contexts", [i.keyed.inputs for i in (*stale, *along)])
        file = bakefile.bake_file(
            [_target(r, i, links) for i in stale],
            [_target(r, i, links) for i in along],
            oven.builder,
            names,
        )
        baked = buildx.bake(
            file,
            sorted(by_target),
            builder=oven.builder.name,
            env={**oven.env, **(r.login if needs_login else {}), **secrets},
            tell=tell,
        )
    checked.result()
    if not baked.ok:
        buildx.check_version()
    result.baked = tuple(sorted(by_target))
    # Before they have their last name. If another run is first with one of them, it is pulled for nothing; in a refresh
    # that may be said of all.
    known = {t: i for t, i in by_target.items() if i.pushed and not i.bases and t in baked.digests}
    pushed({image.name: f"{image.repository}@{baked.digests[target]}" for target, image in known.items()})
    _note_times(result, by_target, baked.solve)
    blamed = culprits(baked, by_target, names)
    with ThreadPoolExecutor(PARALLEL_LOOKUPS) as pool:
        list(
            pool.map(
                lambda item: settle(r, item[1], item[0], engine=oven.engine, baked=baked, blamed=blamed),
                by_target.items(),
            )
        )
    for image in stale:
        done = image.state == "built"
        key = f"content key {image.keyed.key[: events.KEY_DIGITS]}" if done else ""
        r.screen.end(image.name, "pushed" if image.digest else image.state, ok=done, note=key)
    for target in sorted(blamed, key=[*baked.solve.errors, *by_target].index):
        if by_target[target].error:
            r.screen.error(str(by_target[target].error))
    if not known:
        pushed({image.name: image.pin for image in stale if image.state == "built" and image.digest})


def _note_times(result: Batch, images: Mapping[str, Image], solve: Solve) -> None:
    """Note how long each target was built and pushed, and how long nothing was done but pushing."""
    for target, image in images.items():
        pushed = solve.pushed.get(target, [])
        result.timings.add("bake", alone(solve.worked.get(target, []), pushed), image.name)
        if pushed:
            result.timings.add("push", covered(pushed), image.name)
        if image.pushed and target in solve.moved:
            result.pushed_layers[image.name] = frozenset(solve.moved[target])
    pushed = [span for spans in solve.pushed.values() for span in spans]
    only_pushed = alone(pushed, [span for spans in solve.worked.values() for span in spans])
    # The phase `bake` is around all of it.
    result.timings.add("push", only_pushed)
    result.timings.add("bake", -only_pushed)


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
        if read(r, [image]):
            raise OnevmError(
                f"{image.name}: inputs changed during the build",
                next_step="run the same command again, without editing meanwhile; nothing was recorded",
            )
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
        reference=f"{image.repository}:{building_tag(image.sought, r.id)}",
        repository=image.repository,
        push=image.pushed,
        args=volatile_filled(
            image.keyed.definition, {"SHA": image.revision(commit.sha), "DATE": commit.date}, os.environ
        ),
        revision=image.revision(commit.sha),
        source=sources.checkout.origin,
        created=commit.date,
        context=links.get(image.keyed.definition.context, ""),
        pins=bases.pins(image.keyed.definition, image.bases),
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
