"""One HTTP exchange: sent, redirected, and read within limits. What the answer means is for others to say."""

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from tasks.adapters import trust
from tasks.adapters.answer import Answer
from tasks.adapters.retry import Unanswered
from tasks.core.errors import OnevmError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from tasks.adapters.connections import Connections

# A manifest may have 4 MiB (distribution-spec 1.1); configs and tag lists stay far below.
SIZE_LIMIT = 8 << 20
REDIRECTS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_CHUNK = 1 << 16


class Wire:
    """Sends requests over kept-alive connections, from any number of threads.

    Args:
        insecure_host: a host that may be asked over plain HTTP on any port (its token server's too), beside loopback.
        connect: seconds to wait for a connection.
        read: seconds to wait for an answer, and for it to be complete.
    """

    def __init__(self, *, insecure_host: str = "", connect: float = 5, read: float = 20) -> None:
        self._insecure_host = urlsplit(f"//{insecure_host}").hostname or ""
        self._connect = connect
        self._read = read
        self._guard = threading.Lock()
        self._made: Connections | None = None
        self._known: dict[str, bool] = {}

    def close(self) -> None:
        """Close all connections."""
        with self._guard:
            if self._made is not None:
                self._made.close()
                self._made = None

    def load(self) -> None:
        """Load what connections are made with."""
        self._connections()

    def may_ask(self, url: str) -> bool:
        """Whether an address is safe to ask: over TLS, or plain on loopback or where it was allowed."""
        origin = _origin(url)
        if origin not in self._known:
            where = urlsplit(url)
            plain = trust.is_loopback(where.netloc) or where.hostname == self._insecure_host
            self._known[origin] = where.scheme == "https" or (where.scheme == "http" and plain)
        return self._known[origin]

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        authorization: str | None = None,
    ) -> Answer:
        """Send a request and read the answer. GET and HEAD follow redirects, without the login to other servers.

        Raises:
            Unanswered: no complete answer came.
            OnevmError: asking again cannot help: an untrusted certificate, a redirect into plain HTTP.
        """
        asked = url
        for _ in range(REDIRECTS):
            here = _origin(url) == _origin(asked)
            given = dict(headers)
            if authorization and here:
                given["Authorization"] = authorization
            if not self.may_ask(url):
                raise _plain(url)
            answer = self._once(method, url, given, body)
            target = answer.headers.get("location")
            if method not in ("GET", "HEAD") or answer.status not in _MOVED or not target:
                return Answer(status=answer.status, headers=answer.headers, body=answer.body, elsewhere=not here)
            url = urljoin(url, target)
            if not here:
                # Once away, the login is not taken out again, whoever sends us back.
                authorization = None
        raise Unanswered(f"more than {REDIRECTS} redirects")

    def _once(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

        begin = time.monotonic()
        try:
            connections = self._connections()
            if method == "HEAD" and (found := connections.look(url, headers)) is not None:
                return Answer(status=found.status, headers=found.headers, body=b"")
            response = connections.send(method, url, headers, body)
        except SSLError as error:
            raise _untrusted(url, _cause(error)) from None
        except ReadTimeoutError:
            raise Unanswered(f"no answer within {self._read:g} s") from None
        except (HTTPError, OSError) as error:
            # To urllib3 a refused connection is a kind of late one.
            if isinstance(error, ConnectTimeoutError) and not isinstance(error, NewConnectionError):
                raise Unanswered(f"no connection within {self._connect:g} s") from None
            raise self._failed(begin, error) from None
        try:
            content = self._content(response)
        except (HTTPError, OSError) as error:
            raise self._failed(begin, error) from None
        lower = {name.lower(): value for name, value in response.headers.itermerged()}
        return Answer(status=response.status, headers=lower, body=content)

    def _failed(self, begin: float, error: Exception) -> Unanswered:
        if time.monotonic() - begin >= self._read:
            return Unanswered(f"no complete answer within {self._read:g} s")
        return Unanswered(f"the connection failed: {_cause(error)}")

    def _content(self, response: "BaseHTTPResponse") -> bytes:
        """Read a body; a limit for the whole of it, since a read limit alone never strikes on a trickle."""
        end = time.monotonic() + self._read
        parts: list[bytes] = []
        size = 0
        try:
            while part := response.read1(_CHUNK, decode_content=True):
                parts.append(part)
                size += len(part)
                self._limit(size, end)
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return b"".join(parts)

    def _limit(self, size: int, end: float) -> None:
        if size > SIZE_LIMIT:
            raise Unanswered(f"the answer is longer than {SIZE_LIMIT >> 20} MiB")
        if time.monotonic() > end:
            raise Unanswered(f"the answer was not complete within {self._read:g} s")

    def _connections(self) -> "Connections":
        with self._guard:
            if self._made is None:
                # Only now: urllib3 takes a while to load.
                from tasks.adapters.connections import Connections

                self._made = Connections(connect=self._connect, read=self._read)
            return self._made


def _origin(url: str) -> str:
    where = urlsplit(url)
    return f"{where.scheme}://{where.netloc}"


def _cause(error: BaseException) -> str:
    """The innermost reason; the outer ones quote whole URLs, with tokens in them."""
    seen: BaseException = error
    while True:
        inner = next((x for x in (seen.__cause__, getattr(seen, "reason", None), *seen.args) if _is_new(x, seen)), None)
        if inner is None:
            break
        seen = inner
    text = seen.strerror if isinstance(seen, OSError) and seen.strerror else str(seen)
    return text.partition("?")[0] or type(seen).__name__


def _is_new(candidate: object, seen: BaseException) -> bool:
    return isinstance(candidate, BaseException) and candidate is not seen


def _plain(url: str) -> OnevmError:
    where = urlsplit(url)
    return OnevmError(
        f"will not ask {where.netloc} over plain HTTP ({where.scheme}://{where.netloc}{where.path})",
        next_step="serve it over TLS, or set insecure = true in [registry] of services.toml",
    )


def _untrusted(url: str, cause: str) -> OnevmError:
    host = urlsplit(url).netloc
    if "certificate" in cause.lower():
        return OnevmError(
            f"the certificate of {host} is not trusted",
            detail=cause,
            next_step=f"put its CA into /etc/docker/certs.d/{host}/ca.crt, or name the bundle in REQUESTS_CA_BUNDLE",
        )
    if "EOF" in cause or "reset" in cause:
        raise Unanswered(f"the TLS handshake with {host} was cut: {cause}")
    return OnevmError(
        f"{host} does not answer with TLS",
        detail=cause,
        next_step="if it speaks plain HTTP only, set insecure = true in [registry] of services.toml",
    )
