"""HTTP through a forwarded Unix socket: asking an address as the host sees it."""

import socket
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from tasks.adapters.host import Reached


class _Connection(HTTPConnection):
    def __init__(self, path: str, host: str, port: int | None, timeout: Any) -> None:
        super().__init__(host, port, timeout=timeout)
        self._path = path

    def _new_conn(self) -> socket.socket:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if isinstance(self.timeout, (int, float)):
            found.settimeout(self.timeout)
        found.connect(self._path)
        return found


class _Pool(HTTPConnectionPool):
    def __init__(self, path: str, host: str, port: int | None) -> None:
        super().__init__(host, port)
        self._path = path

    def _new_conn(self) -> HTTPConnection:
        return _Connection(self._path, self.host, self.port, self.timeout.connect_timeout)


class _Tunnel(HTTPAdapter):
    def __init__(self, path: str) -> None:
        self._path = path
        super().__init__()

    def get_connection_with_tls_context(self, request: Any, verify: Any, proxies: Any = None, cert: Any = None) -> Any:
        del verify, proxies, cert
        url = urlsplit(request.url)
        return _Pool(self._path, url.hostname or "localhost", url.port)


def session_to(url: str, host: Reached) -> requests.Session:
    """Return an HTTP session for an address as a host sees it."""
    where = urlsplit(url)
    port = where.port or (443 if where.scheme == "https" else 80)
    return session(host.address_of(where.hostname or "127.0.0.1", port))


def session(path: str) -> requests.Session:
    """Return an HTTP session.

    Args:
        path: the local socket through which plain HTTP goes; empty for the ordinary way.
    """
    found = requests.Session()
    found.trust_env = False
    if path:
        found.mount("http://", _Tunnel(path))
    return found
