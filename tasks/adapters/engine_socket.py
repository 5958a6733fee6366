"""The Engine API over its Unix socket, for what every deploy asks and does.

Starting the `docker` program costs more than the answer, and through the connection to a VM it makes another connection
and asks twice. What a deploy does not need goes through the program, and so does an engine that is not behind a Unix
socket.
"""

import atexit
import hashlib
import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from tasks.adapters.process import at_stop, go_on
from tasks.core.errors import OnevmError, ToolError
from tasks.core.versions import OLDEST_ENGINE

T = TypeVar("T")

_DEFAULT = "unix:///var/run/docker.sock"
# Of the oldest engine that Onevm works with (OLDEST_ENGINE): an older one refuses each question, and says why.
API = "/v1.45"
# Connections that stand, by socket: through the connection to a VM each new one takes a round trip.
MOST_KEPT = 8
_kept: dict[str, list["_Connection"]] = {}
_streams: set["Stream"] = set()
# A signal ends streams, and may come while the main thread holds it.
_guard = threading.RLock()


class Refused(OnevmError):
    """The engine answered with an error; its words are the detail."""


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
        Refused: the engine answers with another error.
    """
    status, body = _asked(where, method, _target(path, query), timeout)
    if status == http.client.NOT_FOUND:
        return None
    if status >= http.client.BAD_REQUEST:
        raise _refused(where, f"{method} {path}", status, body, timeout)
    return body


def _target(path: str, query: Mapping[str, Any] | None) -> str:
    text = {name: value if isinstance(value, str) else json.dumps(value) for name, value in (query or {}).items()}
    return f"{API}{path}?{urlencode(text)}"


def _refused(where: str, asked: str, status: int, body: bytes, timeout: float) -> OnevmError:
    words = body.decode(errors="replace").strip()
    if "client version" in words and "too new" in words:
        found = json.loads(_asked(where, "GET", "/version", timeout)[1])["Version"]
        return ToolError(
            f"the Docker engine at {where} is {found}; Onevm needs {OLDEST_ENGINE} or newer",
            next_step="upgrade Docker there",
        )
    with suppress(ValueError, KeyError, TypeError):
        words = str(json.loads(words)["message"])
    return Refused(f"the Docker engine refuses {asked}: {status}", detail=words)


class Stream:
    """An answer that comes line by line, as long as something happens; any thread may end it.

    Args:
        where: the engine, `unix:///…`.
        method: of HTTP.
        path: below the API's version.
        query: parameters; values that are no strings are sent as JSON.
        headers: of the request.
        timeout: seconds after which it is ended.
    """

    def __init__(
        self,
        where: str,
        method: str,
        path: str,
        query: Mapping[str, Any],
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float,
    ) -> None:
        self._where = where
        self._asked = f"{method} {path}"
        self._request = (method, _target(path, query), headers or {})
        self._timeout = timeout
        self._connection: _Connection | None = None
        self.is_over = False

    def lines(self) -> Iterator[bytes]:
        """Ask, and yield the lines of the answer until it ends or is ended.

        Raises:
            ToolError: no engine answers, or the connection broke.
            Refused: the engine answers with an error.
        """
        watchdog = threading.Timer(self._timeout, self.end)
        watchdog.daemon = True
        watchdog.start()
        with _guard:
            _streams.add(self)
        try:
            go_on()
            with _explained(self._where):
                answer = _over_one_that_stands(self._where, self._timeout, self._answer)
                if answer is None:
                    return
                if answer.status >= http.client.BAD_REQUEST:
                    raise _refused(self._where, self._asked, answer.status, answer.read(), self._timeout)
                while line := answer.readline():
                    yield line
        finally:
            watchdog.cancel()
            with _guard:
                _streams.discard(self)
            if self._connection:
                self._connection.close()

    def _answer(self, connection: "_Connection") -> http.client.HTTPResponse | None:
        """Ask over a connection, and return the answer; None if this was ended meanwhile."""
        method, target, headers = self._request
        with _guard:
            self._connection = connection
        try:
            connection.within(self._timeout)
            connection.request(method, target, headers=dict(headers))
            # Whoever ended it before there was a connection has closed none.
            return None if self.is_over else connection.getresponse()
        except ConnectionError:
            if self.is_over:
                return None
            raise

    def end(self) -> None:
        """End it: whoever reads comes to the end, as if the engine had nothing more to say."""
        with _guard:
            self.is_over = True
            held = self._connection.sock if self._connection else None
        if held:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)


def end_streams() -> None:
    """End all streams."""
    with _guard:
        streams = tuple(_streams)
    for stream in streams:
        stream.end()


at_stop(end_streams)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Explain what goes wrong on the way to an engine.

    Raises:
        ToolError: instead of the system's errors.
    """
    try:
        yield
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


def _asked(where: str, method: str, path: str, timeout: float) -> tuple[int, bytes]:
    with _explained(where):
        return _over_one_that_stands(where, timeout, lambda c: _exchanged(c, method, path, timeout))


def _over_one_that_stands(where: str, timeout: float, act: Callable[["_Connection"], T]) -> T:
    """Do something over a connection that stands, or over a new one if there is none or it has ended."""
    if (stands := _standing(where)) is not None:
        try:
            return act(stands)
        except ConnectionError:
            # It was ended since it was last used, as by an engine that was restarted: so were the others.
            forget(where)
    return act(_Connection(where, timeout))


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
