"""Rules on what a build leaves in an image, or takes along from its folder: caches, compilers, everything."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tasks.core.lint.rule import Fault, Place
from tasks.core.lint.shell import Step, steps
from tasks.core.lint.stages import Dockerfile
from tasks.core.lint.subject import Service, Subject

_TOOLCHAINS = re.compile(r"(?:^|/)(?:golang|rust|gcc|maven|gradle|swift|haskell|buildpack-deps|dotnet/sdk)(?::|@|$)")
_COMPILERS = frozenset(
    {"build-essential", "build-base", "gcc", "g++", "clang", "cargo", "rustc", "golang", "golang-go", "go"}
)
_PACKAGES = re.compile(r"\b(?:apt(?:-get)?|apk|dnf|yum|microdnf)\b.*\b(?:install|add)\b")
_PURGES = re.compile(r"\bapt(?:-get)?\s+.*\b(?:purge|autoremove|remove)\b|\bapk\s+del\b")
_SEEN = (".git", "node_modules", ".venv", "__pycache__", ".env", "dist", "target")
_IGNORE = ".git\n**/node_modules\n**/__pycache__\n**/.venv\n.env*\n*.md\nDockerfile\n.dockerignore"


class _Cache(Struct, frozen=True, kw_only=True):
    """A package manager's cache.

    Attributes:
        fills: a command that fills it.
        unless: what keeps such a command from it, in the command itself.
        mounts: a mount whose target has one of these in it keeps it out of the layer.
        cleans: what empties it in the same RUN.
        switch: a variable that switches it off.
        what: what is left.
        mend: what to write.
    """

    fills: str
    unless: str = r"(?!)"
    mounts: tuple[str, ...]
    cleans: str
    switch: str = ""
    what: str
    mend: str


_CACHES = (
    _Cache(
        fills=r"\bapt(?:-get)?\b.*\bupdate\b",
        mounts=("/var/lib/apt",),
        cleans=r"rm\s+-\w*r\w*\s[^\n]*/var/lib/apt",
        what="the lists of apt stay in the layer",
        mend="&& rm -rf /var/lib/apt/lists/*   # last in the same RUN",
    ),
    _Cache(
        fills=r"\bpip3?\s+(?:install|wheel)\b",
        unless="--no-cache-dir",
        mounts=(".cache",),
        cleans=r"pip3?\s+cache\s+purge|rm\s+-\w+\s[^\n]*\.cache",
        switch="PIP_NO_CACHE_DIR",
        what="pip keeps what it downloaded in ~/.cache/pip",
        mend="RUN --mount=type=cache,target=/root/.cache/pip pip install …",
    ),
    _Cache(
        fills=r"\bapk\b.*\b(?:add|update)\b",
        unless="--no-cache",
        mounts=("/var/cache/apk", "/etc/apk/cache"),
        cleans=r"/var/cache/apk",
        what="apk keeps its index in /var/cache/apk",
        mend="RUN apk add --no-cache …",
    ),
    _Cache(
        fills=r"\bnpm\s+(?:ci|clean-install|install|i)\b",
        mounts=(".npm",),
        cleans=r"npm\s+cache\s+clean|rm\s+-\w+\s[^\n]*\.npm",
        what="npm keeps what it downloaded in ~/.npm",
        mend="RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev",
    ),
    _Cache(
        fills=r"^yarn(?:\s+install\b|\s*$|\s+-)",
        mounts=("yarn",),
        cleans=r"yarn\s+cache\s+clean",
        what="yarn keeps what it downloaded in its cache",
        mend="RUN yarn install --production --frozen-lockfile && yarn cache clean",
    ),
)


def leftovers(subject: Subject) -> Iterator[Fault]:
    """Yield what the images of a stack need not carry."""
    for service in subject.built():
        yield from _ignore_file(service)
        if dockerfile := service.dockerfile:
            found = steps(dockerfile.runtime(), dockerfile)
            for step in found:
                yield from _caches(service, step)
                yield from _installed(service, step)
            yield from _toolchain(service, dockerfile)


def _caches(service: Service, step: Step) -> Iterator[Fault]:
    for cache in _CACHES:
        fills = [c for c in step.commands if re.search(cache.fills, c) and not re.search(cache.unless, c)]
        off = (
            step.env.get(cache.switch, "0").lower() not in {"0", "", "false", "no", "off"}
            or f"{cache.switch}=1" in step.text
        )
        if fills and not step.mounted(*cache.mounts) and not re.search(cache.cleans, step.text):
            if cache.switch and off:
                continue
            yield service.fault("package-cache", step.place, cache.what, cache.mend)


def _installed(service: Service, step: Step) -> Iterator[Fault]:
    words = [word for command in step.commands if _PACKAGES.search(command) for word in command.split()]
    wanted = dict.fromkeys(word for word in words if word.partition("=")[0] in _COMPILERS)
    if wanted and not _PURGES.search(step.text):
        mend = "# compile in a stage of its own, and COPY --from what came of it"
        yield service.fault("build-tools", step.place, f"it installs {', '.join(wanted)} into the image", mend)


def _toolchain(service: Service, dockerfile: Dockerfile) -> Iterator[Fault]:
    runtime = dockerfile.runtime()
    if not runtime or not _TOOLCHAINS.search(runtime[0].base):
        return
    base = runtime[0].base
    mend = f"FROM {base} AS build\n…\nFROM debian:stable-slim\nCOPY --from=build …"
    if "golang" in base:
        mend = f"FROM {base} AS build\nRUN CGO_ENABLED=0 go build -o /app .\nFROM scratch\nCOPY --from=build /app /"
    place = Place(dockerfile.file, dockerfile.first + runtime[0].line)
    yield service.fault("build-tools", place, f"the image is made from {base}, with the whole toolchain", mend)


def _ignore_file(service: Service) -> Iterator[Fault]:
    build = service.service.build
    if build is None or build.is_remote:
        return
    context = Path(build.context)
    own = build.dockerfile.with_name(f"{build.dockerfile.name}.dockerignore") if build.dockerfile else None
    if not context.is_dir() or (context / ".dockerignore").exists() or (own and own.exists()):
        return
    there = [name for name in _SEEN if (context / name).exists()]
    what = "the build context has no .dockerignore" + (f", and {', '.join(there)} in it" if there else "")
    yield service.fault("no-dockerignore", service.at("build", "context"), what, _IGNORE)
