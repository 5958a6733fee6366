"""The rule on packages that only development needs, as a Dockerfile installs them into an image."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from tasks.core.lint.rule import Fault, Place
from tasks.core.lint.shell import Step, short, steps
from tasks.core.lint.stages import Dockerfile, Stage
from tasks.core.lint.subject import Service, Subject

_INSTALL = re.compile(
    r"\b(?P<tool>npm|pnpm|yarn)(?:\s+(?P<verb>ci|clean-install|install|i)\b|\s*$|(?=\s+-))(?P<rest>.*)"
)
_PRODUCTION = re.compile(r"--omit[= ]dev|--production(?!=false)|--prod\b|-P\b|--only[= ]prod")
_PRUNE = re.compile(
    r"npm\s+prune\b.*(?:--omit[= ]dev|--production)"
    r"|pnpm\b.*\b(?:prune|deploy|install|i)\b.*(?:--prod|-P)\b"
    r"|yarn\b.*--production(?!=false)"
    r"|npm\s+(?:ci|install)\b.*--omit[= ]dev"
    r"|rm\s+-\w+\s+\S*node_modules"
)
_PRUNES = {
    "npm": "npm prune --omit=dev",
    "pnpm": "pnpm prune --prod",
    "yarn": "yarn install --production --ignore-scripts --prefer-offline",
}
_INSTALLS = {
    "npm": "RUN npm ci --omit=dev",
    "pnpm": "RUN pnpm install --prod --frozen-lockfile",
    "yarn": "RUN yarn install --production --frozen-lockfile",
}
_PYTHON = (
    (r"\bpip3?\s+install\b.*(?:-r\s*|--requirement[= ])\S*(?:dev|test)\S*\.txt", "RUN pip install -r requirements.txt"),
    (r"\bpip3?\s+install\b.*\[(?:[\w,-]*,)?(?:dev|tests?)(?:,[\w,-]*)?\]", "RUN pip install .   # without the extra"),
    (r"\bpoetry\s+install\b(?!.*(?:--only|--without|--no-dev))", "RUN poetry install --only main"),
    (r"\buv\s+sync\b(?!.*(?:--no-dev|--no-default-groups|--only-group))", "RUN uv sync --no-dev --locked"),
    (r"\bpipenv\s+(?:install|sync)\b.*--dev", "RUN pipenv sync"),
)


def development(subject: Subject) -> Iterator[Fault]:
    """Yield where packages for development get into images."""
    for service in subject.built():
        dockerfile = service.dockerfile
        if dockerfile is None:
            continue
        runtime = dockerfile.runtime()
        found = steps(runtime, dockerfile)
        if _has_any(service):
            yield from _node(service, found)
            yield from _copied(service, dockerfile, runtime)
        yield from _python(service, found)


def _has_any(service: Service) -> bool:
    """Whether package.json of the context names packages for development; where there is none, it may."""
    build = service.service.build
    if build is None or build.is_remote:
        return True
    try:
        package = json.loads(Path(build.context, "package.json").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return True
    return not isinstance(package, dict) or bool(package.get("devDependencies")) or "workspaces" in package


def _node(service: Service, found: Sequence[Step]) -> Iterator[Fault]:
    for step in found:
        for index, command in enumerate(step.commands):
            tool = _installs_all(command, step.env)
            # A later RUN would leave it in the layer below.
            if tool and not any(_PRUNE.search(later) for later in step.commands[index + 1 :]):
                what = f"`{short(command)}` installs devDependencies, too"
                yield service.fault("dev-dependencies", step.place, what, _INSTALLS[tool])


def _installs_all(command: str, env: Mapping[str, str]) -> str:
    """Return the tool if a command installs all packages of package.json, those for development included."""
    found = _INSTALL.search(command)
    if not found or (not found["verb"] and found["tool"] != "yarn"):
        return ""
    words = found["rest"].split()
    names = [word for word in words if not word.startswith("-")]
    if names or "-g" in words or "--global" in words or _PRODUCTION.search(command):
        return ""
    heeded = re.search(r"\bNODE_ENV=(\w+)", command)
    production = (heeded[1] if heeded else env.get("NODE_ENV")) == "production"
    omitted = env.get("NPM_CONFIG_OMIT") == "dev" or env.get("NPM_CONFIG_PRODUCTION") == "true"
    asked = "--include=dev" in command or "--production=false" in command or "--prod=false" in command
    return found["tool"] if asked or not (production or omitted) else ""


def _copied(service: Service, dockerfile: Dockerfile, runtime: Sequence[Stage]) -> Iterator[Fault]:
    """Yield each COPY that takes node_modules as the build left it."""
    for stage in runtime:
        for instruction in stage.instructions:
            source = instruction.flag("from") if instruction.word == "COPY" else ""
            lineage = dockerfile.lineage(source) if source else []
            paths = [part for part in instruction.rest.split() if not part.startswith("--")][:-1]
            if not lineage or not any(_holds_modules(path, lineage) for path in paths):
                continue
            commands = [(command, step.env) for step in steps(lineage, dockerfile) for command in step.commands]
            full = [index for index, (command, env) in enumerate(commands) if _installs_all(command, env)]
            if not full or any(_PRUNE.search(command) for command, _ in commands[full[-1] + 1 :]):
                continue
            install, env = commands[full[-1]]
            what = f"it copies node_modules from {source}, where `{short(install)}` put devDependencies, too"
            mend = f"# last in {source}, after the build:\nRUN {_PRUNES[_installs_all(install, env)]}"
            place = Place(dockerfile.file, dockerfile.first + instruction.line)
            yield service.fault("dev-dependencies", place, what, mend)


def _holds_modules(path: str, lineage: Sequence[Stage]) -> bool:
    """Whether a path is node_modules, or the whole working directory of a stage."""
    if PurePosixPath(path).name == "node_modules":
        return True
    work = PurePosixPath("/")
    for instruction in (i for stage in lineage for i in stage.instructions if i.word == "WORKDIR"):
        work /= instruction.rest.strip("\"'")
    return work != PurePosixPath("/") and work / path == work


def _python(service: Service, found: Sequence[Step]) -> Iterator[Fault]:
    for step in found:
        excluded = step.env.get("POETRY_WITHOUT") or step.env.get("POETRY_ONLY") or step.env.get("UV_NO_DEV")
        for command in step.commands:
            mend = next((mend for pattern, mend in _PYTHON if re.search(pattern, command)), "")
            if mend and not excluded:
                what = f"`{short(command)}` installs what only development needs"
                yield service.fault("dev-dependencies", step.place, what, mend)
