"""Where a container listens, against where its health check asks."""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tasks.core.lint import healthtest
from tasks.core.lint.rule import Fault
from tasks.core.lint.subject import Service

_LISTEN = "0A"  # Linux include/net/tcp_states.h: TCP_LISTEN
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(?P<port>\d+))?(?=[/\s'\"?#)]|$)"
)
_NC = re.compile(r"\bnc\b[^|;&]*?\s(?P<host>localhost|127\.0\.0\.1|::1)\s+(?P<port>\d+)")


class Listener(NamedTuple):
    """An address and a port that a container listens on."""

    address: str
    port: int


def listeners(text: str) -> frozenset[Listener]:
    """Return what /proc/net/tcp and /proc/net/tcp6 say of listening sockets, IPv4 and IPv6 lines mixed."""
    found = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) > 3 and words[3] == _LISTEN and ":" in words[1]:  # noqa: PLR2004 (proc(5))
            address, _, port = words[1].rpartition(":")
            found.add(Listener(_address(address), int(port, 16)))
    return frozenset(found)


def _address(digits: str) -> str:
    """Return an address of /proc/net: words of 32 bits in the machine's order, little-endian on x86 and Arm."""
    words = [bytes.fromhex(digits[i : i + 8])[::-1] for i in range(0, len(digits), 8)]
    return str(ipaddress.ip_address(b"".join(words)))


def faults(service: Service, found: Iterable[Listener]) -> Iterator[Fault]:
    """Yield why the health check of a container that is not healthy gets no answer.

    Args:
        service: the service.
        found: where a container of it listens.
    """
    test = healthtest.command(service)
    if not test:
        return
    text = healthtest.text(test)
    asked = _URL.search(text) or _NC.search(text)
    if not asked:
        return
    port = int(asked["port"] or ("443" if asked.groupdict().get("scheme") == "https" else "80"))
    on_port = {listener.address for listener in found if listener.port == port}
    place = service.at("healthcheck", "test")
    if not on_port:
        # What Docker's own resolver listens on is no port of the service's.
        others = sorted({listener.port for listener in found if listener.address != "127.0.0.11"})
        what = f"its health check asks port {port}, and nothing in the container listens there"
        mend = (
            f"# the container listens on {', '.join(map(str, others))}"
            if others
            else "# the container listens on no port at all"
        )
        yield service.fault("health-port-silent", place, what, mend)
    elif asked["host"] in {"localhost", "[::1]", "::1"} and not on_port & {"::", "::1"}:
        what = f"it asks localhost, which is ::1 first, and the container listens on {min(on_port)} only"
        mend = healthtest.mend_of(service, healthtest.on_ipv4)
        yield service.fault("localhost-health-check", place, what, mend, "error")
    elif asked["host"] in {"127.0.0.1", "0.0.0.0"} and not on_port & {"0.0.0.0", "127.0.0.1", "::"}:  # noqa: S104 (compared)
        what = f"its health check asks 127.0.0.1, and the container listens on {min(on_port)} only"
        yield service.fault("health-port-silent", place, what, f"# let it listen on 0.0.0.0:{port}")
