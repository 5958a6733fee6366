"""Load from outside: wrk, one for each kind of request, and what all of them counted."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

LONGEST_SECONDS = 3600
TIMEOUT_SECONDS = 20
# Each connection rests as long between its requests: the machine has other things to do than to be asked.
REST = "function delay() return {rest} end\n"
KINDS: Mapping[str, tuple[str, int, str]] = {
    "GET, kept": ("/version", 12, REST.format(rest=10)),
    "GET, new": ("/version", 3, REST.format(rest=20) + 'wrk.headers["Connection"] = "close"\n'),
    "POST, kept": ("/order", 4, REST.format(rest=10) + 'wrk.method = "POST"\nwrk.body = "{product: 1}"\n'),
    "GET, 2 s": ("/slow", 4, ""),
}
_REQUESTS = re.compile(r"(\d+) requests in ")
_SOCKET = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_STATUS = re.compile(r"Non-2xx or 3xx responses: (\d+)")


@dataclass(kw_only=True)
class Count:
    """What one wrk counted: requests, answers other than 2xx and 3xx, and errors of its sockets (resets, timeouts)."""

    requests: int = 0
    refused: int = 0
    broken: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(
            requests=self.requests + other.requests,
            refused=self.refused + other.refused,
            broken=self.broken + other.broken,
        )

    @property
    def failed(self) -> int:
        """How many requests failed in one way or the other."""
        return self.refused + self.broken


@dataclass(kw_only=True)
class Load:
    """The counts by kind of request; filled when the load has ended."""

    counts: dict[str, Count] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def total(self) -> Count:
        """The sum over all kinds."""
        return sum(self.counts.values(), Count())


def counted(said: str) -> Count:
    """Return what a wrk says it counted.

    Raises:
        ValueError: it says nothing of the kind.
    """
    requests = _REQUESTS.search(said)
    if not requests:
        msg = f"wrk counted nothing: {said}"
        raise ValueError(msg)
    status, sockets = _STATUS.search(said), _SOCKET.search(said)
    return Count(
        requests=int(requests[1]),
        refused=int(status[1]) if status else 0,
        broken=sum(map(int, sockets.groups())) if sockets else 0,
    )


@contextmanager
def load(address: str, folder: Path) -> Iterator[Load]:
    """Put load on `host:port` until the end of the block; the counts are there after it."""
    found, running = Load(), {}
    began = time.monotonic()
    for number, (kind, (path, connections, script)) in enumerate(KINDS.items()):
        file = folder / f"kind{number}.lua"
        file.write_text(script or "-- as it is\n", encoding="ascii")
        words = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", str(LONGEST_SECONDS)]
        words += ["--timeout", str(TIMEOUT_SECONDS), "--script", str(file), f"http://{address}{path}"]
        running[kind] = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield found
    finally:
        found.seconds = time.monotonic() - began
        for child in running.values():
            child.send_signal(signal.SIGINT)
        for kind, child in running.items():
            found.counts[kind] = counted(child.communicate(timeout=TIMEOUT_SECONDS * 2)[0])
