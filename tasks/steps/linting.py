"""`doit check`: the rules that need no image, asked of one stack, and what other linters say beside them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from tasks.adapters import buildx, linters, yaml_tree
from tasks.adapters import compose as compose_adapter
from tasks.core import compose, rollout
from tasks.core.build import BuildDefinition
from tasks.core.errors import OnevmError
from tasks.core.lint import bounds, caddyfile, rules, stages, tree
from tasks.core.lint.places import Places
from tasks.core.lint.rule import Fault, Place
from tasks.core.lint.stages import Dockerfile
from tasks.core.lint.subject import Subject
from tasks.core.model import Stack
from tasks.core.values import replace
from tasks.steps import candidate
from tasks.steps.run import Run

READ_SECONDS = 20
_DAEMON_JSON = (
    'cat /etc/docker/daemon.json "${XDG_CONFIG_HOME:-$HOME/.config}/docker/daemon.json" 2>/dev/null | head -c 65536'
)
_NOT_SET = re.compile(r'^The \\?"(\w+)\\?" variable is not set')
_IN_FILE = re.compile(r"^(?P<file>/[^:]+): (?P<what>.*)$", re.DOTALL)
# What our own rules say already, with the service's name and the mend.
_OURS = frozenset({"DL3006", "DL3007", "DL3009", "DL3019", "DL3042", "DL3060", "DL3064", "SecretsUsedInArgOrEnv"})
# hadolint knows no named contexts, and takes them for stages that are missing.
_UNKNOWN_CONTEXT = "hadolint:DL3022"


class Linted(Struct, frozen=True, kw_only=True):
    """What was found in one stack.

    Attributes:
        subject: the stack as the rules saw it.
        warnings: what Compose warns of.
    """

    subject: Subject
    warnings: tuple[str, ...]


def read(stack: Stack, active: frozenset[str], *, logs_bounded: bool = False) -> Linted:
    """Read a stack with everything that the rules need.

    Args:
        stack: the stack.
        active: the services that run.
        logs_bounded: whether the host's engine bounds the logs of containers that say nothing.

    Raises:
        OnevmError: Compose refuses the files.
    """
    definition, warnings = compose_adapter.read_whole(stack)
    project = compose.parse(stack, definition, active)
    places = Places(yaml_tree.read(stack), [str(stack.path / name) for name in stack.compose])
    subject = Subject(
        stack=stack,
        project=project,
        places=places,
        dockerfiles={
            name: found
            for name, service in project.services.items()
            if service.build and (found := dockerfile(service.build, places))
        },
        logs_bounded=logs_bounded,
    )
    return Linted(subject=subject, warnings=warnings)


def faults(linted: Linted) -> Iterator[Fault]:
    """Yield what the rules that need no image find, and what Compose warns of."""
    subject = linted.subject
    yield from rules.faults(subject)
    yield from _proxies(subject)
    yield from _compose(linted)


def dockerfile(build: BuildDefinition, places: Places) -> Dockerfile | None:
    """Read a service's Dockerfile; None if it stands elsewhere."""
    args = dict(build.args)
    if build.dockerfile_inline:
        found = next(places.written(build.service, "build", "dockerfile_inline"), None)
        file, node = found or (places.service(build.service).file, tree.Scalar(line=1, text=""))
        first = node.line if isinstance(node, tree.Scalar) and node.block else node.line - 1
        parsed = stages.parse(build.dockerfile_inline, args)
        return Dockerfile(file=file, stages=parsed, target=build.target, args=args, first=first)
    if build.dockerfile is None or build.is_remote:
        return None
    path = build.dockerfile
    lower = path.with_name("dockerfile")
    path = lower if path.name == "Dockerfile" and not path.exists() and lower.exists() else path
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    return Dockerfile(file=str(path), stages=stages.parse(text, args), target=build.target, args=args)


def bounds_logs(r: Run, stack: Stack) -> bool:
    """Whether the host's engine bounds logs by itself; if nobody can tell, it does not."""
    try:
        host = r.host(stack)
        done = host.transport.run(["sh", "-c", _DAEMON_JSON], timeout=READ_SECONDS, check=False)
        return bounds.logs_bounded(str(host.engine.info().get("LoggingDriver") or ""), done.stdout)
    except OnevmError:
        return False


def _proxies(subject: Subject) -> Iterator[Fault]:
    """Yield what the stack's Caddyfiles lack for start-first rollouts."""
    stack, project = subject.stack, subject.project
    able = {s.name for s in subject.services() if s.wants_start_first and not rollout.obstacle(s.service, project)}
    folder = str(stack.path / rollout.UPSTREAMS)
    mounts = [v for s in project.active().values() for v in s.definition.get("volumes") or ()]
    contents, travelling = candidate.read_files(stack)
    files = {name: contents[name] for name in travelling}
    mounted = any(volume.get("source") == folder for volume in mounts)
    for lack in caddyfile.lacks(files, frozenset(able), mounted=mounted):
        place = Place(str(stack.path / lack.file), lack.line)
        yield subject.fault(lack.rule, place, services=(), what=lack.what, mend=lack.mend)


def _compose(linted: Linted) -> Iterator[Fault]:
    subject = linted.subject
    for warning in linted.warnings:
        if unset := _NOT_SET.match(warning):
            yield from _unset(subject, unset[1])
            continue
        found = _IN_FILE.match(warning)
        file = found["file"] if found else str(subject.stack.path / subject.stack.compose[0])
        named = re.search(r"`(\w+)`", warning)
        place = subject.places.top(file, named[1] if named else "")
        yield _theirs(subject, "compose", place, found["what"] if found else warning)


def _unset(subject: Subject, name: str) -> Iterator[Fault]:
    """Yield the builds that use a variable which is not set: those of running services are on the host."""
    use = re.compile(rf"\$(?:{name}\b|\{{{name}\}})")
    for service in subject.built():
        for file, node in subject.places.written(service.name, "build"):
            for line in _lines(node, use):
                yield replace(
                    _theirs(
                        subject, "compose", Place(file, line), f"${name} is not set, and the build gets an empty text"
                    ),
                    services=(service.name,),
                )


def _lines(node: tree.Node, use: re.Pattern[str]) -> Iterator[int]:
    if isinstance(node, tree.Scalar) and use.search(node.text):
        yield node.line
    for below in (*tree.items(node), *(entry.value for entry in tree.entries(node).values())):
        yield from _lines(below, use)


def _theirs(subject: Subject, rule: str, place: Place, what: str) -> Fault:
    return Fault(rule=rule, severity="warning", place=place, stack=subject.stack.name, services=(), what=what)


def others(linted: Iterable[Linted]) -> tuple[str, list[Fault]]:
    """Return which other linters there are, in words, and what they say of the Dockerfiles."""
    version = linters.hadolint_version()
    checks = linters.can_check(buildx.check_version())
    found: list[Fault] = []
    answers = True
    seen: set[tuple[str, str | None]] = set()
    for subject in (one.subject for one in linted):
        for service in subject.built():
            build, file = service.service.build, service.dockerfile
            if build is None or file is None or build.dockerfile is None or (file.file, build.target) in seen:
                continue
            known = any(path == file.file for path, _ in seen)
            seen.add((file.file, build.target))
            remarks = [] if known or not version else list(linters.hadolint(Path(file.file), subject.stack.path))
            if checks and answers:
                said = linters.buildkit(Path(file.file), Path(build.context), build.target)
                answers = said is not None
                remarks += said or ()
            found += [
                replace(_theirs(subject, m.rule, Place(file.file, m.line), m.text), services=(service.name,))
                for m in remarks
                if m.rule.partition(":")[2] not in _OURS and not (build.contexts and m.rule == _UNKNOWN_CONTEXT)
            ]
    words = [f"hadolint {version}" if version else "no hadolint"]
    words.append(
        "BuildKit's checks"
        if checks and answers
        else "no checks of BuildKit's (they need buildx 0.16 and BuildKit 0.15)"
    )
    return ", ".join(words), found
