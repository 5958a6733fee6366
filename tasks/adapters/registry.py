"""A registry: what is there, under which digest, and the same bytes under another tag.

The interface is https://github.com/opencontainers/distribution-spec (1.1). "Not there" is the registry's own word
for it; whatever else goes wrong is an error, never an absence.
"""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from tasks.adapters import answer as answers
from tasks.adapters import credentials, trust
from tasks.adapters.answer import Answer
from tasks.adapters.challenge import Authority
from tasks.adapters.closing import Closing
from tasks.adapters.retry import LoginRefused, Patience, Unanswered
from tasks.adapters.wire import Wire
from tasks.core.errors import OnevmError
from tasks.core.manifest import MANIFEST_TYPES, Manifest, Platform, digest_of
from tasks.core.model import Registry
from tasks.core.reference import HUB, Reference, is_digest

T = TypeVar("T")

HUB_API = "registry-1.docker.io"
PAGE = 1000
_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv7l": "arm",
    "i686": "386",
}


class LoginRefusedByRegistry(OnevmError):
    """The registry refuses the login, or refuses to do without one."""


class DeletionForbidden(OnevmError):
    """The registry deletes nothing, whatever it is asked for."""


class NotThere(OnevmError):
    """The registry says that it has no such manifest."""


def here() -> Platform:
    """The platform of images this machine's engine runs."""
    import platform

    return platform_of(platform.machine())


def platform_of(machine: str) -> Platform:
    """The platform of images for a processor, as uname(1) and engines call it."""
    name = machine.lower()
    return Platform(architecture=_ARCHITECTURES.get(name, name))


class RegistryClient(Closing):
    """A client of one registry, for use from any number of threads.

    Args:
        host: with port if it has one; `docker.io` for Docker Hub.
        settings: services.toml's registry, if it is this one: its login and `insecure` count.
        patience: how often and how long to ask.
        connect: seconds to wait for a connection.
        read: seconds to wait for an answer.
    """

    def __init__(
        self,
        host: str,
        settings: Registry | None = None,
        *,
        patience: Patience | None = None,
        connect: float = 5,
        read: float = 20,
    ) -> None:
        self.host = host
        self._settings = settings
        self._patience = patience or Patience()
        self._netloc = HUB_API if host == HUB else host
        insecure = settings is not None and settings.insecure
        self._scheme = "http" if insecure or trust.is_loopback(host) else "https"
        self._wire = Wire(insecure_host=self._netloc if insecure else "", connect=connect, read=read)
        self._authority = Authority(
            self._wire,
            lambda: credentials.find(host, settings),
            clock=self._patience.clock,
        )

    @classmethod
    def of(cls, settings: Registry, *, patience: Patience | None = None, read: float = 20) -> "RegistryClient":
        """The client of services.toml's registry; see the class for the arguments."""
        host = Reference.parse(f"{settings.url}/x").registry
        return cls(host, settings, patience=patience, read=read)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def load(self) -> None:
        """Load what the first question would have to: it takes a while."""
        self._wire.load()

    def check(self) -> None:
        """See whether this is a registry and takes the login.

        Raises:
            OnevmError: it is none, cannot be asked, or refuses the login.
        """
        if self._settings is not None and self._settings.username:
            credentials.from_settings(self._settings)

        def read(answer: Answer) -> None:
            if answer.status != HTTPStatus.OK or "html" in answer.headers.get("content-type", ""):
                raise Unanswered(f"{answer.words} (not a registry's answer)")

        self._ask("GET", "/v2/", read, about="the registry itself")

    def head(self, repository: str, reference: str) -> str | None:
        """Look a tag or digest up.

        Returns:
            Its digest; None only if the registry says that there is no such manifest.

        Raises:
            OnevmError: the registry cannot be asked.
        """
        if found := self.glance(repository, reference):
            return found
        # HEAD has no body: whether its 404 is the registry's or a proxy's only GET tells.
        manifest = self._find(repository, reference)
        return manifest.digest if manifest else None

    def glance(self, repository: str, reference: str) -> str | None:
        """Look a tag or digest up with one question, for whoever writes it if it is not surely there.

        Returns:
            Its digest; None if there is none, or that cannot be told.

        Raises:
            OnevmError: the registry cannot be asked.
        """

        def read(answer: Answer) -> str | None:
            digest = answer.headers.get("docker-content-digest", "")
            kind = answer.headers.get("content-type", "").partition(";")[0]
            sure = answer.status == HTTPStatus.OK and is_digest(digest) and kind in MANIFEST_TYPES
            if sure and is_digest(reference) and digest != reference:
                raise Unanswered(f"asked for {reference}, got {digest}")
            return digest if sure else None

        path = _manifest_path(repository, reference)
        about = _about(repository, reference)
        return self._ask("HEAD", path, read, about=about, scope=_scope(repository), headers=_ACCEPT)

    def get_manifest(self, repository: str, reference: str) -> Manifest:
        """Get a manifest by tag or digest; its bytes are checked against the digest.

        Raises:
            NotThere: the registry says that there is none.
            OnevmError: the registry cannot be asked.
        """
        manifest = self._find(repository, reference)
        if manifest is None:
            raise NotThere(
                f"{self.host} has no {_about(repository, reference)}",
                next_step="push it first: doit push",
            )
        return manifest

    def image_manifest(self, repository: str, reference: str, wanted: Platform) -> Manifest:
        """Get an image's manifest; of an index, the platform's. Raises like `image_config`."""
        manifest = self.get_manifest(repository, reference)
        if not manifest.is_index:
            return manifest
        child = manifest.child_for(wanted)
        if child is None:
            raise OnevmError(f"{_about(repository, reference)} at {self.host} is an index without images")
        return self.get_manifest(repository, child)

    def put_manifest(self, repository: str, tag: str, manifest: Manifest) -> str:
        """Put a manifest's bytes under a tag: the same digest has one more name.

        Returns:
            The digest, the same as the manifest's.

        Raises:
            OnevmError: the registry refuses it, cannot be asked, or gives it another digest.
        """
        about = f"{_about(repository, tag)} as {manifest.digest}"

        def read(answer: Answer) -> str:
            if answer.status not in (HTTPStatus.CREATED, HTTPStatus.OK):
                raise self._refusal(answer, f"to store {about}")
            digest = answer.headers.get("docker-content-digest", "")
            return digest if is_digest(digest) else ""

        stored = self._ask(
            "PUT",
            _manifest_path(repository, tag),
            read,
            about=about,
            scope=_scope(repository, "pull,push"),
            headers={"Content-Type": manifest.media_type},
            body=manifest.content,
        )
        stored = stored or self.head(repository, tag) or "nothing"
        if stored != manifest.digest:
            raise OnevmError(
                f"{self.host} stored {_about(repository, tag)} as {stored} instead of {manifest.digest}",
                next_step="do not deploy this tag; something between here and the registry changes manifests",
            )
        return stored

    def image_config(self, repository: str, reference: str, *, wanted: Platform | None = None) -> dict[str, Any]:
        """Get an image's configuration (OCI image-spec, "config"); of an index, the platform's.

        Args:
            repository: path in the registry.
            reference: tag or digest.
            wanted: this machine's unless told. Without an image for it, see `Manifest.child_for`.

        Raises:
            NotThere: the registry says that there is no such manifest.
            OnevmError: the registry cannot be asked.
        """
        manifest = self.image_manifest(repository, reference, wanted or here())
        digest = str((manifest.document.get("config") or {}).get("digest"))
        config: dict[str, Any] = json.loads(self._blob(repository, digest))
        return config

    def labels(self, repository: str, reference: str) -> dict[str, str]:
        """Get an image's labels; raises like `image_config`."""
        config = self.image_config(repository, reference).get("config") or {}
        return dict(config.get("Labels") or {})

    def tags(self, repository: str) -> tuple[str, ...]:
        """List a repository's tags, all pages; empty if the registry does not know the repository.

        Raises:
            OnevmError: the registry cannot be asked.
        """

        def read(answer: Answer) -> tuple[list[str], str]:
            if answers.is_absent(answer):
                return [], ""
            if answer.status != HTTPStatus.OK:
                raise self._unexpected(answer, f"list the tags of {repository}")
            names = (answers.json_object(answer)).get("tags") or []
            if not isinstance(names, list):
                raise Unanswered(f"{answer.words} (not a list of tags)")
            return [str(name) for name in names], answers.next_page(answer)

        found: dict[str, None] = {}
        path = f"/v2/{quote(repository)}/tags/list"
        query = "?" + urlencode({"n": PAGE})
        seen: set[str] = set()
        while query not in seen:
            seen.add(query)
            names, following = self._ask(
                "GET", path + query, read, about=f"the tags of {repository}", scope=_scope(repository)
            )
            found |= dict.fromkeys(names)
            if not following:
                return tuple(found)
            query = "?" + following
        raise OnevmError(f"{self.host} lists the tags of {repository} in a circle")

    def delete(self, repository: str, digest: str) -> bool:
        """Delete a manifest, and with it every tag on it.

        Returns:
            Whether it was there.

        Raises:
            ValueError: a tag was given: its digest may have other tags, which would go too.
            DeletionForbidden: the registry deletes nothing.
            LoginRefusedByRegistry: this login may not delete.
            OnevmError: the registry cannot be asked.
        """
        if not is_digest(digest):
            raise ValueError(digest)
        about = _about(repository, digest)

        def read(answer: Answer) -> bool:
            if answers.is_absent(answer):
                return False
            if answer.status == HTTPStatus.METHOD_NOT_ALLOWED or any(c == "UNSUPPORTED" for c, _ in answer.errors):
                raise DeletionForbidden(
                    f"{self.host} refuses to delete {about}",
                    detail=self._authority.mask(answer.words),
                    next_step="allow deletion at the registry (registry:2: REGISTRY_STORAGE_DELETE_ENABLED=true)",
                )
            if answer.status not in (HTTPStatus.ACCEPTED, HTTPStatus.OK, HTTPStatus.NO_CONTENT):
                raise self._refusal(answer, f"to delete {about}")
            return True

        path = _manifest_path(repository, digest)
        return self._ask("DELETE", path, read, about=about, scope=_scope(repository, "delete"))

    def _find(self, repository: str, reference: str) -> Manifest | None:
        about = _about(repository, reference)

        def read(answer: Answer) -> Manifest | None:
            if answers.is_absent(answer):
                return None
            if answer.status != HTTPStatus.OK:
                raise self._unexpected(answer, f"give {about}")
            return answers.manifest(answer, reference)

        path = _manifest_path(repository, reference)
        return self._ask("GET", path, read, about=about, scope=_scope(repository), headers=_ACCEPT)

    def _blob(self, repository: str, digest: str) -> bytes:
        def read(answer: Answer) -> bytes:
            if answer.status != HTTPStatus.OK:
                raise self._unexpected(answer, f"give the blob {digest}")
            if digest_of(answer.body, like=digest) != digest:
                raise Unanswered(f"{len(answer.body)} bytes that are not {digest}")
            return answer.body

        about = f"{repository}, blob {digest}"
        path = f"/v2/{quote(repository)}/blobs/{digest}"
        return self._ask("GET", path, read, about=about, scope=_scope(repository))

    def _ask(
        self,
        method: str,
        path: str,
        read: Callable[[Answer], T],
        *,
        about: str,
        scope: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> T:
        """Ask until there is an answer that `read` understands; login included."""
        given = {"User-Agent": "onevm", "Accept-Encoding": "identity", "Accept": "*/*", **(headers or {})}

        def attempt() -> T:
            try:
                return read(answers.usable(self._send(method, path, scope, given, body)))
            except LoginRefused as refusal:
                raise self._login_refused(method, about, refusal.reason) from None
            except Unanswered as error:
                raise Unanswered(self._authority.mask(error.reason), wait=error.wait) from None

        return self._patience.ask(
            f"{method} {about} at {self.host}",
            attempt,
            next_step=f"see whether {self._scheme}://{self._netloc}/v2/ answers, then run the command again",
        )

    def _send(self, method: str, path: str, scope: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        sent = self._authority.header(scope)

        def send() -> Answer:
            url = f"{self._scheme}://{self._netloc}{path}"
            return self._wire.send(method, url, headers=headers, body=body, authorization=sent)

        answer = send()
        if answer.status == HTTPStatus.BAD_REQUEST and self._scheme == "http" and b"HTTPS" in answer.body:
            # A loopback or insecure registry with TLS says so in plain text (Go and nginx alike).
            self._scheme = "https"
            answer = send()
        if answer.status == HTTPStatus.UNAUTHORIZED and not answer.elsewhere:
            try:
                sent = self._authority.meet(answer.headers.get("www-authenticate", ""), scope)
            except LoginRefused as refusal:
                raise LoginRefused(f"{answer.words} ({refusal.reason})") from None
            answer = send()
        return answer

    def _login_refused(self, method: str, about: str, reason: str) -> OnevmError:
        detail = self._authority.mask(f"{method} {about}: {reason}")
        credential = self._authority.credential
        if credential is None:
            return LoginRefusedByRegistry(
                f"{self.host} refuses anonymous access",
                detail=detail,
                next_step=f"docker login {self.host}, or set username and password_env in [registry] of services.toml",
            )
        return LoginRefusedByRegistry(
            f"{self.host} refuses the login of {credential.username} (from {credential.source})",
            detail=detail,
            next_step=credential.next_step,
        )

    def _unexpected(self, answer: Answer, what: str) -> Exception:
        """A 4xx in a registry's own words is final; anything else may be a proxy in between."""
        return (
            self._refusal(answer, f"to {what}")
            if answer.errors
            else Unanswered(f"{answer.words} (not a registry's answer)")
        )

    def _refusal(self, answer: Answer, what: str) -> Exception:
        if not answer.errors and answer.status != HTTPStatus.METHOD_NOT_ALLOWED:
            return Unanswered(f"{answer.words} (not a registry's answer)")
        detail = self._authority.mask(answer.words)
        return OnevmError(
            f"{self.host} refuses {what}", detail=detail, next_step="the registry's own words above say why"
        )


_ACCEPT = {"Accept": ", ".join(MANIFEST_TYPES)}


def _about(repository: str, reference: str) -> str:
    return f"{repository}{'@' if is_digest(reference) else ':'}{reference}"


def _manifest_path(repository: str, reference: str) -> str:
    return f"/v2/{quote(repository)}/manifests/{quote(reference, safe=':')}"


def _scope(repository: str, actions: str = "pull") -> str:
    return f"repository:{repository}:{actions}"
