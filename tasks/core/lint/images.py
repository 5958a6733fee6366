"""Rules that only an image can answer: what is in it, who its process is, whether its health check can start."""

from collections.abc import Iterator, Mapping

from tasks.core.lint import healthtest
from tasks.core.lint.inventory import Image
from tasks.core.lint.packages import Yaml, development, installed_node, installed_python
from tasks.core.lint.rule import Fault, Place
from tasks.core.lint.subject import Service

MB = 1_000_000
LEAST_BYTES = 100_000
_GROWTH = 1.2
_GROWTH_BYTES = 20 * MB
_NAMED = 5
_CACHES = (
    ("root/.npm/_cacache", "npm", "RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev"),
    ("root/.cache/pip", "pip", "RUN --mount=type=cache,target=/root/.cache/pip pip install …"),
    ("root/.cache/uv", "uv", "RUN --mount=type=cache,target=/root/.cache/uv uv sync --no-dev --locked"),
    ("root/.cache/pypoetry", "poetry", "RUN --mount=type=cache,target=/root/.cache/pypoetry poetry install …"),
    ("root/.cache/yarn", "yarn", "RUN yarn install --production --frozen-lockfile && yarn cache clean"),
    ("usr/local/share/.cache/yarn", "yarn", "RUN yarn install --production --frozen-lockfile && yarn cache clean"),
    ("root/.cache/go-build", "go", "compile in a stage of its own, and COPY --from the program"),
    ("go/pkg/mod", "go", "compile in a stage of its own, and COPY --from the program"),
    ("root/.cargo/registry", "cargo", "compile in a stage of its own, and COPY --from the program"),
    ("root/.m2", "maven", "compile in a stage of its own, and COPY --from the program"),
    ("var/lib/apt/lists", "apt", "&& rm -rf /var/lib/apt/lists/*   # at the end of the same RUN"),
    ("var/cache/apt/archives", "apt", "&& apt-get clean   # at the end of the same RUN"),
    ("var/cache/apk", "apk", "apk add --no-cache …"),
)  # fmt: skip
# What tells a compiler, and the folders that come with it.
_COMPILERS = (
    ("gcc", ("usr/lib/gcc", "usr/libexec/gcc"), ("usr/bin/gcc", "usr/local/bin/gcc")),
    ("go", ("usr/local/go", "usr/lib/go"), ("usr/local/go/bin/go", "usr/lib/go/bin/go")),
    ("rustc", ("usr/local/rustup", "root/.rustup"), ("usr/local/cargo/bin/rustc", "root/.cargo/bin/rustc")),
    ("clang", ("usr/lib/llvm",), ("usr/bin/clang",)),
)  # fmt: skip


def place(service: Service) -> Place:
    """Return where an image comes from: the FROM of the stage that is built, or the `image:` of the Compose file."""
    dockerfile = service.dockerfile
    runtime = dockerfile.runtime() if dockerfile else []
    if dockerfile and runtime:
        return Place(dockerfile.file, dockerfile.first + runtime[-1].line)
    return service.at("build") if service.service.build else service.at("image")


def faults(
    service: Service, image: Image, locks: Mapping[str, str], yaml: Yaml, *, user: int | None = None
) -> Iterator[Fault]:
    """Yield what the image of a service shows.

    Args:
        service: the service.
        image: its image.
        locks: lock files of the build context and of the image, by path.
        yaml: reads YAML.
        user: the number of the user that a running container's first process has, if there is one: many images
            start as root and go on as another.
    """
    yield from _tool(service, image)
    yield from _root(service, image, user)
    if service.service.build is not None:
        yield from _development(service, image, locks, yaml)
        yield from _caches(service, image)
        yield from _compilers(service, image)


def _tool(service: Service, image: Image) -> Iterator[Fault]:
    test = healthtest.command(service)
    if not test or service.service.healthcheck is None or any(" " in word for word in test[1:2] if test[0] == "CMD"):
        return
    path = (service.spec.get("environment") or {}).get("PATH") or ""
    wanted = [*(["/bin/sh"] if test[0] == "CMD-SHELL" else []), *healthtest.programs(test)]
    missing = [tool for tool in wanted if image.program(tool, path) is None]
    mounted = [str(v.get("target")) for v in service.spec.get("volumes") or ()]
    missing = [
        tool for tool in missing if not any(tool.startswith(f"{target}/") or tool == target for target in mounted)
    ]
    if not missing:
        return
    there = [tool for tool in ("wget", "curl", "python3", "node", "nc") if image.program(tool, path)]
    what = f"its health check starts {missing[0]}, which the image does not have"
    mend = (
        f"# the image has {', '.join(there)}"
        if there
        else "# the image has no tool for it: let the program check itself"
    )
    if missing[0] == "/bin/sh":
        what = "its health check needs a shell, which the image does not have"
        mend = "# without a shell the program can check itself:\ntest: [CMD, /app, healthcheck]"
    yield service.fault("health-tool-missing", service.at("healthcheck", "test"), what, mend)


def _root(service: Service, image: Image, running: int | None) -> Iterator[Fault]:
    user = str(service.spec.get("user") or image.user or "root")
    if user.partition(":")[0] in {"root", "0"} and not running:
        where = service.at("user") if service.spec.get("user") else place(service)
        mend = "USER 1000:1000   # last but CMD in the Dockerfile"
        if service.service.build is None:
            mend = 'user: "1000:1000"   # or whom its documentation names'
        yield service.fault("runs-as-root", where, "its process is root", mend)


def _development(service: Service, image: Image, locks: Mapping[str, str], yaml: Yaml) -> Iterator[Fault]:
    node, python = development(locks, yaml)
    for found, mend in (
        (
            installed_node(image.inventory, node),
            "RUN npm ci --omit=dev   # or pnpm install --prod, yarn install --production",
        ),
        (
            installed_python(image.inventory, python),
            "pip install -r requirements.txt   # or poetry install --only main, uv sync --no-dev",
        ),
    ):
        if found:
            total = sum(found.values())
            largest = sorted(found, key=lambda name: (-found[name], name))
            named = ", ".join(f"{name} {megabytes(found[name])}" for name in largest[:_NAMED])
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            what = f"{megabytes(total)} of packages that only development needs: {named}{more}"
            yield service.fault("dev-dependencies", place(service), what, mend)


def _caches(service: Service, image: Image) -> Iterator[Fault]:
    home = image.env.get("HOME", "/root").strip("/")
    for folder, tool, mend in _CACHES:
        for where in dict.fromkeys((folder, folder.replace("root/", f"{home}/", 1))):
            size = image.inventory.below(where)
            if size >= LEAST_BYTES:
                what = f"{megabytes(size)} in /{where}, the cache of {tool}"
                yield service.fault("package-cache", place(service), what, mend)


def _compilers(service: Service, image: Image) -> Iterator[Fault]:
    for name, folders, programs in _COMPILERS:
        if any(image.inventory.resolved(program) for program in programs):
            size = sum(image.inventory.below(folder) for folder in folders)
            what = f"{name} is in the image" + (
                f", {megabytes(size)} with what comes along" if size >= LEAST_BYTES else ""
            )
            mend = "# compile in a stage of its own, and COPY --from what came of it"
            yield service.fault("build-tools", place(service), what, mend)


def growth(service: Service, image: Image, before: int) -> Iterator[Fault]:
    """Yield whether an image is much larger than that of the previous release.

    Args:
        service: the service.
        image: its image.
        before: bytes of the previous one; 0 if nobody knows.
    """
    if before and image.size > before * _GROWTH and image.size - before > _GROWTH_BYTES:
        what = f"it grew from {megabytes(before)} to {megabytes(image.size)}"
        largest = max(image.layers, default=None)
        mend = f"# its largest layer, {megabytes(largest.size)}: {largest.by}" if largest else ""
        yield service.fault("image-growth", place(service), what, mend)


def megabytes(size: int) -> str:
    """Return bytes as people write them, in millions."""
    return f"{size / MB:.1f} MB" if size < 10 * MB else f"{size / MB:.0f} MB"
