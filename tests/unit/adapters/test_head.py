"""HEAD by hand: what is sent, and what is taken for an answer."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tasks.adapters import head

OK = b"HTTP/1.1 200 OK\r\nDocker-Content-Digest: sha256:1\r\ncontent-length: 428\r\n\r\n"


@contextlib.contextmanager
def answering(*parts: bytes, ends: bool = False) -> Iterator[socket.socket]:
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(30)
        for part in parts:
            there.sendall(part)
        if ends:
            there.shutdown(socket.SHUT_WR)
        yield here


def test_a_request_is_written_as_http_wants_it() -> None:
    assert head.written("h:5000", "/v2/a?n=1", {"Accept": "*/*"}) == (
        b"HEAD /v2/a?n=1 HTTP/1.1\r\nHost: h:5000\r\nAccept: */*\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("target", "value"),
    [("/a b", "x"), ("/a\r\nX: 1", "x"), ("/ü", "x"), ("/a", "x\r\nX: 1"), ("/a", "x\n"), ("/a", "ü")],
)
def test_what_needs_care_is_left_to_the_library(target: str, value: str) -> None:
    assert head.written("h", target, {"Accept": value}) is None


def test_an_answer_is_read_and_the_connection_lasts() -> None:
    with answering(OK) as connected:
        found = head.asked(connected, b"HEAD")
    assert (found.status, found.lasting) == (200, True)
    assert found.headers == {"docker-content-digest": "sha256:1", "content-length": "428"}


def test_an_answer_in_pieces_is_one_answer() -> None:
    with answering(*(OK[i : i + 7] for i in range(0, len(OK), 7))) as connected:
        assert head.asked(connected, b"HEAD").headers["content-length"] == "428"


def test_an_interim_answer_is_none() -> None:
    with answering(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK) as connected:
        found = head.asked(connected, b"HEAD")
    assert (found.status, "link" in found.headers) == (200, False)


def test_a_header_that_comes_twice_has_both_values() -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nwww-authenticate: Bearer\r\n\r\n"
    with answering(answer) as connected:
        assert head.asked(connected, b"HEAD").headers["www-authenticate"] == "Basic, Bearer"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_connection_that_may_not_last_is_not_used_again(answer: bytes) -> None:
    with answering(answer) as connected:
        assert not head.asked(connected, b"HEAD").lasting


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        OK[:-1],
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 2000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n",
        b"x" * 3 * head.LONGEST,
    ],
)
def test_what_is_no_answer_is_an_error(answer: bytes) -> None:
    here, there = socket.socketpair()
    with here, there:
        here.settimeout(30)
        there.setblocking(False)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while sent < len(answer):
                sent += there.send(answer[sent:])
        there.shutdown(socket.SHUT_WR)
        with pytest.raises(head.Malformed):
            head.asked(here, b"HEAD")


def test_silence_is_a_timeout() -> None:
    with answering() as connected:
        connected.settimeout(0.01)
        with pytest.raises(TimeoutError):
            head.asked(connected, b"HEAD")
