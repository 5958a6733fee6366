"""What a run did, in one table at its end."""

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from tasks.core.durations import spoken
from tasks.core.errors import OnevmError
from tasks.core.measured import PHASES, Measured
from tasks.core.sizes import spoken as bytes_spoken
from tasks.steps.deployment import Deployment, Result
from tasks.steps.images import Image
from tasks.steps.output import Screen
from tasks.steps.timings import since_start

SHORTEST_SECONDS = 0.05
_VERBS = {"deploy": "deployed", "rollback": "rolled back"}


class Done(Struct, frozen=True, kw_only=True):
    """A stack that was brought where it was to go.

    Attributes:
        deployment: its way there.
        result: how it ended.
        images: the images that were looked up or made for it.
        took: seconds from the start of the command to its end; stacks are deployed side by side.
    """

    deployment: Deployment
    result: Result
    images: Mapping[str, Image]
    took: float = field(default_factory=since_start)

    @property
    def stack(self) -> str:
        """Its name."""
        return self.deployment.stack.name


def show(screen: Screen, ends: Sequence[tuple[str, Done | OnevmError]]) -> None:
    """Show what became of each stack: a single one by service, several by stack."""
    if len(ends) > 1:
        columns = ["stack", "", "release", "built", "replaced", "took"]
        screen.table("", columns, [_row(stack, end) for stack, end in ends])
    for _, end in ends:
        if isinstance(end, Done):
            _said(screen, end, alone=len(ends) == 1)


def _row(stack: str, end: Done | OnevmError) -> list[str]:
    if isinstance(end, OnevmError):
        return [stack, "failed", "", "", "", ""]
    release, changed = end.result.release, end.result.plan.services("create", "start", "recreate")
    return [
        stack,
        _VERBS[end.deployment.kind] if end.result.recorded else "nothing to do",
        release.id,
        str(sum(image.state == "built" for image in end.images.values())),
        f"{len(changed)} of {len(release.services)}",
        spoken(end.took),
    ]


def _said(screen: Screen, end: Done, *, alone: bool) -> None:
    stack, release = end.stack, end.result.release
    if alone and not end.result.recorded:
        screen.say(f"{stack}: nothing to do, release {release.id} runs")
    if alone and end.result.recorded:
        columns = ["service", "image", "container", "built from", "digest"]
        screen.table(f"{stack}: release {release.id}", columns, _services(end))
    for name, noticed in release.outage.items() if end.result.recorded else ():
        screen.say(f"{stack}: asked at {name} meanwhile: {noticed.words}")
    if alone and end.result.recorded:
        seconds = end.deployment.timings.seconds
        shown = [f"{name} {spoken(seconds[name])}" for name in PHASES if seconds.get(name, 0.0) >= SHORTEST_SECONDS]
        screen.say(f"{stack}: {spoken(end.took)}: {', '.join(shown)}")
        if release.measured:
            screen.say(f"{stack}: {', '.join(_cost(release.measured))}")


def _cost(measured: Measured) -> list[str]:
    """Return what a deploy cost besides time, as people say it."""
    words = [
        f"{verb} {bytes_spoken(size)}"
        for verb, size in (("pushed", measured.pushed_bytes), ("pulled", measured.pulled_bytes))
        if size is not None
    ]
    if known := measured.resources:
        peak, whole = bytes_spoken(known.memory_peak), bytes_spoken(known.memory)
        words.append(f"memory at most {peak} of {whole} (+{bytes_spoken(known.memory_rise)})")
        words.append(f"{bytes_spoken(known.disk_free_lowest)} of disk free")
    return words


def _services(end: Done) -> list[list[str]]:
    done = {op.service: op for op in end.result.plan.of("create", "start", "recreate")}
    rows = []
    for name, service in end.result.release.services.items():
        op = done.get(name)
        what = f"{op.verb}d" if op and op.verb != "start" else "started" if op else "untouched"
        image = end.images[name].state if name in end.images else "external" if service.external else "kept"
        digest = service.image.rpartition("@")[2][:19]
        rows.append([f"{end.stack}.{name}", image, what, service.revision[:7], digest])
    return rows
