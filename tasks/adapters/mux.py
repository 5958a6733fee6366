"""Sessions of an SSH connection, asked for without a program: OpenSSH's PROTOCOL.mux, version 4.

The `ssh` that has the connection (the master) listens on a socket. Another `ssh` that asks it for a session takes 12 ms
of a processor to start, and does no more than is done here: it says what the session is to be, hands its input, output
and errors over, and waits for the exit code. Who closes the socket ends the session, as killing that `ssh` would.
"""

import contextlib
import os
import select
import selectors
import shlex
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from signal import Signals
from typing import IO

from tasks.adapters import process
from tasks.adapters.process import TimeoutExpired

_VERSION = struct.pack(">I", 4)
_HELLO, _NEW_SESSION, _OPEN_FORWARD = 0x00000001, 0x10000002, 0x10000006
_OK, _DENIED, _FAILURE, _EXIT = 0x80000001, 0x80000002, 0x80000003, 0x80000004
# Its length without itself, and its kind.
_HEAD = struct.Struct(">II")
_LOCAL_FORWARD, _UNIX_SOCKET, _NO_ESCAPE = 1, 0xFFFFFFFE, 0xFFFFFFFF
# The exit code of `ssh` for a session that ended without one, or was not granted (ssh(1), EXIT STATUS).
LOST = 255
ANSWER_SECONDS = 10.0
# A master takes packets of 256 KiB (CHANNEL_MUX_MAX_PACKET in channels.h), and passes on few of the variables.
_MOST_VARIABLES = 128 * 1024


def _text(value: str) -> bytes:
    data = os.fsencode(value)
    return struct.pack(">I", len(data)) + data


def _packet(kind: int, body: bytes) -> bytes:
    return _HEAD.pack(len(body) + _HEAD.size // 2, kind) + body


class Answers:
    """The packets that come from a master."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Take what has come, and give the packets that are whole by then: their kinds and bodies."""
        self._data += data
        while len(self._data) >= _HEAD.size:
            size, kind = _HEAD.unpack_from(self._data)
            end = size + _HEAD.size // 2
            if len(self._data) < end:
                return
            body, self._data = self._data[_HEAD.size : end], self._data[end:]
            yield kind, body


def _connected(control: Path) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        found.settimeout(ANSWER_SECONDS)
        found.connect(str(control))
        found.sendall(_packet(_HELLO, _VERSION))
    except BaseException:
        found.close()
        raise
    return found


def _said(body: bytes) -> str:
    # Before the text are the number of the request and the text's length.
    return body[_HEAD.size :].decode(errors="replace")


class Session:
    """A command on the other side of a connection, used like a program that was started here (`process.Running`).

    Args:
        args: the command, for messages.
        control: the socket to the master; the session ends with it.
        stdin: what its input is written to.
        stdout: what its output is read from.
        stderr: what its errors are read from.

    Attributes:
        returncode: its exit code once it has ended; `LOST` if it had none.
        refusal: what the master said if the other side granted no session: nothing was begun there.
    """

    def __init__(
        self, args: Sequence[str], control: socket.socket, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]
    ) -> None:
        self.args = args
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.returncode: int | None = None
        self.refusal = ""
        self._control = control
        self._code = LOST
        self._answers = Answers()
        self._guard = threading.Lock()

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        with self._guard:
            while self.returncode is None:
                try:
                    data = self._control.recv(1 << 12)
                except BlockingIOError:
                    return None
                except OSError:
                    data = b""
                for kind, body in self._answers.add(data):
                    if kind == _EXIT:
                        (self._code,) = struct.unpack_from(">I", body, 4)
                    elif kind in {_DENIED, _FAILURE}:
                        self.refusal = _said(body) or "no session"
                        data = b""
                    elif kind == _HELLO and body[:4] != _VERSION:
                        self.refusal = "this ssh speaks another version of its multiplexing protocol than 4"
                        data = b""
                if not data:
                    self.returncode = self._code
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; returns its exit code.

        Raises:
            TimeoutExpired: it did not in so many seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutExpired(self.args, timeout or 0.0)
            with selectors.DefaultSelector() as looking:
                looking.register(self._control, selectors.EVENT_READ)
                looking.select(left)
        return code

    def communicate(self, data: bytes | None = None, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Write its input, and read its output and errors to their ends; returns those.

        Raises:
            TimeoutExpired: it did not end in so many seconds; with its errors so far.
        """
        until = None if timeout is None else time.monotonic() + timeout
        found: dict[IO[bytes], list[bytes]] = {self.stdout: [], self.stderr: []}
        with selectors.DefaultSelector() as looking:
            for pipe in found:
                looking.register(pipe, selectors.EVENT_READ)
            rest = memoryview(data or b"")
            if rest:
                looking.register(self.stdin, selectors.EVENT_WRITE)
            else:
                process.close(self.stdin)
            while looking.get_map():
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutExpired(self.args, timeout or 0.0, stderr=b"".join(found[self.stderr]))
                for key, _ in looking.select(left):
                    if key.fileobj is self.stdin:
                        rest = self._written(rest)
                        over = not rest
                    else:
                        came = os.read(key.fd, 1 << 16)
                        found[key.fileobj].append(came)  # type: ignore[index]
                        over = not came
                    if over:
                        looking.unregister(key.fileobj)
                        process.close(key.fileobj)  # type: ignore[arg-type]
        self.wait(None if until is None else max(until - time.monotonic(), 0.0))
        return b"".join(found[self.stdout]), b"".join(found[self.stderr])

    def _written(self, rest: memoryview) -> memoryview:
        try:
            return rest[os.write(self.stdin.fileno(), rest[: select.PIPE_BUF]) :]
        except BrokenPipeError:
            return rest[:0]

    def cut(self, number: Signals) -> None:
        """End it, whatever the signal: the other side closes its input and output."""
        del number
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give back what it used here."""
        process.close(self.stdin, self.stdout, self.stderr)
        self._control.close()


def session(control: Path, args: Sequence[str], variables: Mapping[str, str]) -> Session:
    """Ask for a session, without waiting for the answer; `process.finish` must be called with it.

    Args:
        control: the master's socket.
        args: the command.
        variables: those that are passed on as far as the user's configuration says so (SendEnv in ssh_config(5)).

    Raises:
        OSError: nobody is there any more.
    """
    process.go_on()
    given = b""
    for name, value in variables.items():
        one = _text(f"{name}={value}")
        if len(given) + len(one) <= _MOST_VARIABLES:
            given += one
    flags = struct.pack(">5I", 0, 0, 0, 0, _NO_ESCAPE)
    asked = struct.pack(">I", 0) + _text("") + flags + _text("") + _text(shlex.join(args)) + given
    pipes = [os.pipe() for _ in range(3)]
    (theirs_in, ours_in), (ours_out, theirs_out), (ours_err, theirs_err) = pipes
    theirs = (theirs_in, theirs_out, theirs_err)
    try:
        to_master = _handed_over(control, asked, theirs)
    except BaseException:
        for number in (ours_in, ours_out, ours_err):
            os.close(number)
        raise
    finally:
        for number in theirs:
            os.close(number)
    pipe_in, pipe_out, pipe_err = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb"), os.fdopen(ours_err, "rb")
    found = Session(args, to_master, pipe_in, pipe_out, pipe_err)
    process.keep(found)
    return found


def _handed_over(control: Path, asked: bytes, pipes: Sequence[int]) -> socket.socket:
    found = _connected(control)
    try:
        found.sendall(_packet(_NEW_SESSION, asked))
        for number in pipes:
            # One by one, each with a byte, as the master reads them.
            socket.send_fds(found, [b"\0"], [number])
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found


def forward(control: Path, local: Path, host: str, port: int | None) -> None:
    """Let a local Unix socket lead to an address of the other side.

    Args:
        control: the master's socket.
        local: where the socket is made.
        host: a name or address there, or the path of a socket.
        port: the port, for a path None.

    Raises:
        OSError: nobody is there any more, or the master refused.
    """
    there = _UNIX_SOCKET if port is None else port
    ends = _text(str(local)) + struct.pack(">I", _UNIX_SOCKET) + _text(host) + struct.pack(">I", there)
    answers = Answers()
    with _connected(control) as to_master:
        to_master.sendall(_packet(_OPEN_FORWARD, struct.pack(">II", 0, _LOCAL_FORWARD) + ends))
        while data := to_master.recv(1 << 12):
            for kind, body in answers.add(data):
                if kind == _OK:
                    return
                if kind in {_DENIED, _FAILURE}:
                    raise OSError(_said(body))
    raise ConnectionResetError(f"{control} was closed")
