"""The Engine API over its Unix socket, for what every deploy asks, and for the names of images.

Starting the `docker` program costs more than the answer. Only what is done at once and needs no registry login;
everything else goes through the program, and so does an engine that is not behind a Unix socket.
"""

import atexit
import hashlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tasks.core.errors import OnevmError, ToolError
from tasks.core.versions import OLDEST_ENGINE

_DEFAULT = "unix:///var/run/docker.sock"
# Of the oldest engine that Onevm works with (OLDEST_ENGINE): an older one refuses each question, and says why.
API = "/v1.45"
# Connections that stand, by socket: through the connection to a VM each new one takes a round trip.
MOST_KEPT = 8
_kept: dict[str, list["_Connection"]] = {}
_guard = threading.Lock()


def endpoint(environ: Mapping[str, str]) -> str:
    """Return where the `docker` program would look for its engine: DOCKER_HOST, its context, or the default."""
    if environ.get("DOCKER_HOST"):
        return environ["DOCKER_HOST"]
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/")) / ".docker")
    try:
        name = environ.get("DOCKER_CONTEXT") or json.loads((folder / "config.json").read_text()).get("currentContext")
        if not name or name == "default":
            return _DEFAULT
        meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
        return str(json.loads(meta.read_text())["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, AttributeError):
        return _DEFAULT


class _Connection(http.client.HTTPConnection):
    def __init__(self, where: str, timeout: float) -> None:
        super().__init__("docker", timeout=timeout)
        self.where = where

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.where.removeprefix("unix://"))

    def within(self, seconds: float) -> None:
        """Let the next answer take so long."""
        self.timeout = seconds
        if self.sock:
            self.sock.settimeout(seconds)


def ask(where: str, method: str, path: str, query: Mapping[str, Any] | None = None, *, timeout: float) -> bytes | None:
    """Return the body of the answer to a request without one; None if there is no such thing (404).

    Args:
        where: the engine, `unix:///…`.
        method: of HTTP.
        path: below the API's version, for example `/containers/json`.
        query: parameters; values that are no strings are sent as JSON.
        timeout: seconds.

    Raises:
        ToolError: no engine answers, or its socket may not be opened.
        OnevmError: the engine answers with another error.
    """
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (query or {}).items()}
    status, body = _asked(where, method, f"{API}{path}?{urlencode(text)}", timeout)
    if status == http.client.NOT_FOUND:
        return None
    if status >= http.client.BAD_REQUEST:
        words = body.decode(errors="replace").strip()
        if "client version" in words and "too new" in words:
            found = json.loads(_asked(where, "GET", "/version", timeout)[1])["Version"]
            raise ToolError(
                f"the Docker engine at {where} is {found}; Onevm needs {OLDEST_ENGINE} or newer",
                next_step="upgrade Docker there",
            )
        raise OnevmError(f"the Docker engine refuses {method} {path}: {status}", detail=words)
    return body


def _asked(where: str, method: str, path: str, timeout: float) -> tuple[int, bytes]:
    try:
        if (stands := _standing(where)) is not None:
            try:
                return _exchanged(stands, method, path, timeout)
            except ConnectionError:
                # It was ended since it was last used, as by an engine that was restarted: so were the others.
                forget(where)
        return _exchanged(_Connection(where, timeout), method, path, timeout)
    except PermissionError:
        raise ToolError(
            f"this user may not use the Docker socket {where}",
            next_step="add the user to the group `docker` (then log in again), or use a rootless engine",
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise ToolError(
            f"no Docker engine answers at {where}",
            detail=str(error),
            next_step="start Docker, or run scripts/lab engine; see DOCKER_HOST and `docker context ls`",
        ) from None


def _standing(where: str) -> "_Connection | None":
    with _guard:
        kept = _kept.get(where)
        return kept.pop() if kept else None


def _exchanged(connection: "_Connection", method: str, path: str, timeout: float) -> tuple[int, bytes]:
    """Send a request and read its answer; the connection is kept if it can be used again."""
    lasts = False
    try:
        connection.within(timeout)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        lasts = not answer.will_close
    finally:
        if lasts:
            _keep(connection)
        else:
            connection.close()
    return answer.status, body


def _keep(connection: "_Connection") -> None:
    with _guard:
        kept = _kept.setdefault(connection.where, [])
        if len(kept) < MOST_KEPT:
            kept.append(connection)
            return
    connection.close()


def connect_ahead(where: str, number: int, timeout: float) -> None:
    """Begin so many connections that will be needed: through one to a VM, whoever asks first does not wait for his.

    Nothing is said if that fails: whoever uses one makes it anew.
    """
    for _ in range(number):
        connection = _Connection(where, timeout)
        try:
            connection.connect()
        except OSError:
            connection.close()
            return
        _keep(connection)


def forget(where: str) -> None:
    """End the connections that stand to an engine."""
    with _guard:
        kept = _kept.pop(where, [])
    for connection in kept:
        connection.close()


@atexit.register
def close() -> None:
    """End all connections that stand."""
    for where in list(_kept):
        forget(where)


def here() -> str:
    """Return the engine of this process's environment."""
    return endpoint(os.environ)
