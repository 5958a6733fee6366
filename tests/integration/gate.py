"""A gate at which a build waits, and a wire to the registry that writes down what goes over it."""

import contextlib
import re
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.integration.shop import until


@dataclass
class Gate:
    """An HTTP server on loopback that answers a path only when it was opened: a Dockerfile's `ADD http://…` waits."""

    host: str = ""
    guard: threading.Condition = field(default_factory=threading.Condition)
    came: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)
    over: bool = False

    def line(self, path: str) -> str:
        """Return the line of a Dockerfile that waits until a path is opened."""
        return f"ADD http://{self.host}/{path} /gate-{path}\n"

    def wait_for(self, path: str) -> None:
        """Wait until a build stands at the gate."""
        until(lambda: path in self.came, f"a build stands at gate {path}")

    def open(self, *paths: str) -> None:
        """Let builds through, now and later."""
        with self.guard:
            self.opened.update(paths)
            self.guard.notify_all()

    def hold(self, path: str, connection: socket.socket) -> bool:
        """Keep a request until its path is open; False if the client went away before."""
        with self.guard:
            self.came.add(path)
            while path not in self.opened and not self.over:
                self.guard.wait(0.05)
                if select.select([connection], [], [], 0)[0]:
                    return False
            return not self.over


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        path = self.path.strip("/")
        if not self.server.gate.hold(path, self.connection):
            return
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.send_header("ETag", f'"{path}"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"open\n")

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Be silent."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    gate: Gate

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some tests are about."""


@contextlib.contextmanager
def running_gate() -> Iterator[Gate]:
    """Run a gate on a free loopback port."""
    gate = Gate()
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.gate = gate
        gate.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield gate
        finally:
            with gate.guard:
                gate.over = True
                gate.guard.notify_all()
            server.shutdown()
            thread.join(10)


_REQUEST = re.compile(rb"(?:GET|HEAD|PUT|POST|PATCH|DELETE) \S+ HTTP/1\.1\r\n")


@dataclass
class Wire:
    """A TCP wire to a registry that passes every byte on and writes down the first lines of requests."""

    backend: str
    host: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)

    def connect(self, client: socket.socket) -> None:
        """Serve one connection to its end."""
        name, _, port = self.backend.partition(":")
        with client, socket.create_connection((name, int(port)), timeout=30) as backend:
            backend.settimeout(None)
            back = threading.Thread(target=_pump, args=(backend, client, None), daemon=True)
            back.start()
            _pump(client, backend, self)
            back.join()

    def note(self, tail: bytes, data: bytes) -> bytes:
        """Write down the requests that end in new data; returns what may be the beginning of the next."""
        text = tail + data
        end = 0
        for found in _REQUEST.finditer(text):
            method, path, _ = found.group().decode().split(" ")
            self.requests.append((method, path))
            end = found.end()
        return text[max(end, len(text) - 4096) :]


def _pump(source: socket.socket, sink: socket.socket, wire: Wire | None) -> None:
    tail = b""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if wire:
                tail = wire.note(tail, data)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def running_wire(backend: str) -> Iterator[Wire]:
    """Run a wire on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        wire = Wire(backend, f"127.0.0.1:{listener.getsockname()[1]}")

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=wire.connect, args=(client,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield wire
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
