"""Hooks: a stack's own commands on its host around a deploy, with the release's values in their environment.

`docker compose …` in a hook means the new release: its files, its project folder, its images.
"""

import shlex
from collections.abc import Mapping

from tasks.adapters.process import CommandFailed, tail
from tasks.adapters.release_folder import ReleaseFolder
from tasks.core.errors import OnevmError
from tasks.core.release import Release

HOOK_SECONDS = 900

_WRAPPED = """cd "$1" || exit 1
docker() {{ if [ "${{1:-}}" = compose ]; then shift; command {compose} "$@"; else command docker "$@"; fi; }}
{hook}
"""


def run(folder: ReleaseFolder, name: str, hook: str | None, release: Release, more: Mapping[str, str]) -> str:
    """Run one hook, if there is one; returns the last lines of its output.

    Args:
        folder: the stack's folder on the host.
        name: `before_deploy`, `after_deploy` or `on_failure`.
        hook: its shell command.
        release: the release that is on its way, or has arrived.
        more: more variables.

    Raises:
        OnevmError: it failed, or did not end within its time limit.
    """
    if not hook:
        return ""
    compose = shlex.join(folder.compose(folder.folder_of(release.id), tuple(release.compose)))
    variables = {
        "ONEVM_STACK": release.stack,
        "ONEVM_RELEASE": release.id,
        "ONEVM_SHA": release.sha,
        "ONEVM_PREVIOUS": release.previous or "",
        "ONEVM_KIND": release.kind,
        "ONEVM_PERFORMER": release.performer,
        "ONEVM_COMPOSE": compose,
        **more,
    }
    script = _WRAPPED.format(compose=compose, hook=hook)
    try:
        done = folder.transport.run(
            ["sh", "-c", script, "sh", str(folder.project)], timeout=HOOK_SECONDS, env=variables, survive=True
        )
    except CommandFailed as failed:
        ending = f"exit {failed.returncode}" if failed.returncode is not None else f"not over after {HOOK_SECONDS} s"
        raise OnevmError(
            f"{release.stack}: the hook {name} failed ({ending})",
            detail=tail(failed.stderr),
            next_step=f"mend stacks.{release.stack}.hooks.{name}: {hook}",
        ) from None
    return tail(done.stdout + done.stderr)
