"""The registry client, against real registries and a front that misbehaves."""

import base64
import email.utils
import json
import os
import stat
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.adapters.registry import DeletionForbidden, NotThere, RegistryClient
from tasks.adapters.retry import CouldNotAsk, Patience
from tasks.adapters.wire import Wire
from tasks.core.errors import OnevmError
from tasks.core.manifest import Platform
from tasks.core.model import Registry
from tests.integration.registries import (
    DOCKER_IMAGE,
    DOCKER_LIST,
    OCI_IMAGE,
    OCI_INDEX,
    PASSWORD,
    USER,
    Behaviour,
    Front,
    Handler,
    Issuer,
    Pushed,
    closing,
    cut,
    cut_in_the_body,
    error,
    flipped,
    forward,
    not_http,
    openssl,
    push_image,
    push_manifest,
    running_front,
    running_registry,
    running_tunnel,
    says,
    silent,
    trickle,
    trickling_head,
)

pytestmark = pytest.mark.engine

AUTH = (USER, PASSWORD)
HTML = "<html><head><title>Sign in</title></head></html>"


@dataclass
class Time:
    """A clock that only moves when somebody sleeps."""

    now: float = 1000
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def patience(self) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now)


@pytest.fixture(autouse=True)
def _no_login_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.delenv("REGISTRY_TOKEN", raising=False)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("plain")) as host:
        yield host


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("guarded")
    more = f"auth: {{htpasswd: {{realm: fixture, path: {folder}/htpasswd}}}}\n"
    with running_registry(folder, more) as host:
        push_image(host, "team/web", "1", auth=AUTH)
        yield host


@pytest.fixture(scope="module")
def image(host: str) -> Pushed:
    return push_image(host, "team/web", "1", labels={"a": "b"})


@pytest.fixture
def client(host: str) -> Iterator[RegistryClient]:
    with RegistryClient(host) as client:
        yield client


@pytest.fixture
def front(host: str, image: Pushed) -> Iterator[Front]:
    del image
    with running_front(host) as front:
        yield front


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def through(front: Front, clock: Time) -> Iterator[RegistryClient]:
    with RegistryClient(front.host, patience=clock.patience(), read=0.4) as client:
        yield client


def settings(host: str) -> Registry:
    return Registry(url=f"{host}/team", username=USER, password_env="REGISTRY_TOKEN")


def everything_about(caught: pytest.ExceptionInfo[BaseException]) -> str:
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)


# What is there, and what is not


def test_head_gives_the_digest_of_a_tag_and_of_a_digest(client: RegistryClient, image: Pushed) -> None:
    assert client.head("team/web", "1") == image.digest
    assert client.head("team/web", image.digest) == image.digest


@pytest.mark.parametrize("reference", ["2", "sha256:" + "0" * 64])
@pytest.mark.parametrize("repository", ["team/web", "team/never-pushed"])
def test_what_was_never_pushed_is_absent(
    client: RegistryClient, image: Pushed, repository: str, reference: str
) -> None:
    del image
    assert client.head(repository, reference) is None
    with pytest.raises(NotThere, match=f"{client.host} has no {repository}"):
        client.get_manifest(repository, reference)


@pytest.mark.parametrize("media_type", [OCI_IMAGE, DOCKER_IMAGE])
def test_a_manifest_is_given_byte_for_byte(client: RegistryClient, host: str, media_type: str) -> None:
    pushed = push_image(host, "team/bytes", "1", media_type=media_type)
    manifest = client.get_manifest("team/bytes", "1")
    assert (manifest.content, manifest.media_type, manifest.digest) == (
        pushed.content,
        pushed.media_type,
        pushed.digest,
    )


def index_of(host: str, repository: str, *, media_type: str) -> Pushed:
    """An index as buildx makes it: attestations beside the platforms' images."""
    kind = OCI_IMAGE if media_type == OCI_INDEX else DOCKER_IMAGE
    attestation = push_image(host, repository, labels={"of": "attestation"}, media_type=kind)
    amd = push_image(host, repository, labels={"of": "amd64"}, media_type=kind)
    arm = push_image(host, repository, labels={"of": "arm64"}, media_type=kind)

    def entry(pushed: Pushed, os_name: str, architecture: str, **more: dict[str, str]) -> dict[str, object]:
        return {
            "mediaType": kind,
            "digest": pushed.digest,
            "size": len(pushed.content),
            "platform": {"os": os_name, "architecture": architecture},
            **more,
        }

    note = {"vnd.docker.reference.type": "attestation-manifest"}
    listed = [
        entry(attestation, "unknown", "unknown", annotations=note),
        entry(arm, "linux", "arm64"),
        entry(amd, "linux", "amd64"),
    ]
    document = {"schemaVersion": 2, "mediaType": media_type, "manifests": listed}
    return push_manifest(host, repository, "multi", document, media_type=media_type)


@pytest.mark.parametrize("media_type", [OCI_INDEX, DOCKER_LIST])
def test_an_index_gives_the_labels_of_the_platform_and_never_of_an_attestation(
    client: RegistryClient, host: str, media_type: str
) -> None:
    repository = "team/multi-" + ("oci" if media_type == OCI_INDEX else "docker")
    index = index_of(host, repository, media_type=media_type)
    assert client.head(repository, "multi") == index.digest

    def label(architecture: str) -> str:
        config = client.image_config(repository, "multi", wanted=Platform(architecture=architecture))
        return str(config["config"]["Labels"]["of"])

    assert [label("amd64"), label("arm64"), label("s390x")] == ["amd64", "arm64", "amd64"]
    assert len(client.get_manifest(repository, "multi").children) == 3


def test_labels_of_an_image(client: RegistryClient, image: Pushed) -> None:
    assert client.labels("team/web", image.digest) == {"a": "b"}


@pytest.mark.parametrize("kind", ["image", "index"])
def test_the_same_bytes_under_a_new_tag_keep_the_digest(client: RegistryClient, host: str, kind: str) -> None:
    repository = f"team/retag-{kind}"
    pushed = (
        push_image(host, repository, "multi") if kind == "image" else index_of(host, repository, media_type=OCI_INDEX)
    )
    manifest = client.get_manifest(repository, "multi")
    assert client.put_manifest(repository, "latest", manifest) == pushed.digest
    assert client.head(repository, "latest") == pushed.digest
    assert sorted(client.tags(repository)) == ["latest", "multi"]


def test_tags_of_an_unknown_repository_are_none(client: RegistryClient) -> None:
    assert client.tags("team/never-pushed") == ()


def test_tags_come_from_every_page(through: RegistryClient, front: Front) -> None:
    def page(handler: Handler) -> None:
        second = "last=b" in handler.path
        # A proxy that does not know its outer name gives links with the inner one.
        link = {} if second else {"Link": '<http://inner.invalid:1/v2/team/web/tags/list?n=2&last=b>; rel="next"'}
        names = ["c"] if second else ["a", "b"]
        handler.answer(200, {"Content-Type": "application/json"} | link, json.dumps({"tags": names}).encode())

    front.always = page
    assert through.tags("team/web") == ("a", "b", "c")


def test_pages_in_a_circle_end(through: RegistryClient, front: Front) -> None:
    front.always = says(200, '{"tags": ["a"]}', Link='</v2/team/web/tags/list?last=a>; rel="next"')
    with pytest.raises(OnevmError, match="in a circle"):
        through.tags("team/web")
    assert len(front.seen) == 2


def test_deleting_takes_the_manifest_and_every_tag_on_it(client: RegistryClient, host: str) -> None:
    pushed = push_image(host, "team/gone", "1")
    client.put_manifest("team/gone", "2", client.get_manifest("team/gone", "1"))
    assert client.delete("team/gone", pushed.digest)
    assert client.head("team/gone", "1") is None
    assert client.head("team/gone", "2") is None
    assert not client.delete("team/gone", pushed.digest)


def test_a_tag_is_not_deleted(client: RegistryClient, image: Pushed) -> None:
    with pytest.raises(ValueError, match="1"):
        client.delete("team/web", "1")
    assert client.head("team/web", "1") == image.digest


@pytest.mark.parametrize("answer", [error(405, "UNSUPPORTED"), error(400, "UNSUPPORTED"), says(405, "")])
def test_a_registry_that_allows_no_deletion_says_how_to_mend_it(
    through: RegistryClient, front: Front, image: Pushed, answer: Behaviour
) -> None:
    front.always = answer
    with pytest.raises(DeletionForbidden, match="REGISTRY_STORAGE_DELETE_ENABLED"):
        through.delete("team/web", image.digest)
    assert len(front.seen) == 1


def test_check_accepts_a_registry(client: RegistryClient) -> None:
    client.check()


@pytest.mark.parametrize("behaviour", [says(200, HTML, "text/html"), says(404, HTML, "text/html")])
def test_check_refuses_what_is_no_registry(through: RegistryClient, front: Front, behaviour: Behaviour) -> None:
    front.always = behaviour
    with pytest.raises(CouldNotAsk, match="a web page: Sign in"):
        through.check()


# Trouble is never an absence

TROUBLE: dict[str, Behaviour] = {
    "too many requests": error(429, "TOOMANYREQUESTS"),
    "internal error": error(500, "UNKNOWN"),
    "bad gateway": says(502, HTML, "text/html"),
    "unavailable": says(503),
    "gateway time-out": says(504),
    "cut": cut,
    "cut in the body": cut_in_the_body,
    "another digest": flipped,
    "web page": says(200, HTML, "text/html"),
    "web page not found": says(404, HTML, "text/html"),
    "plain not found": says(404, "404 page not found", "text/plain"),
    "not found without a body": says(404),
    "not found in somebody else's JSON": says(404, '{"error": "MANIFEST_UNKNOWN"}'),
    "not found of something else": error(404, "UNKNOWN_ROUTE"),
    "wrong content type": says(200, '{"schemaVersion": 2, "config": {}}', "application/json"),
    "half a manifest": says(200, '{"schemaVersion"', OCI_IMAGE),
    "a manifest of nothing": says(200, "{}", OCI_IMAGE),
    "empty": says(200, "", OCI_IMAGE),
    "silence": silent,
    "trickle": trickle,
    "a redirect without end": lambda handler: handler.answer(307, {"Location": handler.path}, b""),
    "not HTTP": not_http,
}


# HEAD has no body that could be wrong.
OF_BODIES = ("cut in the body", "another digest")
# The registry's own word for something else: final, asking again would not change it.
FINAL = "not found of something else"
PASSING = sorted(set(TROUBLE) - {FINAL})


@pytest.mark.parametrize(
    ("method", "name"),
    [("get_manifest", name) for name in TROUBLE] + [("head", name) for name in TROUBLE if name not in OF_BODIES],
)
def test_lasting_trouble_is_an_error_and_never_an_absence(
    through: RegistryClient, front: Front, clock: Time, method: str, name: str
) -> None:
    front.always = TROUBLE[name]
    final = name == FINAL
    with pytest.raises(OnevmError if final else CouldNotAsk) as caught:
        getattr(through, method)("team/web", "1")
    assert not isinstance(caught.value, NotThere)
    text = str(caught.value)
    assert "team/web:1" in text
    assert front.host in text
    assert "next:" in text
    if not final:
        assert clock.pauses == [0.5, 1, 2]


@pytest.mark.parametrize("name", TROUBLE)
def test_passing_trouble_is_survived_by_a_look(through: RegistryClient, front: Front, image: Pushed, name: str) -> None:
    # Twice: the first meets HEAD, the second the GET that some of it leads to.
    front.script = [TROUBLE[name]] * 2
    if name == FINAL:
        front.script = front.script[:1]
    assert through.head("team/web", "1") == image.digest


@pytest.mark.parametrize("name", PASSING)
def test_passing_trouble_is_survived_by_a_get(through: RegistryClient, front: Front, image: Pushed, name: str) -> None:
    front.script = [TROUBLE[name]] * 2
    assert through.get_manifest("team/web", "1").content == image.content


@pytest.mark.parametrize("name", [name for name in PASSING if name != "another digest"])
def test_passing_trouble_is_survived_by_a_list_of_tags(
    through: RegistryClient, front: Front, image: Pushed, name: str
) -> None:
    del image
    front.script = [TROUBLE[name]]
    found = through.tags("team/web")
    shaped = name in ("wrong content type", "a manifest of nothing")
    assert found == (() if shaped else ("1",))


def test_an_absence_needs_the_registrys_own_word(through: RegistryClient, front: Front) -> None:
    assert through.head("team/web", "nope") is None
    assert [seen.method for seen in front.seen] == ["HEAD", "GET"]


def test_one_request_is_enough_for_what_is_there(through: RegistryClient, front: Front) -> None:
    assert through.head("team/web", "1")
    assert [seen.method for seen in front.seen] == ["HEAD"]
    assert set(front.seen[0].accept.split(", ")) == {OCI_IMAGE, OCI_INDEX, DOCKER_IMAGE, DOCKER_LIST}


def test_a_registry_that_is_down_is_an_error(clock: Time) -> None:
    with running_front() as front:
        gone = front.host
    with (
        RegistryClient(gone, patience=clock.patience()) as client,
        pytest.raises(CouldNotAsk, match=r"Connection refused \(4 times\)") as caught,
    ):
        client.head("team/web", "1")
    assert "next:" in str(caught.value)


def test_a_config_that_is_not_its_digest_is_not_believed(through: RegistryClient, front: Front, image: Pushed) -> None:
    def wrong_config(handler: Handler) -> None:
        (says(200, '{"config": {"Labels": {"a": "evil"}}}') if "/blobs/" in handler.path else forward)(handler)

    front.always = wrong_config
    with pytest.raises(CouldNotAsk, match="bytes that are not sha256"):
        through.labels("team/web", image.digest)


@pytest.mark.parametrize("behaviour", [says(201, "", Docker_Content_Digest="sha256:" + "1" * 64), says(201)])
def test_another_digest_after_a_put_is_an_error(through: RegistryClient, front: Front, behaviour: Behaviour) -> None:
    manifest = through.get_manifest("team/web", "1")
    front.script = [behaviour]
    with pytest.raises(OnevmError, match="instead of sha256"):
        through.put_manifest("team/web", "never", manifest)


@pytest.mark.parametrize("name", ["cut", "unavailable", "bad gateway", "too many requests", "web page not found"])
def test_passing_trouble_is_survived_by_a_put(through: RegistryClient, front: Front, image: Pushed, name: str) -> None:
    manifest = through.get_manifest("team/web", "1")
    front.script = [TROUBLE[name]]
    tag = "put-" + name.replace(" ", "-")
    assert through.put_manifest("team/web", tag, manifest) == image.digest


def test_a_put_that_the_registry_refuses_is_explained_in_its_words(client: RegistryClient, image: Pushed) -> None:
    del image
    manifest = client.get_manifest("team/web", "1")
    with pytest.raises(OnevmError, match="MANIFEST_BLOB_UNKNOWN"):
        client.put_manifest("team/without-its-blobs", "1", manifest)


# Waiting


def test_retry_after_is_honoured(through: RegistryClient, front: Front, clock: Time, image: Pushed) -> None:
    soon = email.utils.formatdate(time.time() + 9, usegmt=True)
    front.script = [error(429, "TOOMANYREQUESTS", Retry_After="7"), error(503, "UNKNOWN", Retry_After=soon)]
    assert through.head("team/web", "1") == image.digest
    assert clock.pauses[0] == 7
    assert 5 < clock.pauses[1] <= 9


def test_a_wait_past_the_limit_is_not_begun(through: RegistryClient, front: Front, clock: Time) -> None:
    front.always = error(429, "TOOMANYREQUESTS", Retry_After="3600")
    with pytest.raises(CouldNotAsk, match="3600 s"):
        through.head("team/web", "1")
    assert clock.pauses == []


# Redirects, certificates, proxies


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


# Logins


def test_the_password_of_the_named_variable_is_used(guarded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD + "\n")
    with RegistryClient.of(settings(guarded)) as client:
        client.check()
        assert client.head("team/web", "1")
        assert client.head("team/web", "nope") is None


def test_a_missing_variable_is_named_with_exit_code_3(guarded: str) -> None:
    with RegistryClient.of(settings(guarded)) as client:
        asks: tuple[Callable[[], object], ...] = (client.check, lambda: client.head("team/web", "1"))
        for ask in asks:
            with pytest.raises(OnevmError, match=r"\$REGISTRY_TOKEN is not set") as caught:
                ask()
            assert caught.value.exit_code == 3


def test_a_refused_password_is_explained_once_and_not_shown(
    guarded: str, monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "wr0ng-p4ssword")
    with running_front(guarded) as front:
        with (
            RegistryClient(front.host, settings(front.host), patience=clock.patience()) as client,
            pytest.raises(OnevmError) as caught,
        ):
            client.head("team/web", "1")
        assert len(front.seen) == 2
    text = str(caught.value)
    assert f"{front.host} refuses the login of ci (from $REGISTRY_TOKEN)" in text
    assert "next: check registry.username" in text
    assert "wr0ng" not in everything_about(caught)
    assert base64.b64encode(b"ci:wr0ng-p4ssword").decode() not in everything_about(caught)
    assert clock.pauses == []


def test_no_login_where_one_is_wanted_says_how_to_log_in(guarded: str) -> None:
    with (
        RegistryClient(guarded) as client,
        pytest.raises(OnevmError, match="refuses anonymous access") as caught,
    ):
        client.head("team/web", "1")
    assert f"docker login {guarded}" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_no_absence_and_not_asked_again(
    through: RegistryClient, front: Front, clock: Time, status: int
) -> None:
    front.always = error(status, "DENIED")
    asks: list[Callable[[], object]] = [
        lambda: through.head("team/web", "1"),
        lambda: through.tags("team/web"),
        through.check,
    ]
    for ask in asks:
        with pytest.raises(OnevmError, match="refuses"):
            ask()
    assert clock.pauses == []


def test_a_password_that_the_server_repeats_is_masked(
    guarded: str, monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    with (
        running_front(guarded) as front,
        RegistryClient(front.host, settings(front.host), patience=clock.patience()) as client,
    ):
        assert client.head("team/web", "1")
        for status in (403, 500):
            front.always = error(status, f"no {PASSWORD} no {basic} {'x' * 350} {PASSWORD} {'x' * 1000}")
            with pytest.raises(OnevmError) as caught:
                client.get_manifest("team/web", "1")
            assert "no *** no ***" in str(caught.value)
            assert PASSWORD[:9] not in everything_about(caught)
            assert len(str(caught.value)) < 1000
            assert basic not in everything_about(caught)


def docker_config(**content: object) -> None:
    folder = Path.home() / ".docker"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(content))


def test_dockers_own_login_is_used(guarded: str) -> None:
    auth = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    docker_config(auths={f"https://{guarded}/v1/": {"auth": auth}})
    with RegistryClient(guarded) as client:
        assert client.head("team/web", "1")


@pytest.mark.parametrize("key", ["credHelpers", "credsStore"])
def test_dockers_credential_helper_is_asked(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    helper(
        tmp_path, monkeypatch, f'read host; echo "$host" >{tmp_path}/asked; echo \'{{"Username": "{USER}",'
        f' "Secret": "{PASSWORD}"}}\'',
    )  # fmt: skip
    docker_config(**{key: "fixture" if key == "credsStore" else {guarded: "fixture"}})
    with RegistryClient(guarded) as client:
        assert client.head("team/web", "1")
    assert (tmp_path / "asked").read_text() == f"{guarded}\n"


def helper(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "docker-credential-fixture"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_helper_without_this_login_leaves_it_anonymous(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(tmp_path, monkeypatch, "echo credentials not found in native keychain; exit 1")
    docker_config(credsStore="fixture")
    with RegistryClient(guarded) as client, pytest.raises(OnevmError, match="anonymous"):
        client.head("team/web", "1")


@pytest.mark.parametrize("script", [None, "echo keychain is locked >&2; exit 1", "echo nonsense"])
def test_a_helper_that_fails_is_named(
    guarded: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    if script:
        helper(tmp_path, monkeypatch, script)
    docker_config(credsStore="fixture")
    with RegistryClient(guarded) as client, pytest.raises(OnevmError, match="docker-credential-fixture") as caught:
        client.head("team/web", "1")
    assert "next:" in str(caught.value)


def test_a_registry_that_asks_for_nothing_is_given_nothing(host: str, image: Pushed) -> None:
    docker_config(credsStore="a-helper-that-is-not-installed")
    with RegistryClient(host) as client:
        assert client.head("team/web", "1") == image.digest


def test_a_broken_docker_config_is_named_without_its_content(guarded: str) -> None:
    docker_config()
    (Path.home() / ".docker/config.json").write_text('{"auths": {"x": {"auth": "c2VjcmV0" "}}')
    with RegistryClient(guarded) as client, pytest.raises(OnevmError, match=r"config\.json") as caught:
        client.head("team/web", "1")
    assert "c2VjcmV0" not in everything_about(caught)


# Tokens


@dataclass
class Tokened:
    """A registry that wants bearer tokens, and the server that gives them."""

    host: str
    issuer: Issuer
    tokens: Front


@pytest.fixture(scope="module")
def tokened_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tokened]:
    folder = tmp_path_factory.mktemp("tokened")
    issuer = Issuer(folder)
    with running_front() as tokens:
        tokens.always = issuer
        with running_registry(folder, issuer.configuration(tokens.host)) as host:
            yield Tokened(host, issuer, tokens)


@pytest.fixture
def tokened(tokened_once: Tokened) -> Tokened:
    tokened_once.issuer.asked.clear()
    tokened_once.tokens.script.clear()
    tokened_once.issuer.identity_token = ""
    tokened_once.issuer.public = frozenset()
    return tokened_once


MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []},
).encode()


def pushed_with_token(client: RegistryClient, repository: str) -> str:
    from tasks.core.manifest import Manifest, digest_of

    manifest = Manifest(content=MANIFEST, media_type=OCI_INDEX, digest=digest_of(MANIFEST))
    return client.put_manifest(repository, "1", manifest)


def test_a_token_is_fetched_per_scope_and_used_again(tokened: Tokened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with RegistryClient.of(settings(tokened.host)) as client:
        client.check()
        digest = pushed_with_token(client, "team/a")
        pushed_with_token(client, "team/b")
        for _ in range(3):
            assert client.head("team/a", "1") == digest
            assert client.head("team/b", "1") == digest
            assert client.head("team/a", "nope") is None
    scopes = [asked.get("scope", "") for asked in tokened.issuer.asked]
    assert len(scopes) == 5
    assert "repository:team/a:pull" in scopes
    assert {asked["service"] for asked in tokened.issuer.asked} == {"fixture"}


def test_an_expired_token_is_fetched_anew(tokened: Tokened, monkeypatch: pytest.MonkeyPatch, clock: Time) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with RegistryClient(tokened.host, settings(tokened.host), patience=clock.patience()) as client:
        pushed_with_token(client, "team/expiry")
        client.head("team/expiry", "1")
        before = len(tokened.issuer.asked)
        clock.now += tokened.issuer.lifetime
        client.head("team/expiry", "1")
    assert len(tokened.issuer.asked) == before + 1


def test_a_token_that_the_registry_no_longer_takes_is_fetched_anew(
    tokened: Tokened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with running_front(tokened.host) as front, RegistryClient(front.host, settings(front.host)) as client:
        pushed_with_token(client, "team/revoked")
        assert client.head("team/revoked", "1")
        challenge = (
            f'Bearer realm="http://{tokened.tokens.host}/token",service="fixture",'
            'scope="repository:team/revoked:pull",error="invalid_token"'
        )
        front.script = [error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)]
        assert client.head("team/revoked", "1")


def test_public_images_need_no_login(tokened: Tokened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with RegistryClient.of(settings(tokened.host)) as client:
        digest = pushed_with_token(client, "team/public")
    tokened.issuer.public = frozenset({"team/public"})
    with RegistryClient(tokened.host) as client:
        assert client.head("team/public", "1") == digest
        with pytest.raises(OnevmError, match="refuses anonymous access"):
            client.head("team/private", "1")
        with pytest.raises(OnevmError, match="refuses anonymous access"):
            pushed_with_token(client, "team/public2")


def test_a_password_the_token_server_refuses_is_explained(tokened: Tokened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "wr0ng-p4ssword")
    with (
        RegistryClient.of(settings(tokened.host)) as client,
        pytest.raises(OnevmError, match="refuses the login of ci") as caught,
    ):
        client.check()
    assert tokened.tokens.host in str(caught.value)
    assert "wr0ng" not in everything_about(caught)
    assert len(tokened.issuer.asked) == 1


def test_an_identity_token_is_exchanged_and_shown_to_nobody_else(tokened: Tokened) -> None:
    tokened.issuer.identity_token = "1dentity-t0ken"
    docker_config(auths={tokened.host: {"identitytoken": "1dentity-t0ken"}})
    with running_front(tokened.host) as front, RegistryClient(tokened.host) as client:
        pushed_with_token(client, "team/identity")
        assert client.head("team/identity", "1")
        assert all("1dentity" not in str(seen) for seen in front.seen)
    assert {asked["method"] for asked in tokened.issuer.asked} == {"POST"}


@pytest.mark.parametrize(
    "behaviour", [cut, says(503), says(200, HTML, "text/html"), says(200, "{}"), says(404, HTML, "text/html")]
)
def test_trouble_at_the_token_server_is_asked_again_and_no_absence(
    tokened: Tokened, monkeypatch: pytest.MonkeyPatch, clock: Time, behaviour: Behaviour
) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", PASSWORD)
    with RegistryClient(tokened.host, settings(tokened.host), patience=clock.patience()) as client:
        tokened.tokens.script = [behaviour]
        assert client.head("team/never-pushed", "1") is None
        tokened.tokens.script = [behaviour] * 4
        with pytest.raises(CouldNotAsk):
            client.head("team/never-pushed-either", "1")


def test_a_token_server_without_tls_does_not_get_the_password(
    through: RegistryClient, front: Front, clock: Time
) -> None:
    front.always = error(401, "UNAUTHORIZED", WWW_Authenticate='Bearer realm="http://192.0.2.1/token"')
    with pytest.raises(OnevmError, match=r"192\.0\.2\.1"):
        through.check()
    assert clock.pauses == []


@pytest.mark.parametrize("challenge", ["", "Negotiate", 'Bearer service="x"', "Bearer realm=x", "Bearer"])
def test_a_challenge_that_cannot_be_met_is_explained(through: RegistryClient, front: Front, challenge: str) -> None:
    front.always = error(401, "UNAUTHORIZED", WWW_Authenticate=challenge)
    with pytest.raises(OnevmError, match="refuses anonymous access"):
        through.check()
    assert len(front.seen) == 1


# Many at once


def test_threads_share_connections_and_each_gets_its_own_answer(front: Front, host: str) -> None:
    expected = {f"team/many-{n}": push_image(host, f"team/many-{n}", "1").digest for n in range(8)}
    with RegistryClient(front.host) as client, ThreadPoolExecutor(8) as pool:
        names = list(expected) * 10
        found = list(pool.map(lambda name: client.head(name, "1"), names))
    assert found == [expected[name] for name in names]
    assert front.connections <= 8


def test_a_connection_that_the_registry_closed_is_made_anew(front: Front, image: Pushed, clock: Time) -> None:
    with RegistryClient(front.host, patience=clock.patience()) as client:
        front.script = [closing]
        assert client.head("team/web", "1") == image.digest
        assert client.head("team/web", "1") == image.digest
    assert clock.pauses == []
    assert len(front.seen) == 2


def test_no_more_threads_are_needed_for_more_questions(front: Front, image: Pushed) -> None:
    during: list[int] = []

    def counting(handler: Handler) -> None:
        during.append(sum(thread.name == "deadlines" for thread in threading.enumerate()))
        forward(handler)

    front.always = counting
    with RegistryClient(front.host) as client:
        for _ in range(5):
            assert client.head("team/web", "1") == image.digest
        (watching,) = (thread for thread in threading.enumerate() if thread.name == "deadlines")
    watching.join(10)
    # The first question may arrive before its answer is waited for.
    assert during[1:] == [1] * 4
    assert during[0] <= 1
    assert not watching.is_alive()


def test_a_head_that_trickles_is_given_up(through: RegistryClient, front: Front) -> None:
    front.always = trickling_head
    with pytest.raises(CouldNotAsk, match=r"no answer within 0.4 s \(4 times\)"):
        through.head("team/web", "1")
