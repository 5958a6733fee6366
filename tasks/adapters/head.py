"""HEAD over a connection that stands: written and read by hand, which takes a fifth of what an HTTP library takes.

A plan of a thousand services asks two thousand of these. The answer to HEAD ends with its head (RFC 9112, 6.3), so
there is no body to frame; whatever is out of the ordinary ends the connection, and the library makes the next one.
"""

import socket
from collections.abc import Mapping

from msgspec import Struct

# What http.client takes for a line of a head; a whole head of ours may not be longer.
LONGEST = 65536
_OK = 200
_VERSIONS = {"HTTP/1.1": True, "HTTP/1.0": False}


class Malformed(OSError):
    """The other side ended the connection, or sent what is no answer."""


class Closed(Malformed):
    """The other side had ended the connection before it answered anything."""


class Head(Struct, frozen=True, kw_only=True):
    """An answer without a body.

    Attributes:
        status: the HTTP status.
        headers: by lower-case name; of one that comes twice the values with a comma in between.
        lasting: whether the connection may be used for another request.
    """

    status: int
    headers: Mapping[str, str]
    lasting: bool


def written(host: str, target: str, headers: Mapping[str, str]) -> bytes | None:
    """Return a request as it is sent; None if something in it needs more care than this takes.

    Args:
        host: for the header of that name.
        target: path and query.
        headers: the other headers.
    """
    lines = [f"HEAD {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    text = "\r\n".join(lines)
    whole = text.isascii() and text.count("\n") == text.count("\r") == len(lines) - 1 and lines[0].count(" ") == 2  # noqa: PLR2004
    return f"{text}\r\n\r\n".encode("ascii") if whole else None


def asked(connected: socket.socket, request: bytes) -> Head:
    """Send a request, and read the head of its answer.

    Raises:
        TimeoutError: nothing came for as long as the socket waits.
        OSError: the connection failed, or what came is no answer.
    """
    connected.sendall(request)
    data = b""
    while True:
        head, data = _next_head(connected, data)
        status, keeps = _status(head[0])
        if status >= _OK:
            break
        # An interim answer; the real one follows (RFC 9110, 15.2).
    headers: dict[str, str] = {}
    for line in head[1:]:
        name, colon, value = line.partition(":")
        if not colon or name != name.strip():
            raise Malformed(f"a line that is no header: {line[:80]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    lasting = keeps and not data and headers.get("connection", "keep-alive").lower() == "keep-alive"
    return Head(status=status, headers=headers, lasting=lasting)


def _next_head(connected: socket.socket, data: bytes) -> tuple[list[str], bytes]:
    """Read up to the end of a head; returns its lines, and what came after it."""
    while True:
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            return data[:end].decode("latin-1").split("\r\n"), data[end + 4 :]
        if len(data) > LONGEST:
            raise Malformed("a head without an end")
        more = connected.recv(LONGEST)
        if not more:
            raise Malformed("half an answer") if data else Closed("the connection was closed without an answer")
        data += more


def _status(line: str) -> tuple[int, bool]:
    version, _, rest = line.partition(" ")
    digits = rest[:3]
    if version not in _VERSIONS or not (digits.isascii() and digits.isdigit() and rest[3:4] in ("", " ")):
        raise Malformed(f"not HTTP: {line[:80]!r}")
    return int(digits), _VERSIONS[version]
