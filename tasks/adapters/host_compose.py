"""Docker Compose on the host: what a release would be there, and bringing its services up."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from weakref import WeakKeyDictionary

from tasks.adapters import host_inputs, later, plugin_program, refusals
from tasks.adapters.process import CommandFailed
from tasks.adapters.release_folder import ReleaseFolder, archive
from tasks.adapters.transport import Transport
from tasks.core.compose import document
from tasks.core.errors import OnevmError, ToolError
from tasks.core.secret import Secret
from tasks.core.versions import OLDEST_COMPOSE, Version

CONFIG_SECONDS = 60
NO_DEPS_IS_SAFE = Version(2, 29, 3)
# What runs without being in the files that it reads is not Compose's to remove, whatever the host's environment or
# `.env` says: a plan removes it, and in an excerpt of the files most services are missing.
_KEEP_OTHERS = ("env", "COMPOSE_REMOVE_ORPHANS=false")
_guard = threading.Lock()
_versions: WeakKeyDictionary[Transport, Future[Version]] = WeakKeyDictionary()

# A release's files come as a tar on standard input; nothing is left behind, even if nobody is there any more to
# read what is said (PIPE).
_CONFIG = """set -eu; umask 077
profiles=$1 project=$2; shift 2
dir=; trap 'rm -rf "$dir"' EXIT; trap 'exit 143' TERM INT HUP PIPE
dir=$(mktemp -d)
tar -xf - -C "$dir"
cd "$dir"; set -- --project-directory "$project" "$@"
"""
# Services that a profile holds back are still the stack's: their containers are no orphans.
_SHOW = f"""
{plugin_program.function("compose")}
if [ "$profiles" = 1 ]; then compose "$@" config --services; set -- --profile "*" "$@"; fi
echo; compose "$@" config --format json
"""
_RECORDED = """set -eu; profiles=0; if grep -qs -e profiles -- "$@"; then profiles=1; fi
"""
# The project, networks, `--`, a command: nothing stands between taking the networks away and what makes them anew.
_RENEW = """set -eu; project=$1; shift
while [ "$1" != -- ]; do
  running=$(docker ps -q --filter "network=$1" --filter "label=com.docker.compose.project=$project")
  [ -z "$running" ] || docker stop $running >/dev/null
  if docker network inspect "$1" >/dev/null 2>&1; then docker network rm "$1" >/dev/null; fi
  shift
done
shift; [ $# -eq 0 ] || exec "$@"
"""
_HASHES = """for path in "$@"; do [ -f "$path" ] && sha256sum -- "$path"; done; exit 0"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """What Compose on a host makes of files.

    The host's own `.env` and `env_file`s are in it, so it is handled like a secret: never kept, never shown.

    Attributes:
        files: the files by path; None if they are those of a recorded release.
        definition: the project.
        active: the services that run.
        inputs: a text that is another whenever the host would make something else of the same files; empty if that
            cannot be told.
    """

    files: Mapping[str, bytes] | None
    definition: Mapping[str, Any] = field(repr=False)
    active: frozenset[str]
    inputs: str = ""

    def pinned(self, pins: Mapping[str, str]) -> dict[str, Any]:
        """Return the project with exact images, as Compose makes it of a release's override.

        Args:
            pins: image by service.
        """
        services = self.definition.get("services") or {}
        own = {name: {"image": pin, "pull_policy": "missing"} for name, pin in pins.items() if name in services}
        return {**self.definition, "services": {name: {**spec, **own.get(name, {})} for name, spec in services.items()}}


def resolve(
    folder: ReleaseFolder, files: Mapping[str, bytes], compose: Sequence[str], *, stamped: bool = False
) -> Resolved:
    """Return what Compose on the host makes of a release's files.

    Args:
        folder: the stack's folder on the host.
        files: the release's files by path.
        compose: which of them are the Compose files, in order.
        stamped: whether to say what Compose read besides.

    Raises:
        OnevmError: Compose refuses them; its own words are the detail.
    """
    flags = ["-p", folder.stack, *(part for name in compose for part in ("-f", name))]
    profiles = "1" if any(b"profiles" in files[name] for name in compose) else "0"
    read = host_inputs.read_there(files, compose, folder.project) if stamped else ()
    # Before Compose reads them: what changes meanwhile shall be noticed the next time.
    stamping = host_inputs.script(read) if read else ""
    command = ["sh", "-c", _CONFIG + stamping + _SHOW, "sh", profiles, str(folder.project), *flags]
    told, definition, active = _shown(folder, command, archive(files))
    inputs = host_inputs.stamps(told, read)[0] if read else ""
    return Resolved(files=dict(files), definition=definition, active=active, inputs=inputs)


def resolve_recorded(folder: ReleaseFolder, release_id: str, compose: Sequence[str]) -> Resolved:
    """Return what Compose on the host makes of the files of a release that is there, without its override.

    Raises:
        OnevmError: Compose refuses them; its own words are the detail.
    """
    flags = [part for name in compose for part in ("-f", str(folder.folder_of(release_id) / name))]
    where = ["-p", folder.stack, "--project-directory", str(folder.project)]
    _, definition, active = _shown(folder, ["sh", "-c", _RECORDED + _SHOW, "sh", *where, *flags], None)
    return Resolved(files=None, definition=definition, active=active)


def recorded(
    folder: ReleaseFolder, release: PurePosixPath, compose: Sequence[str]
) -> tuple[dict[str, Any], frozenset[str]]:
    """Return what Compose on the host makes of a release that is there, and the services that run."""
    return _shown(folder, ["sh", "-c", _RECORDED + _SHOW, "sh", *folder.compose(release, compose)[2:]], None)[1:]


def _shown(folder: ReleaseFolder, command: list[str], data: bytes | None) -> tuple[str, dict[str, Any], frozenset[str]]:
    try:
        out = folder.transport.run(command, timeout=CONFIG_SECONDS, input=data).stdout
    except CommandFailed as failed:
        raise _explained(folder, failed) from None
    told, end, out = out.rpartition(host_inputs.END)
    names, _, text = out.partition("\n{")
    found = document("{" + text)
    services: dict[str, Any] = found.get("services") or {}
    for spec in services.values():
        spec.pop("build", None)
    return told + end, found, frozenset(names.split()) or frozenset(services)


def version(transport: Transport) -> Version:
    """Return Compose's version on a host; it is asked once.

    Raises:
        ToolError: it is missing, or older than Onevm works with.
    """
    return ask_version(transport).result()


def ask_version(transport: Transport) -> Future[Version]:
    """Begin to ask a host for Compose's version, which will be needed, while something else is done."""
    with _guard:
        if transport not in _versions:
            _versions[transport] = later.begun(lambda: _version(transport))
        return _versions[transport]


def _version(transport: Transport) -> Version:
    found = transport.run(["docker", "compose", "version", "--short"], timeout=CONFIG_SECONDS, check=False)
    check_version(Version.parse(found.stdout), transport.name)
    return Version.parse(found.stdout)


def check_version(found: Version, where: str) -> None:
    """Refuse a Compose that is too old.

    Raises:
        ToolError: it is older than Onevm works with.
    """
    if found < OLDEST_COMPOSE:
        raise ToolError(
            f"Docker Compose on host {where} is {found}; Onevm needs {OLDEST_COMPOSE} or newer",
            next_step="install a newer docker-compose-plugin there (Debian 13: docker-compose)",
        )


def _explained(folder: ReleaseFolder, failed: CommandFailed) -> OnevmError:
    if refused := refusals.known(failed.stderr):
        return refused
    if "is not a docker command" in failed.stderr or "unknown shorthand flag" in failed.stderr:
        return ToolError(
            f"Docker Compose v2 is not installed on host {folder.transport.name}",
            next_step="install docker-compose-plugin there (Debian 13: docker-compose)",
        )
    next_step = "mend the Compose files, then run `doit plan`"
    if "env file" in failed.stderr or "variable" in failed.stderr:
        next_step = f"put the file or the variable on the host, below {folder.project} (`.env` is read there)"
    return OnevmError(
        f"stack {folder.stack}: Compose on host {folder.transport.name} refuses the release",
        detail=failed.stderr.strip(),
        next_step=next_step,
    )


def file_hashes(transport: Transport, paths: Sequence[str]) -> dict[str, str]:
    """Return the sha256 of files on the host by path; files that are not there are left out."""
    if not paths:
        return {}
    out = transport.run(["sh", "-c", _HASHES, "sh", *paths], timeout=CONFIG_SECONDS).stdout
    return {path: digest for digest, _, path in (line.partition("  ") for line in out.splitlines())}


def up(
    folder: ReleaseFolder,
    release: PurePosixPath,
    compose: Sequence[str],
    services: Sequence[str],
    *,
    flags: Sequence[str] = (),
    env: Mapping[str, str | Secret] | None = None,
    renewed: Sequence[str] = (),
    timeout: float,
) -> None:
    """Run `docker compose up -d` for some services of a staged release.

    Networks in `renewed` are taken away before, whose containers stop for that; Compose makes them anew.

    Raises:
        OnevmError: Compose failed or did not end in time; its own words are the detail.
    """
    arguments = [*folder.compose(release, compose)[2:], "--progress", "plain", "up", "-d", "--no-build"]
    command = [*_KEEP_OTHERS, *plugin_program.command("compose", [*arguments, *flags, *services])]
    if renewed:
        command = ["sh", "-c", _RENEW, "sh", folder.stack, *renewed, "--", *(command if services else ())]
    try:
        folder.transport.run(command, timeout=timeout, env=env, survive=True)
    except CommandFailed as failed:
        if refused := refusals.known(failed.stderr):
            raise refused from None
        what = f"{folder.stack}: `docker compose up` of {', '.join(services)} failed"
        if failed.returncode is None:
            what = f"{folder.stack}: `docker compose up` of {', '.join(services)} did not end within {timeout:g} s"
        raise OnevmError(what, detail=failed.stderr.strip(), next_step="see the containers' logs") from None
