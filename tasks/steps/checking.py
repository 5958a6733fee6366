"""What `doit check` looks at: tools, engine, builder, registry, hosts. It only looks."""

import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from msgspec import Struct

from tasks.adapters import buildx, host_compose, whales
from tasks.adapters.engine_access import check_version
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.steps.run import Run

GIB = 1024**3


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        subject: what: `engine`, `registry`, `host prod`, `stack shop`, …
        state: `ok`, `warning` or `failed`.
        detail: what was found.
        next_step: what to do about it, if anything.
    """

    subject: str
    state: str
    detail: str
    next_step: str = ""


def findings(r: Run) -> list[Finding]:
    """Return everything that was found, in a fixed order."""
    project = r.project
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("python", lambda: _ok("python", platform.python_version())),
        ("engine", lambda: _engine("engine", None)),
        ("buildx", lambda: _ok("buildx", str(buildx.check_version()))),
        ("builder", lambda: _builder(r)),
        ("compose", lambda: _ok("compose", str(host_compose.version(r.local)))),
        ("registry", lambda: _registry(r)),
    ]
    for stack in project.stacks.values():
        looks.append((f"stack {stack.name}", lambda s=stack: _stack(r, s)))  # type: ignore[misc]
    used = {stack.host: stack for stack in project.stacks.values()}
    for name, stack in sorted(used.items()):
        if not project.configuration.hosts[name].is_local:
            looks.append((f"host {name}", lambda s=stack, n=name: _host(r, s, n)))  # type: ignore[misc]
    with ThreadPoolExecutor(len(looks)) as pool:
        return list(pool.map(lambda look: _explained(*look), looks))


def _explained(subject: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except OnevmError as error:
        detail = "\n".join(part for part in (error.what, error.detail) if part)
        return Finding(subject=subject, state="failed", detail=detail, next_step=error.next_step)


def _ok(subject: str, detail: str) -> Finding:
    return Finding(subject=subject, state="ok", detail=detail)


def _engine(subject: str, socket: str | None) -> Finding:
    facts = whales.engine_facts(socket)
    check_version(facts.version, "local" if socket is None else subject.removeprefix("host "))
    store = "containerd image store" if facts.containerd_images else f"{facts.storage_driver} image store"
    detail = f"{facts.version}, {store}, {facts.cpus} cpus, {facts.memory / GIB:.1f} GiB, logs to {facts.log_driver}"
    return _ok(subject, detail)


def _builder(r: Run) -> Finding:
    builder = r.project.configuration.builder
    facts = whales.builder_facts(builder.name)
    if facts.driver == "docker" and builder.cache in {"registry", "gha"}:
        return Finding(
            subject="builder",
            state="failed",
            detail=f"builder {facts.name} has the driver docker, which cannot keep a {builder.cache} cache",
            next_step='set [builder] cache = "inline", or name a docker-container builder',
        )
    return _ok("builder", f"{facts.name}, driver {facts.driver}, cache {builder.cache}")


def _registry(r: Run) -> Finding:
    registry = r.project.configuration.registry
    r.registry.check()
    return _ok("registry", f"{registry.url} answers{f', login {registry.username}' if registry.username else ''}")


def _stack(r: Run, stack: Stack) -> Finding:
    sources = r.sources(stack)
    commit = sources.commit
    project = r.project.compose[stack.name]
    subject = f"stack {stack.name}"
    return _ok(subject, f"commit {commit.sha[:7]}, {len(project.built())} built, {len(project.active())} running")


def _host(r: Run, stack: Stack, name: str) -> Finding:
    host = r.host(stack)
    found = _engine(f"host {name}", host.engine.socket)
    compose = host_compose.version(host.transport)
    return _ok(f"host {name}", f"{found.detail}; Compose {compose}")
