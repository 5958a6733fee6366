"""The way to a Docker engine.

What every deploy asks and does goes to its socket (see engine_socket), everything else through the `docker` program,
with a time limit. Both mean the engine of DOCKER_HOST or the current context, or a given socket.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from tasks.adapters import engine_socket, refusals
from tasks.adapters.engine_socket import Stream
from tasks.adapters.process import CommandFailed, Completed, run
from tasks.core.errors import OnevmError, ToolError
from tasks.core.secret import Secret
from tasks.core.versions import OLDEST_ENGINE, Version

READ_SECONDS = 30
REMOVE_SECONDS = 120
PULL_SECONDS = 1800
MOST_INSPECTED = 500
MOST_QUESTIONS = 8


class Access:
    """The way to one engine.

    Args:
        socket: `unix:///…` of the engine; None for the one that the environment names.
        explain: gets what went wrong on the way to it, and says it better, for example that the way is broken.
        guard: called before anything is changed; raises if that is no longer ours to do.
    """

    def __init__(
        self,
        socket: str | None = None,
        explain: Callable[[OnevmError], OnevmError] = lambda e: e,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self.socket = socket
        self._explain = explain
        self._guard = guard
        where = socket or engine_socket.here()
        self._socket = where if where.startswith("unix://") else ""

    def _docker(
        self,
        *args: str,
        timeout: float = READ_SECONDS,
        check: bool = True,
        env: Mapping[str, str | Secret] | None = None,
    ) -> Completed:
        where = ["-H", self.socket] if self.socket else []
        try:
            return run(["docker", *where, *args], timeout=timeout, env=env, check=check)
        except CommandFailed as failed:
            raise self._explain(explained(failed)) from None

    def _ask(
        self, method: str, path: str, query: Mapping[str, Any] | None, timeout: float = READ_SECONDS
    ) -> bytes | None:
        """Return the socket's answer; None if there is no such thing."""
        try:
            return engine_socket.ask(self._socket, method, path, query, timeout=timeout)
        except ToolError as error:
            raise self._explain(error) from None

    def _follow(
        self, method: str, path: str, query: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Stream:
        """Return the socket's answer to be: what comes of it as long as something happens."""
        return Stream(self._socket, method, path, query, headers=headers, timeout=PULL_SECONDS)

    def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        answer = self._ask("GET", path, query)
        return None if answer is None else json.loads(answer)

    def version(self) -> str:
        """Return the engine's version as it says it.

        Raises:
            ToolError: no engine answers, or its socket may not be opened.
        """
        if self._socket:
            return str(self._get("/version")["Version"])
        return self._docker("version", "--format", "{{.Server.Version}}").stdout.strip()

    def info(self) -> Mapping[str, Any]:
        """Return what `docker info` says of the engine."""
        if self._socket:
            return dict(self._get("/info"))
        return dict(json.loads(self._docker("info", "--format", "{{json .}}").stdout))

    def root(self) -> str:
        """Return the folder on the engine's machine in which its images are; empty if that is not told."""
        return str(self._get("/info")["DockerRootDir"]) if self._socket else ""


def explained(failed: CommandFailed) -> OnevmError:
    """Return a failure of the `docker` program as an error with its likely cause and the next step."""
    return refusals.known(failed.stderr) or failed


def check_version(text: str, where: str) -> None:
    """Refuse an engine that is too old.

    Args:
        text: its version.
        where: the host's name, for the message.

    Raises:
        ToolError: it is older than Onevm works with.
    """
    version = Version.parse(text)
    if version < OLDEST_ENGINE:
        raise ToolError(
            f"the Docker engine of host {where} is {text}; Onevm needs {OLDEST_ENGINE} or newer",
            next_step="upgrade Docker there",
        )
