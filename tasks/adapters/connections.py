"""Kept-alive connections with the right certificates and proxies, and with an end to waiting.

On urllib3 itself: one request through `requests` takes three times as long as the registry needs to answer it, and
a plan asks thousands. It is imported when the first request is made.
"""

import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Timeout, connection, connectionpool
from urllib3.exceptions import ProtocolError, ReadTimeoutError
from urllib3.util import make_headers, parse_url

from tasks.adapters import head, trust
from tasks.adapters.deadlines import Deadlines

MOST_KEPT = 32


class _Server(NamedTuple):
    """Where requests for one server go, and whether it is a proxy that must be told the whole address."""

    pool: connectionpool.HTTPConnectionPool
    forwards: bool
    name: str


class Connections:
    """Connections to any number of servers, for use from any number of threads.

    Proxies are the environment's; loopback is asked directly, as Docker does. `~/.netrc` is not read.

    Args:
        connect: seconds to wait for a connection.
        read: seconds to wait for an answer; the head of it has to be complete by then.
    """

    def __init__(self, *, connect: float, read: float) -> None:
        self._timeout = Timeout(connect=connect, read=read)
        self._read = read
        self._deadlines = Deadlines(read)
        self._guard = threading.Lock()
        self._managers: list[PoolManager] = []
        self._servers: dict[tuple[str, str], _Server] = {}

    def close(self) -> None:
        """Close all connections."""
        with self._guard:
            for manager in self._managers:
                manager.clear()
            self._deadlines.close()

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> BaseHTTPResponse:
        """Send one request; the body of the answer is still to be read, then `release_conn` keeps the connection.

        Raises:
            urllib3.exceptions.HTTPError: no answer came.
            OnevmError: a certificate file cannot be read.
        """
        where = urlsplit(url)
        server = self._servers.get((where.scheme, where.netloc)) or self._made(url)
        return server.pool.urlopen(
            method,
            url
            if server.forwards
            else where._replace(scheme="", netloc="", fragment="", path=where.path or "/").geturl(),
            body=body,
            headers=headers,
            timeout=self._timeout,
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
        )

    def look(self, url: str, headers: Mapping[str, str]) -> head.Head | None:
        """Send a HEAD over a connection that stands; None if there is none, or it is not to be had so simply.

        Raises:
            urllib3.exceptions.HTTPError: no answer came.
        """
        where = urlsplit(url)
        server = self._servers.get((where.scheme, where.netloc))
        if server is None or server.forwards:
            return None
        target = f"{where.path or '/'}?{where.query}" if where.query else where.path or "/"
        request = head.written(server.name, target, headers)
        if request is None:
            return None
        pool = server.pool
        connected: Any = pool._get_conn()  # noqa: SLF001 - what its own `urlopen` does
        kept, began = connected, time.monotonic()
        try:
            if connected.is_closed:
                return None
            kept = None
            connected.sock.settimeout(self._read)
            with self._deadlines.on(connected.sock):
                found = head.asked(connected.sock, request)
            kept = connected if found.lasting else None
        except TimeoutError as error:
            raise ReadTimeoutError(pool, target, str(error)) from error
        except (head.Closed, ConnectionError) as error:
            # An idle connection may end just now; one that was ended for being late took its time.
            if time.monotonic() - began < self._read / 2:
                return None
            raise ProtocolError("Connection aborted.", error) from error
        except OSError as error:
            raise ProtocolError("Connection aborted.", error) from error
        finally:
            if kept is None:
                connected.close()
            pool._put_conn(kept)  # noqa: SLF001 - likewise
        return found

    def _made(self, url: str) -> _Server:
        where = urlsplit(url)
        with self._guard:
            if (where.scheme, where.netloc) not in self._servers:
                proxy = _proxy(url)
                options: dict[str, Any] = {"maxsize": MOST_KEPT}
                if where.scheme == "https":
                    options["ssl_context"] = trust.context_for(where.netloc)
                manager = _through(proxy, options) if proxy else PoolManager(**options)
                manager.pool_classes_by_scheme = _pools(self._deadlines)
                self._managers.append(manager)
                self._servers[where.scheme, where.netloc] = _Server(
                    manager.connection_from_url(url),
                    forwards=bool(proxy) and where.scheme == "http",
                    name=where.netloc.rpartition("@")[2],
                )
            return self._servers[where.scheme, where.netloc]


def _proxy(url: str) -> str:
    """The environment's proxy for a server, empty if it is to be asked directly."""
    from urllib.request import getproxies

    where = urlsplit(url)
    if trust.is_loopback(where.netloc) or not getproxies():
        return ""
    # It knows networks in no_proxy, which the standard library does not.
    from requests.utils import get_environ_proxies, select_proxy

    found = select_proxy(url, get_environ_proxies(url)) or ""
    return found if "://" in found or not found else f"http://{found}"


def _through(proxy: str, options: dict[str, Any]) -> ProxyManager:
    login = parse_url(proxy).auth
    return ProxyManager(
        proxy, proxy_headers=make_headers(proxy_basic_auth=unquote(login)) if login else None, **options
    )


def _pools(deadlines: Deadlines) -> dict[str, type[connectionpool.HTTPConnectionPool]]:
    """Return pools whose connections hang up when the head of an answer is late."""

    class Plain(connection.HTTPConnection):
        def getresponse(self) -> Any:
            with deadlines.on(self.sock):
                return super().getresponse()

    class Encrypted(connection.HTTPSConnection):
        def getresponse(self) -> Any:
            with deadlines.on(self.sock):
                return super().getresponse()

    class PlainPool(connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(connectionpool.HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}
