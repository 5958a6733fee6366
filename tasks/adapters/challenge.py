"""What a registry wants to see before it answers: Basic, or a Bearer token from its token server.

The token protocol is https://distribution.github.io/distribution/spec/auth/token/ and, for identity tokens,
https://distribution.github.io/distribution/spec/auth/oauth/.
"""

import base64
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from msgspec import Struct

from tasks.adapters.answer import Answer
from tasks.adapters.credentials import Credential
from tasks.adapters.retry import LoginRefused, Unanswered
from tasks.adapters.wire import Wire

_PART = re.compile(r"\s*,?\s*([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s,\"]+)))?")
# The specification's least; a server that says less is off, and containerd reads it the same way.
_LIFETIME = 60.0
_EARLY = 0.8
MESSAGE = 400


def parse(header: str) -> dict[str, dict[str, str]]:
    """Read a WWW-Authenticate header: parameters by scheme, both in lower case (RFC 9110, 11.6.1)."""
    found: dict[str, dict[str, str]] = {}
    latest: dict[str, str] = {}
    position = 0
    while match := _PART.match(header, position):
        position = match.end()
        name, quoted, plain = match.groups()
        if quoted is None and plain is None:
            latest = found.setdefault(name.lower(), {})
        else:
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            latest.setdefault(name.lower(), value)
    return found


class _Token(Struct, frozen=True, kw_only=True):
    value: str
    until: float


class Authority:
    """Knows what to send as `Authorization` to one registry. Safe to use from any number of threads.

    Args:
        wire: to ask token servers.
        find: looks up the login; called once, and only when the registry wants one.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        wire: Wire,
        find: Callable[[], Credential | None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = wire
        self._find = find
        self._clock = clock
        self._guard = threading.RLock()
        self._looked = False
        self._credential: Credential | None = None
        self._basic: str | None = None
        self._tokens: dict[str, _Token] = {}
        self._veiled: set[str] = set()

    @property
    def credential(self) -> Credential | None:
        """The login, looked up on first use; None for anonymous."""
        with self._guard:
            if not self._looked:
                self._credential = self._find()
                self._looked = True
                if self._credential:
                    self._veiled |= {self._credential.secret.reveal(), _encoded(self._credential)}
            return self._credential

    def mask(self, text: str) -> str:
        """Replace every secret this has seen by `***`, then cut the text to a message's length."""
        with self._guard:
            for secret in sorted(filter(None, self._veiled), key=len, reverse=True):
                text = text.replace(secret, "***")
        return text if len(text) <= MESSAGE else f"{text[:MESSAGE]}…"

    def header(self, scope: str) -> str | None:
        """What to send for a scope as far as known; None before the registry's first challenge."""
        with self._guard:
            token = self._tokens.get(scope)
            if token and token.until > self._clock():
                return f"Bearer {token.value}"
            return self._basic

    def meet(self, challenge: str, scope: str) -> str:
        """Answer a challenge.

        Args:
            challenge: the WWW-Authenticate header of a 401.
            scope: what is wanted, as `repository:<name>:pull`; empty for the registry itself.

        Returns:
            What to send instead.

        Raises:
            LoginRefused: nothing else can be sent, or the token server refused.
            Unanswered: the token server gave no usable answer.
            OnevmError: the token server is not to be asked over plain HTTP.
        """
        schemes = parse(challenge)
        if "bearer" in schemes:
            token = self._fetch(schemes["bearer"], scope)
            with self._guard:
                self._veiled.add(token.value)
                self._tokens[scope] = token
            return f"Bearer {token.value}"
        if "basic" not in schemes:
            wanted = ", ".join(schemes) or "nothing known"
            raise LoginRefused(f"it asks for {wanted}")
        if self.credential is None or self.credential.is_identity_token:
            raise LoginRefused("it asks for a user and a password")
        basic = f"Basic {_encoded(self.credential)}"
        with self._guard:
            self._basic = basic
        return basic

    def _fetch(self, challenge: Mapping[str, str], scope: str) -> _Token:
        realm = challenge.get("realm", "")
        if not urlsplit(realm).netloc:
            raise LoginRefused("it names no token server")
        query = [("service", challenge["service"])] if challenge.get("service") else []
        wanted = challenge.get("scope", scope)
        scopes = [("scope", part) for part in wanted.split()]
        asked = self._clock()
        answer = self._exchange(realm, query, scopes)
        where = f"the token server {urlsplit(realm).netloc}"
        if answer.status in (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise LoginRefused(f"{where}: {answer.words}")
        if answer.status != HTTPStatus.OK:
            raise Unanswered(f"{where}: {answer.words}", wait=answer.wait)
        return self._read(answer, where, asked)

    def _exchange(self, realm: str, query: list[tuple[str, str]], scopes: list[tuple[str, str]]) -> Answer:
        credential = self.credential
        headers = {"Accept": "application/json", "User-Agent": "onevm"}
        if credential is not None and credential.is_identity_token:
            form = [
                ("grant_type", "refresh_token"),
                ("client_id", "onevm"),
                ("refresh_token", credential.secret.reveal()),
                *query,
                *([("scope", " ".join(value for _, value in scopes))] if scopes else ()),
            ]
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            return self._wire.send("POST", realm, headers=headers, body=urlencode(form).encode())
        if credential is not None:
            query = [("account", credential.username), *query]
        mark = "&" if urlsplit(realm).query else "?"
        pairs = urlencode([*query, *scopes])
        basic = f"Basic {_encoded(credential)}" if credential else None
        return self._wire.send("GET", realm + mark + pairs, headers=headers, authorization=basic)

    def _read(self, answer: Answer, where: str, asked: float) -> _Token:
        try:
            document: dict[str, Any] = json.loads(answer.body)
            value = document.get("token") or document.get("access_token")
            lifetime = max(float(document.get("expires_in") or _LIFETIME), _LIFETIME)
        except (ValueError, TypeError, AttributeError):
            value, lifetime = None, 0.0
        if not isinstance(value, str) or not value.isprintable():
            raise Unanswered(f"{where}: no token in its answer ({answer.words})")
        return _Token(value=value, until=asked + lifetime * _EARLY)


def _encoded(credential: Credential) -> str:
    pair = f"{credential.username}:{credential.secret.reveal()}"
    return base64.b64encode(pair.encode()).decode()
