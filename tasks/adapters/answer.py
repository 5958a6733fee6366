"""What a registry's answer says; and when it is none of a registry's."""

import json
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from tasks.adapters.retry import LoginRefused, Unanswered
from tasks.core.manifest import INDEX_TYPES, MANIFEST_TYPES, Manifest, digest_of
from tasks.core.reference import is_digest

# Long enough that a secret in it is whole, and can be masked, where the message is cut.
WORDS = 4096
# Harbor says NOT_FOUND.
ABSENT = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND"})
TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})


class Answer(Struct, frozen=True, kw_only=True):
    """What came back.

    Attributes:
        status: the HTTP status.
        headers: by lower-case name.
        body: complete, at most `wire.SIZE_LIMIT` bytes.
        elsewhere: whether another server than the one asked gave it, after a redirect.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    elsewhere: bool = False

    @property
    def errors(self) -> tuple[tuple[str, str], ...]:
        """Code and message of each error in a registry's error body; empty if the body is none."""
        try:
            found = json.loads(self.body)["errors"]
            return tuple((str(error["code"]), str(error.get("message", ""))) for error in found)
        except (ValueError, KeyError, TypeError, AttributeError):
            return ()

    @property
    def words(self) -> str:
        """The status and what the body says, for a message: printable, in one line."""
        said = "; ".join(f"{code}: {message}" for code, message in self.errors)
        if not said:
            text = self.body.decode(errors="replace")
            title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
            said = title[1] if title else text
            if "html" in self.headers.get("content-type", ""):
                said = f"a web page: {said}"
        plain = "".join(c if c.isprintable() else " " for c in said)
        return f"HTTP {self.status} {' '.join(plain.split())}".strip()[:WORDS]

    @property
    def wait(self) -> float:
        """Seconds that Retry-After asks for, 0 if it does not (RFC 9110, 10.2.3: seconds or a date)."""
        value = self.headers.get("retry-after", "").strip()
        if value.isdecimal():
            return float(value)
        if not value:
            return 0
        from email.utils import parsedate_to_datetime

        try:
            until = parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return 0
        return max(0.0, until.timestamp() - time.time())


def usable(answer: Answer) -> Answer:
    """Pass an answer on that a registry gave.

    Raises:
        LoginRefused: it wants a login, or another.
        Unanswered: asking again may help.
    """
    if answer.elsewhere and answer.status != HTTPStatus.OK:
        # A storage server's refusal is about its signed address, not about the login.
        raise Unanswered(f"{answer.words} (after a redirect)", wait=answer.wait)
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise LoginRefused(answer.words)
    if answer.status in TEMPORARY:
        raise Unanswered(answer.words, wait=answer.wait)
    return answer


def is_absent(answer: Answer) -> bool:
    """Whether the registry itself says that there is no such thing."""
    return answer.status == HTTPStatus.NOT_FOUND and any(code in ABSENT for code, _ in answer.errors)


def json_object(answer: Answer) -> dict[str, Any]:
    """Read a JSON object; raises `Unanswered` if the body is none."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unanswered(f"{answer.words} (not the JSON a registry gives)")
    return document


def manifest(answer: Answer, reference: str) -> Manifest:
    """Check that an answer is a manifest, and the one that was asked for."""
    document = json_object(answer)
    said = answer.headers.get("content-type", "").partition(";")[0].strip()
    media_type = said if said in MANIFEST_TYPES else str(document.get("mediaType"))
    if media_type not in MANIFEST_TYPES:
        raise Unanswered(f"HTTP {answer.status} with {said or 'no'} content type, not a manifest")
    part = "manifests" if media_type in INDEX_TYPES else "config"
    if part not in document:
        raise Unanswered(f"a manifest without {part}")
    expected = answer.headers.get("docker-content-digest") or reference
    for digest in filter(is_digest, {expected, reference}):
        if (actual := digest_of(answer.body, like=digest)) != digest:
            raise Unanswered(f"{len(answer.body)} bytes with digest {actual} instead of {digest}")
    digest = expected if is_digest(expected) else digest_of(answer.body)
    return Manifest(content=answer.body, media_type=media_type, digest=digest)


def next_page(answer: Answer) -> str:
    """The query of the next page (RFC 8288); only the query: behind a proxy the host in it can be wrong."""
    link, _, rest = answer.headers.get("link", "").partition(">")
    if not link.startswith("<") or "next" not in rest:
        return ""
    return urlsplit(urljoin("http://registry/", link[1:])).query
