"""Kept-alive connections with the right certificates, and with an end to waiting."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tasks.adapters import trust

if TYPE_CHECKING:
    import ssl

    import requests


def new_session(limit: float) -> "requests.Session":
    """Make a session of kept-alive connections; the head of an answer has `limit` seconds to come."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import connection, connectionpool

    class Plain(connection.HTTPConnection):
        def getresponse(self) -> Any:
            with _ended_after(limit, self.sock):
                return super().getresponse()

    class Encrypted(connection.HTTPSConnection):
        def getresponse(self) -> Any:
            with _ended_after(limit, self.sock):
                return super().getresponse()

    class PlainPool(connectionpool.HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(connectionpool.HTTPSConnectionPool):
        ConnectionCls = Encrypted

    class Trusting(HTTPAdapter):
        """TLS by `trust.context_for`, one context per host."""

        contexts: "dict[str, ssl.SSLContext]"

        def build_connection_pool_key_attributes(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> Any:
            where = urlsplit(str(request.url))
            host = {"scheme": where.scheme, "host": where.hostname, "port": where.port}
            if where.scheme != "https":
                return host, {}
            if where.netloc not in self.contexts:
                self.contexts[where.netloc] = trust.context_for(where.netloc)
            return host, {"ssl_context": self.contexts[where.netloc]}

        def init_poolmanager(self, *args: Any, **more: Any) -> None:
            super().init_poolmanager(*args, **more)
            self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": EncryptedPool}

        def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
            """Leave it to the context."""

    session = requests.Session()
    # No ~/.netrc: it would replace our Authorization. Proxies and certificates are looked up here.
    session.trust_env = False
    session.headers.clear()
    adapter = Trusting(pool_maxsize=32)
    adapter.contexts = {}
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


@contextlib.contextmanager
def _ended_after(limit: float, connected: socket.socket | None) -> Iterator[None]:
    """Hang up when the head of an answer is not complete in time: a read limit never strikes on a trickle."""

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            # The plain socket's method: TLS would want to say goodbye, and the other thread is in the middle of it.
            socket.socket.shutdown(connected, socket.SHUT_RDWR) if connected else None

    timer = threading.Timer(limit, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
