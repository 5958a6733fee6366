"""Redirects, certificates, proxies."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.adapters.registry import RegistryClient
from tasks.adapters.retry import CouldNotAsk
from tasks.adapters.wire import Wire
from tasks.core.errors import OnevmError
from tasks.core.model import Registry
from tests.integration.registries import (
    PASSWORD,
    Front,
    Handler,
    Pushed,
    forward,
    openssl,
    running_front,
    running_registry,
    running_tunnel,
    says,
)
from tests.integration.registry.asking import Time, everything_about, settings

pytestmark = pytest.mark.engine


def test_a_redirect_to_another_server_does_not_carry_the_login(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)

    def to_storage(handler: Handler) -> None:
        if "/blobs/" in handler.path and handler.headers.get("Authorization"):
            handler.answer(307, {"Location": f"http://{storage.host}{handler.path}?signature=s3cr3t"}, b"")
        else:
            forward(handler)

    def to_the_blob(handler: Handler) -> None:
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "config": {"Labels": {}}, "rootfs": {"diff_ids": []}}
        )
        says(200, config)(handler)

    with running_front(guarded) as front, running_front() as storage:
        front.always = to_storage
        storage.always = to_the_blob
        with RegistryClient(front.host, settings(front.host)) as client:
            assert client.image_config("team/web", "1")["os"] == "linux"
        assert any(seen.authorization for seen in front.seen)
        assert [seen.authorization for seen in storage.seen] == [None]


def test_a_storage_servers_refusal_is_not_the_logins(through: RegistryClient, front: Front, image: Pushed) -> None:
    with running_front() as storage:
        storage.always = says(403, "<Code>AccessDenied</Code>", "application/xml")

        def to_storage(handler: Handler) -> None:
            target = f"http://{storage.host}/blob?signature=s3cr3t"
            (says(307, "", Location=target) if "/blobs/" in handler.path else forward)(handler)

        front.always = to_storage
        with pytest.raises(CouldNotAsk, match="after a redirect") as caught:
            through.labels("team/web", image.digest)
    assert "s3cr3t" not in everything_about(caught)


def test_a_redirect_into_plain_http_elsewhere_is_not_followed(through: RegistryClient, front: Front) -> None:
    front.always = says(307, "", Location="http://192.0.2.1/blob?signature=s3cr3t")
    with pytest.raises(OnevmError, match=r"will not ask 192\.0\.2\.1 over plain HTTP") as caught:
        through.get_manifest("team/web", "1")
    assert "s3cr3t" not in everything_about(caught)


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("http://127.0.0.1:5000/v2/", True),
        ("http://127.9.9.9/v2/", True),
        ("http://localhost:5000/v2/", True),
        ("http://[::1]:5000/v2/", True),
        ("http://10.0.0.7:5000/v2/", True),
        ("http://10.0.0.7:5001/token", True),
        ("http://10.0.0.8:5000/v2/", False),
        ("http://registry.example.com/v2/", False),
        ("http://localhost.example.com/v2/", False),
        ("http://127.0.0.1.example.com/v2/", False),
        ("http://127.0.0.1@example.com/v2/", False),
        ("ftp://127.0.0.1/v2/", False),
        ("https://registry.example.com/v2/", True),
    ],
)
def test_plain_http_is_for_loopback_and_where_it_was_allowed(url: str, may: bool) -> None:
    assert Wire(insecure_host="10.0.0.7:5000").may_ask(url) is may


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private CA, and a certificate by it for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("ca")
    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(
        *new, "-subj", "/CN=Private CA", "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.crt",
        "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    openssl(
        *new, "-subj", "/CN=registry", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/crt.pem",
        "-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:registry.invalid",
        "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory, authority: Path) -> Iterator[str]:
    tls = f"  tls: {{certificate: {authority}/crt.pem, key: {authority}/key.pem}}\n"
    with running_registry(tmp_path_factory.mktemp("tls"), tls=tls) as host:
        yield host


def test_an_untrusted_certificate_is_explained_and_not_asked_again(encrypted: str, clock: Time) -> None:
    with (
        RegistryClient(encrypted, patience=clock.patience()) as client,
        pytest.raises(OnevmError, match="is not trusted") as caught,
    ):
        client.head("team/web", "1")
    assert f"/etc/docker/certs.d/{encrypted}/ca.crt" in str(caught.value)
    assert clock.pauses == []


@pytest.mark.parametrize("how", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "certs.d"])
def test_a_private_ca_is_trusted_where_docker_or_the_environment_names_it(
    encrypted: str, authority: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "certs.d":
        folder = Path.home() / ".docker/certs.d" / encrypted
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_bytes((authority / "ca.crt").read_bytes())
    else:
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(how, str(authority / "ca.crt"))
    with RegistryClient(encrypted) as client:
        assert client.head("team/web", "1") is None


def test_loopback_is_asked_directly_and_netrc_is_not_read(
    through: RegistryClient, front: Front, image: Pushed, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    Path.home().mkdir(exist_ok=True)
    netrc = Path.home() / ".netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    assert through.head("team/web", "1") == image.digest
    assert front.seen[0].authorization is None


def behind_a_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_plain_registry_is_asked_through_the_environments_proxy(
    front: Front, image: Pushed, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    behind_a_proxy(monkeypatch, f"{scheme}someone:s%20cret@{front.host}")
    given: list[str | None] = []

    def proxy(handler: Handler) -> None:
        given.append(handler.headers.get("Proxy-Authorization"))
        handler.path = handler.path.removeprefix("http://registry.invalid:5000")
        forward(handler)

    front.always = proxy
    with RegistryClient("registry.invalid:5000", Registry(url="registry.invalid:5000/team", insecure=True)) as client:
        assert client.head("team/web", "1") == image.digest
    assert front.seen[0].path == "http://registry.invalid:5000/v2/team/web/manifests/1"
    assert given == ["Basic " + base64.b64encode(b"someone:s cret").decode()]


def test_no_proxy_is_used_where_the_environment_says_so(
    front: Front, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind_a_proxy(monkeypatch, f"http://{front.host}")
    monkeypatch.setenv("no_proxy", ".invalid")
    insecure = Registry(url="registry.invalid:5000/team", insecure=True)
    with (
        RegistryClient("registry.invalid:5000", insecure, patience=clock.patience()) as client,
        pytest.raises(CouldNotAsk),
    ):
        client.head("team/web", "1")
    assert front.seen == []


def test_an_encrypted_registry_is_asked_through_a_tunnel_and_its_certificate_is_checked(
    encrypted: str, authority: Path, monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    with running_tunnel(encrypted) as tunnel:
        behind_a_proxy(monkeypatch, f"http://{tunnel.host}")
        monkeypatch.setenv("https_proxy", f"http://{tunnel.host}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.crt"))
        with RegistryClient("registry.invalid", patience=clock.patience()) as client:
            assert client.head("team/web", "1") is None
        assert tunnel.asked == ["CONNECT registry.invalid:443"]
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        with (
            RegistryClient("registry.invalid", patience=clock.patience()) as client,
            pytest.raises(OnevmError, match="is not trusted"),
        ):
            client.head("team/web", "1")
