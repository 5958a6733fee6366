"""Docker Compose as a reader: the resolved project of a checkout."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tasks.adapters.host_compose import check_version
from tasks.adapters.process import CommandFailed, Completed, run
from tasks.core.compose import document, without_values
from tasks.core.errors import OnevmError, ToolError
from tasks.core.model import Stack
from tasks.core.versions import Version

CONFIG_SECONDS = 60
_CACHE_SCHEMA = 2
_ELSEWHERE = re.compile(r"\b(?:include|extends)[\"']?\s*:")
# With or without a dollar: `args: [NAME]` takes its value from the environment too.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WARNING = re.compile(r'level=warning msg="((?:\\.|[^"\\])*)"')
_COMPOSE_VARIABLES = ("COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME", "DOCKER_DEFAULT_PLATFORM")

NO_ENV_FILE = "env file"


def read_project(stack: Stack, cache: Path) -> tuple[dict[str, Any], frozenset[str]]:
    """Return what `docker compose config` says of a checkout, without runtime values, and the active services.

    The answer is kept in `cache` under everything it depends on. Projects that read further files
    (`include`, `extends`, COMPOSE_ENV_FILES) are asked anew every time.

    Raises:
        OnevmError: Compose refuses the files; its own words are the detail.
        ToolError: Docker or its Compose plugin is not installed.
    """
    kept = _cache_file(stack, cache)
    if kept and kept.is_file():
        with contextlib.suppress(ValueError, KeyError, OSError):
            found = json.loads(kept.read_text())
            return found["definition"], frozenset(found["active"])
    with ThreadPoolExecutor(3) as pool:
        version = pool.submit(run, ["docker", "compose", "version", "--short"], timeout=CONFIG_SECONDS, check=False)
        everything = pool.submit(_config, stack, "--profile", "*", "config", "--format", "json")
        services = pool.submit(_config, stack, "config", "--services")
        definition = without_values(document(everything.result()))
        active = frozenset(services.result().split())
        check_version(Version.parse(version.result().stdout), "local")
    if kept:
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            beside = kept.with_suffix(f".{os.getpid()}")
            beside.touch(mode=0o600)
            beside.write_text(json.dumps({"definition": definition, "active": sorted(active)}))
            beside.replace(kept)
    return definition, active


def read_whole(stack: Stack) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return all that `docker compose config` says of a checkout, every profile on, and what it warns of.

    Runtime values are in it, so it is handled like a secret: never kept, never shown.

    Raises:
        OnevmError: Compose refuses the files; its own words are the detail.
    """
    done = _configured(stack, "--profile", "*", "config", "--format", "json")
    warnings = dict.fromkeys(m.replace('\\"', '"') for m in _WARNING.findall(done.stderr))
    return document(done.stdout), tuple(warnings)


def _cache_file(stack: Stack, cache: Path) -> Path | None:
    if os.environ.get("COMPOSE_ENV_FILES"):
        return None
    digest = hashlib.sha256(f"{_CACHE_SCHEMA}\0{stack.name}\0{stack.path}".encode())
    names: set[str] = set(_COMPOSE_VARIABLES)
    for name in (*stack.compose, ".env"):
        try:
            text = (stack.path / name).read_text(errors="surrogateescape")
        except OSError:
            text = ""
        if _ELSEWHERE.search(text):
            return None
        names.update(_VARIABLE.findall(text))
        digest.update(f"{name}\0{len(text)}\0{text}".encode(errors="surrogateescape"))
    for name in sorted(names & os.environ.keys()):
        digest.update(f"{name}={os.environ[name]!r}\0".encode())
    return cache / "compose" / f"{digest.hexdigest()}.json"


def command(stack: Stack) -> list[str]:
    """Return the `docker compose` command for a checkout's own files."""
    files = [part for name in stack.compose for part in ("-f", str(stack.path / name))]
    return ["docker", "compose", "-p", stack.name, "--project-directory", str(stack.path), *files]


def _config(stack: Stack, *args: str) -> str:
    return _configured(stack, *args).stdout


def _configured(stack: Stack, *args: str) -> Completed:
    try:
        return run([*command(stack), *args], timeout=CONFIG_SECONDS, cwd=stack.path)
    except CommandFailed as failed:
        if NO_ENV_FILE in failed.stderr and "not found" in failed.stderr:
            with _without_env_files(stack) as override:
                return _config_with(stack, override, args)
        raise _explained(stack, failed) from None


def _config_with(stack: Stack, override: Path, args: Sequence[str]) -> Completed:
    try:
        return run([*command(stack), "-f", str(override), *args], timeout=CONFIG_SECONDS, cwd=stack.path)
    except CommandFailed as failed:
        raise _explained(stack, failed) from None


@contextlib.contextmanager
def _without_env_files(stack: Stack) -> Iterator[Path]:
    # env_file lives on the host, not in the checkout, and no build needs it.
    from ruamel.yaml import YAML

    from tasks.adapters import temporary

    lines = ["services:"]
    seen: set[str] = set()
    for name in stack.compose:
        with (stack.path / name).open(encoding="utf-8") as file:
            document = YAML(typ="rt").load(file)
        for service, spec in (document.get("services") or {}).items():
            if isinstance(spec, Mapping) and "env_file" in spec and service not in seen:
                seen.add(service)
                lines += [f"  {json.dumps(str(service))}:", "    env_file: !reset []"]
    with temporary.folder("compose") as folder:
        override = folder / "no-env-files.yaml"
        override.write_text("\n".join(lines) + "\n")
        yield override


def _explained(stack: Stack, failed: CommandFailed) -> OnevmError:
    text = failed.stderr.strip()
    if "is not a docker command" in text or "unknown shorthand flag: 'p'" in text or "unknown flag" in text:
        return ToolError(
            "Docker Compose v2 is not installed (`docker compose` is not a command)",
            next_step="install docker-compose-plugin (Debian 13: docker-compose), or run scripts/lab install",
        )
    files = ", ".join(stack.compose)
    return OnevmError(
        f"stack {stack.name}: Compose refuses {files} in {stack.path}",
        detail=text,
        next_step="mend the file, then run `doit plan`",
    )
