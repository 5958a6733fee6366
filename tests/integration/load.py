"""Requests all the time, from several clients, and what came of them."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.integration.shop import until

LONGEST_SECONDS = 15
# Method, path, and whether the connection is kept.
KINDS = [
    ("GET", "/version", True),
    ("GET", "/version", False),
    ("POST", "/cgi-bin/slow", True),
    ("POST", "/cgi-bin/slow", False),
]
CLIENTS = len(KINDS)


@dataclass
class Load:
    """What clients of `127.0.0.1:port` got: `failed` is empty if every request was answered well."""

    port: int
    over: bool = False
    answers: list[tuple[float, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    slow: int = 0
    latest: dict[threading.Thread, str] = field(default_factory=dict)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def _ask(self, connection: http.client.HTTPConnection, method: str, path: str) -> None:
        try:
            connection.request(method, path, body=b"x" if method == "POST" else None)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace").strip()
            with self.guard:
                if answer.status == http.client.OK:
                    self.answers.append((time.monotonic(), text))
                    self.latest[threading.current_thread()] = text
                    self.slow += path.startswith("/cgi-bin/")
                else:
                    self.failed.append(f"{method} {path}: {answer.status} {text[:100]}")
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            with self.guard:
                self.failed.append(f"{method} {path}: {type(error).__name__}: {error}")

    def client(self, method: str, path: str, *, keep: bool) -> None:
        """Ask until it is over."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_SECONDS)
        while not self.over:
            self._ask(connection, method, path)
            if not keep:
                connection.close()
            time.sleep(0.005)  # a client that thinks; the machine has other things to do
        connection.close()

    @property
    def versions(self) -> list[str]:
        """The different answers in the order in which they came first."""
        return list(dict.fromkeys(text for _, text in self.answers))

    def more(self) -> None:
        """Wait until there are more answers; one of them may have been asked for before."""
        now = len(self.answers)
        until(lambda: len(self.answers) > now + 20, "there are more answers")

    def served(self, text: str) -> None:
        """Wait until what every client got last is a version: the slow ones get theirs when they are done."""
        until(lambda: set(self.latest.values()) == {text}, f"every client is answered {text!r}")


@contextmanager
def running_load(port: int) -> Iterator[Load]:
    """Put load on a port: reading and writing, with kept and with new connections, and slow requests."""
    load = Load(port)
    clients = [
        threading.Thread(target=load.client, args=(method, path), kwargs={"keep": keep}) for method, path, keep in KINDS
    ]
    for client in clients:
        client.start()
    try:
        yield load
    finally:
        load.over = True
        for client in clients:
            client.join()
