"""Real registries for tests, a server in front of them that misbehaves on demand, and a token server."""

import base64
import contextlib
import hashlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests

USER = "ci"
PASSWORD = "hunter2-of-the-fixture"
# bcrypt of PASSWORD at cost 5
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuux4FoJ249Zerdy0ZMRPgaRyAsC2Dm86\n"

OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_registry(folder: Path, more: str = "", *, tls: str = "") -> Iterator[str]:
    """Run `docker-registry serve` on a free loopback port; gives its host. `more` is further configuration."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(HTPASSWD)
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http:\n  addr: 127.0.0.1:{port}\n  secret: of-the-fixture\n{tls}{more}"
    )
    with (folder / "log").open("wb") as log:
        # A test run that is killed takes its registries with it.
        args = ["setpriv", "--pdeathsig", "KILL", "--", "docker-registry", "serve", str(config)]
        child = subprocess.Popen(args, stdout=log, stderr=log)
    try:
        _wait_for(port, child, folder / "log")
        yield f"127.0.0.1:{port}"
    finally:
        child.terminate()
        child.wait(10)


def _wait_for(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        else:
            return


@dataclass
class Pushed:
    """A manifest that is in the registry."""

    digest: str
    content: bytes
    media_type: str


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def push_image(
    host: str,
    repository: str,
    tag: str = "",
    *,
    labels: dict[str, str] | None = None,
    media_type: str = OCI_IMAGE,
    auth: tuple[str, str] | None = None,
) -> Pushed:
    """Push an image of one tiny layer by the bare API."""
    docker = media_type == DOCKER_IMAGE
    layer = f"layer of {repository} {labels}".encode()
    config = json.dumps(
        {"architecture": "amd64", "os": "linux", "config": {"Labels": labels or {}}, "rootfs": {"diff_ids": []}}
    ).encode()
    layer_type = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    config_type = "application/vnd.docker.container.image.v1+json"
    parts = {
        "config": (config, config_type if docker else "application/vnd.oci.image.config.v1+json"),
        "layer": (layer, layer_type if docker else "application/vnd.oci.image.layer.v1.tar+gzip"),
    }
    described = {}
    for name, (content, kind) in parts.items():
        start = requests.post(f"http://{host}/v2/{repository}/blobs/uploads/", auth=auth, timeout=10)
        start.raise_for_status()
        where = start.headers["Location"]
        query = {"digest": digest_of(content)}
        requests.put(where, params=query, data=content, auth=auth, timeout=10).raise_for_status()
        described[name] = {"mediaType": kind, "digest": query["digest"], "size": len(content)}
    manifest = {"schemaVersion": 2, "mediaType": media_type, "config": described["config"]}
    return push_manifest(
        host, repository, tag, manifest | {"layers": [described["layer"]]}, media_type=media_type, auth=auth
    )


def push_manifest(
    host: str,
    repository: str,
    tag: str,
    manifest: dict[str, Any],
    *,
    media_type: str,
    auth: tuple[str, str] | None = None,
) -> Pushed:
    """Push a manifest; an empty tag pushes it by digest."""
    content = json.dumps(manifest, indent=1).encode()
    digest = digest_of(content)
    url = f"http://{host}/v2/{repository}/manifests/{tag or digest}"
    put = requests.put(url, data=content, headers={"Content-Type": media_type}, auth=auth, timeout=10)
    put.raise_for_status()
    return Pushed(digest=digest, content=content, media_type=media_type)


@dataclass(frozen=True)
class Seen:
    """A request that came to a front."""

    method: str
    path: str
    authorization: str | None
    accept: str


Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Does the next thing it was told to, else passes the request on."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self.server.front.connections += 1

    def handle_any(self) -> None:
        front = self.server.front
        self.body = self.read_body()
        seen = Seen(self.command, self.path, self.headers.get("Authorization"), self.headers.get("Accept") or "")
        with front.guard:
            front.seen.append(seen)
            behaviour = front.script.pop(0) if front.script else front.always
        (behaviour or forward)(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

    def read_body(self) -> bytes:
        """Read the request's body; engines push blobs in chunks."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Be silent."""


def forward(handler: Handler) -> None:
    """Pass the request on to the real registry."""
    status, headers, body = ask_backend(handler)
    handler.answer(status, headers, body)


def ask_backend(handler: Handler) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(handler.server.front.backend, timeout=10)
    dropped = ("connection", "transfer-encoding", "content-length")
    headers = handler.headers
    # An engine has a line for each type it accepts.
    given = {name: ", ".join(headers.get_all(name, ())) for name in set(headers) if name.lower() not in dropped}
    connection.request(handler.command, handler.path, handler.body or None, given)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    kept = {n: v for n, v in response.headers.items() if n not in ("Date", "Connection", "Server")}
    return response.status, kept, body


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    front: "Front"

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what this is about."""


@dataclass
class Front:
    """A server in front of `backend`: `script` is what the next requests get, `always` what the rest get."""

    backend: str = ""
    script: list[Behaviour] = field(default_factory=list)
    always: Behaviour | None = None
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    host: str = ""
    guard: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def running_front(backend: str = "") -> Iterator[Front]:
    """Run a front on a free loopback port."""
    front = Front(backend=backend)
    with _Server(("127.0.0.1", 0), Handler) as server:
        server.front = front
        front.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield front
        finally:
            front.over.set()
            server.shutdown()
            thread.join(10)


def says(status: int, body: str = "", kind: str = "application/json", **headers: str) -> Behaviour:
    """Answer with this."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(status, {"Content-Type": kind} | more, body.encode())


def of(client: str, method: str, part: str, behaviour: Behaviour, otherwise: Behaviour = forward) -> Behaviour:
    """Behave in one way to some client's requests of a method (`*`: any) whose path has a part, and else in another."""

    def choose(handler: Handler) -> None:
        meant = method in ("*", handler.command) and part in handler.path
        mine = handler.headers.get("User-Agent", "").startswith(client)
        (behaviour if meant and mine else otherwise)(handler)

    return choose


def error(status: int, code: str, **headers: str) -> Behaviour:
    """Answer with a registry's error."""
    return says(status, json.dumps({"errors": [{"code": code, "message": "as told"}]}), **headers)


def cut(handler: Handler) -> None:
    """Hang up without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut_in_the_body(handler: Handler) -> None:
    """Hang up in the middle of the real answer."""
    status, headers, body = ask_backend(handler)
    headers["Content-Length"] = str(len(body) if body else headers.get("Content-Length", 0))
    handler.answer(status, headers, body[: len(body) // 2])
    handler.close_connection = True


def not_http(handler: Handler) -> None:
    """Answer in another protocol."""
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    cut(handler)


def flipped(handler: Handler) -> None:
    """Give the real answer with one byte changed."""
    status, headers, body = ask_backend(handler)
    handler.answer(status, headers, body.replace(b'"layers"', b'"Layers"'))


def silent(handler: Handler) -> None:
    """Never answer."""
    handler.server.front.over.wait(60)
    handler.close_connection = True


def trickle(handler: Handler) -> None:
    """Answer one byte at a time, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Type", OCI_IMAGE)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.front.over.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def trickling_head(handler: Handler) -> None:
    """Answer with headers without an end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while not handler.server.front.over.wait(0.02):
        handler.wfile.write(b"x")
        handler.wfile.flush()


def closing(handler: Handler) -> None:
    """Give the real answer, and hang up after it without a word, as a server does with an idle connection."""
    forward(handler)
    handler.close_connection = True


@dataclass
class Tunnel:
    """A proxy that knows CONNECT only, and leads everywhere to the same place."""

    host: str
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def running_tunnel(backend: str) -> Iterator[Tunnel]:
    """Run a tunnel on a free loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tunnel = Tunnel(f"127.0.0.1:{listener.getsockname()[1]}")

        def pump(source: socket.socket, sink: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)

        def serve(client: socket.socket) -> None:
            name, _, port = backend.partition(":")
            with client, socket.create_connection((name, int(port)), timeout=10) as server:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(1)
                tunnel.asked.append(head.decode().partition(" HTTP/")[0])
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=pump, args=(server, client), daemon=True)
                back.start()
                pump(client, server)
                back.join(10)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield tunnel
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


class Issuer:
    """A token server that a real registry (`auth: token`) trusts; signs with openssl."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.key, self.certificate = folder / "token.key", folder / "token.crt"
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=issuer"),
            *("-keyout", str(self.key), "-out", str(self.certificate)),
        )
        self.asked: list[dict[str, str]] = []
        self.lifetime = 300
        self.identity_token = ""
        self.public: frozenset[str] = frozenset()

    def configuration(self, realm: str) -> str:
        return (
            f"auth: {{token: {{realm: 'http://{realm}/token', service: fixture, issuer: issuer, "
            f"rootcertbundle: {self.certificate}}}}}\n"
        )

    def __call__(self, handler: Handler) -> None:
        """Answer a token request."""
        query = {k: " ".join(v) for k, v in parse_qs(urlsplit(handler.path).query).items()}
        form = {k: " ".join(v) for k, v in parse_qs(handler.body.decode()).items()}
        self.asked.append({"method": handler.command} | query | form)
        given = handler.headers.get("Authorization") or ""
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = given == basic or (self.identity_token and form.get("refresh_token") == self.identity_token)
        if not known and (given or form):
            error(401, "UNAUTHORIZED")(handler)
            return
        scopes = [part.split(":") for part in (query | form).get("scope", "").split()]
        access = [
            {"type": kind, "name": name, "actions": actions.split(",")}
            for kind, name, actions in scopes
            if known or name in self.public
        ]
        document = {"token": self.sign(access), "expires_in": self.lifetime}
        says(200, json.dumps(document))(handler)

    def sign(self, access: list[dict[str, Any]]) -> str:
        now = int(time.time())
        der = self.certificate.read_text().replace("-----BEGIN CERTIFICATE-----", "")
        chain = "".join(der.replace("-----END CERTIFICATE-----", "").split())
        claims: dict[str, Any] = {"iss": "issuer", "sub": USER, "aud": "fixture", "access": access, "jti": "1"}
        claims |= {"exp": now + self.lifetime, "nbf": now - 10, "iat": now}
        head = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
        parts = b".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))
        signature = openssl("dgst", "-sha256", "-sign", str(self.key), data=parts)
        return (parts + b"." + _base64url(signature)).decode()


def openssl(*args: str, data: bytes | None = None) -> bytes:
    return subprocess.run(["openssl", *args], input=data, check=True, capture_output=True).stdout


def _base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
