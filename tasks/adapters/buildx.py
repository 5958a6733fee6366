"""`docker buildx bake`: one call for everything that is stale.

python-on-whales would run `bake --print` first and lose the error text; this goes to the program directly.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from tasks.adapters import plugin_program, refusals, temporary
from tasks.adapters.credentials import docker_folder
from tasks.adapters.process import CommandFailed, lines, run, tail
from tasks.core.errors import OnevmError, ToolError
from tasks.core.secret import Secret
from tasks.core.solve import Solve, Step
from tasks.core.versions import OLDEST_BUILDX, Version

BAKE_SECONDS = 3600
READ_SECONDS = 30
AGAIN = "run the same command again: what is finished is not built again"


class Baked(Struct, frozen=True, kw_only=True):
    """What a bake left.

    Attributes:
        ok: whether every target was built.
        digests: digest by target, as buildx reports them; empty after a failure.
        solve: the log that was followed.
    """

    ok: bool
    digests: Mapping[str, str]
    solve: Solve


def bake(
    file: str,
    targets: Sequence[str],
    *,
    builder: str,
    env: Mapping[str, str | Secret],
    tell: Callable[[Step], None],
) -> Baked:
    """Bake the targets of a bake file, in one call.

    Args:
        file: the bake file's JSON text.
        targets: names of its targets.
        builder: name of the buildx builder.
        env: variables for buildx: DOCKER_CONFIG, values of build secrets.
        tell: called with every step.
    """
    with temporary.folder("bake") as folder:
        (folder / "bake.json").write_text(file)
        metadata = folder / "metadata.json"
        args = ["bake", "--file", str(folder / "bake.json"), "--progress", "rawjson"]
        args += ["--metadata-file", str(metadata), "--builder", builder, *targets]
        solve = Solve(targets=tuple(targets))
        quiet = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "BUILDX_EXPERIMENTAL": "0", "DOCKER_BUILDKIT": "1"}
        # From 0.20 on buildx refuses contexts outside the working directory otherwise; ours are in services.toml.
        quiet["BUILDX_BAKE_ENTITLEMENTS_FS"] = "0"
        if is_context(builder):
            # The engine of another Docker context is a builder under its name, which buildx uses in that context only.
            quiet["DOCKER_CONTEXT"] = builder
        with lines(plugin_program.command("buildx", args), timeout=BAKE_SECONDS, env={**quiet, **env}) as (
            stream,
            child,
        ):
            for step in solve.read(stream):
                tell(step)
            code = child.wait()
        digests: dict[str, str] = {}
        if code == 0 and metadata.is_file():
            for target, values in json.loads(metadata.read_text()).items():
                if isinstance(values, dict) and "containerimage.digest" in values:
                    digests[target] = values["containerimage.digest"]
        return Baked(ok=code == 0, digests=digests, solve=solve)


def is_context(builder: str) -> bool:
    """Whether a builder is the engine of a Docker context: such as a build machine over SSH."""
    meta = docker_folder() / "contexts" / "meta" / hashlib.sha256(builder.encode()).hexdigest() / "meta.json"
    return builder != "default" and meta.is_file()


def refuse_legacy() -> None:
    """Refuse the legacy builder.

    Raises:
        ToolError: the environment asks for it.
    """
    if os.environ.get("DOCKER_BUILDKIT") == "0":
        raise ToolError(
            "DOCKER_BUILDKIT=0 asks for the legacy builder, which Onevm refuses", next_step="unset DOCKER_BUILDKIT"
        )


def check_version() -> Version:
    """Return buildx's version.

    Raises:
        ToolError: buildx is missing or too old: no other builder is used instead.
    """
    refuse_legacy()
    try:
        text = run(["docker", "buildx", "version"], timeout=READ_SECONDS).stdout
    except CommandFailed as failed:
        raise ToolError(
            f"buildx is not installed; Onevm needs {OLDEST_BUILDX} or newer",
            detail=tail(failed.stderr, 3),
            next_step="install docker-buildx-plugin (Debian 13: docker-buildx), or run scripts/lab install",
        ) from None
    version = Version.parse(text)
    if version < OLDEST_BUILDX:
        msg = f"buildx {version} is too old; Onevm needs {OLDEST_BUILDX} or newer"
        raise ToolError(msg, next_step="install a newer docker-buildx-plugin")
    return version


def failure(name: str, target: str, solve: Solve) -> OnevmError:
    """Return the explained failure of one target.

    Args:
        name: `<stack>.<service>`.
        target: its name in the bake.
        solve: the log that was followed.
    """
    log = "\n".join(solve.logs.get(target, []))
    words = "\n".join(line for line in solve.words if line.strip())
    if (refused := refusals.known(words)) and target not in solve.errors:
        return refused
    error = solve.errors.get(target, "").strip()
    next_step = f"mend it, then {AGAIN}"
    if "no space left on device" in f"{log}\n{error}".lower():
        next_step = f"the builder's disk is full: `docker buildx du`, `docker buildx prune`; then {AGAIN}"
    if "failed to push" in error or error.startswith("denied") or ": denied" in error:
        return OnevmError(
            f"{name}: its image cannot be pushed: {error}",
            detail=tail(words.strip(), 6),
            next_step=f"see the registry's login and rights, then {AGAIN}",
        )
    return OnevmError(
        f"{name}: its build failed: {error or 'see below'}",
        detail=tail(f"{log}\n{words}".strip(), 25),
        next_step=next_step,
    )
