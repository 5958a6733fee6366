"""An HTTP service in one call: routes, /healthz, a version, and a stop that finishes what was begun."""

import json
import os
import re
import select
import signal
import threading
import time
import traceback
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

NAME = os.environ.get("SERVICE", "unknown")
COMMIT = os.environ.get("COMMIT_SHA", "unknown")
BUILT = os.environ.get("COMMIT_DATE", "unknown")
VERSION = {"service": NAME, "commit": COMMIT, "built": BUILT}


@dataclass
class Request:
    query: dict
    body: bytes

    def form(self):
        return dict(parse_qsl(self.body.decode()))


@dataclass
class Reply:
    body: str = ""
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    headers: dict = field(default_factory=dict)


def json_reply(value, status=200):
    return Reply(json.dumps(value) + "\n", status, "application/json", {"Cache-Control": "no-store"})


class Server(ThreadingHTTPServer):
    daemon_threads = False  # the end of the program waits for the requests in flight
    request_queue_size = 128


class Handler(BaseHTTPRequestHandler):
    # HTTP/1.0, one request on a connection: when the service stops, no idle connection is left to wait for.
    server_version, sys_version = NAME, ""
    timeout = 10
    routes = ()

    def answer(self):
        started = time.monotonic()
        url = urlsplit(self.path)
        request = Request(dict(parse_qsl(url.query)), self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        try:
            reply = self.find(url.path, request)
        except Exception:
            traceback.print_exc()
            reply = json_reply({"error": "the service could not answer"}, 500)
        try:
            self.send(reply)
        except ConnectionError as error:
            print(f"{self.command} {self.path}: the asker went away: {error}")
        if url.path != "/healthz":
            print(f"{self.command} {self.path} {reply.status} {1000 * (time.monotonic() - started):.0f} ms")

    do_GET = do_HEAD = do_POST = answer

    def send(self, reply):
        body = reply.body.encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.kind, "Content-Length": str(len(body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def find(self, path, request):
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, function in self.routes:
            match = re.fullmatch(pattern, path)
            if match and wanted == method:
                return function(request, *match.groups())
        return json_reply({"error": f"there is no {path} here"}, 404)

    def log_message(self, *_):
        pass


def serve(routes, *, healthy=lambda: True, port=8000):
    """Answer requests until SIGTERM or SIGINT; then take no more, finish those that came, and return."""

    def healthz(_):
        try:
            well = healthy()
        except OSError:
            well = False
        return json_reply({"ok": well}, 200 if well else 503)

    Handler.routes = (
        *routes,
        ("GET", "/healthz", healthz),
        ("GET", "/version|/api/devops/version", lambda _: json_reply(VERSION)),
    )
    server = Server(("", port), Handler)

    def stop(*_):
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"{NAME} {COMMIT} listens on port {port}")
    server.serve_forever(poll_interval=0.05)
    while select.select([server], [], [], 0)[0]:
        server.handle_request()  # connected before the stop, but not yet accepted
    server.server_close()
    print(f"{NAME} stopped")
