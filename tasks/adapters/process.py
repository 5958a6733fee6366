"""The only way Onevm starts a program.

Commands are lists, never shell strings. Every command has a time limit. A child lives in its own session and
dies with us: on an exception, on a signal (`stop_all`), and, where util-linux is present, by the kernel's
parent-death signal when we are killed with SIGKILL.
"""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

from msgspec import Struct

from tasks.core.errors import OnevmError, ToolError
from tasks.core.secret import Secret

TAIL_LINES = 15
GRACE_SECONDS = 5.0
LOOK_SECONDS = 0.5
TimeoutExpired = subprocess.TimeoutExpired


class Running(Protocol):
    """A command that was started: a program here (`Child`), or one on a host (`mux.Session`).

    Attributes:
        refusal: why it was not begun at all; empty if it was.
        stdin, stdout, stderr: its pipes.
        returncode: its exit code once it has ended.
    """

    @property
    def refusal(self) -> str: ...  # noqa: D102

    @property
    def stdin(self) -> IO[bytes] | None: ...  # noqa: D102

    @property
    def stdout(self) -> IO[bytes] | None: ...  # noqa: D102

    @property
    def stderr(self) -> IO[bytes] | None: ...  # noqa: D102

    @property
    def returncode(self) -> int | Any: ...  # noqa: D102

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; see `subprocess.Popen.wait`."""
        ...

    def communicate(self, data: bytes | None, timeout: float, /) -> tuple[bytes, bytes]:
        """Write its input, and return its output and errors; see `subprocess.Popen.communicate`."""
        ...

    def cut(self, number: signal.Signals, /) -> None:
        """End it, and what it started."""
        ...

    def close(self) -> None:
        """Close its pipes; it has ended."""
        ...


class Child(subprocess.Popen[bytes]):
    """A program in a session of its own."""

    refusal = ""

    def cut(self, number: signal.Signals) -> None:
        """Send a signal to it and to what it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def close(self) -> None:
        """Close its pipes."""
        close(self.stdin, self.stdout, self.stderr)


def close(*pipes: IO[bytes] | None) -> None:
    """Close pipes, whoever is at their other ends."""
    for pipe in pipes:
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()


_running: set[Running] = set()
# A signal stops all, and may come while the main thread holds it.
_guard = threading.RLock()
_stopping = threading.Event()
_cuts: list[Callable[[], None]] = []


class Completed(Struct, frozen=True, kw_only=True):
    """What a finished command left: its exit code and its text."""

    returncode: int
    stdout: str
    stderr: str


class CommandFailed(OnevmError):
    """A command that ended with another exit code than 0, or did not end in time.

    Attributes:
        returncode: the exit code; None if the time limit struck.
        stderr: what it wrote to standard error.
    """

    def __init__(self, args: Sequence[str], *, returncode: int | None, stderr: str, limit: float) -> None:
        ending = f"exit {returncode}" if returncode is not None else f"no answer within {limit:g} s"
        super().__init__(f"{shlex.join(args[:8])} failed ({ending})", detail=tail(stderr))
        self.returncode = returncode
        self.stderr = stderr


def tail(text: str, lines: int = TAIL_LINES) -> str:
    """Return the last `lines` lines of a text."""
    return "\n".join(text.rstrip().splitlines()[-lines:])


@cache
def _with_parent_death_signal() -> tuple[str, ...]:
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM", "--") if setpriv and Path("/proc").is_dir() else ()


@cache
def _starter() -> ThreadPoolExecutor:
    # prctl(2): the signal comes when the *thread* ends that started the child, and a pool's thread ends early.
    return ThreadPoolExecutor(1, "starter")


def _environment(extra: Mapping[str, str | Secret] | None) -> dict[str, str] | None:
    if not extra:
        return None
    plain = {name: v.reveal() if isinstance(v, Secret) else v for name, v in extra.items()}
    return os.environ | plain


def start(
    args: Sequence[str],
    *,
    env: Mapping[str, str | Secret] | None = None,
    cwd: str | Path | None = None,
    stdin: bool = False,
    merge: bool = False,
    survive: Sequence[int] | None = None,
) -> Child:
    """Start a program; `finish` must be called with it. `run` and `lines` do both.

    Args:
        args: the command as a list.
        env: variables added to our own environment; secrets are revealed only to the child.
        cwd: its working directory.
        stdin: whether to connect a pipe to its standard input (otherwise /dev/null).
        merge: whether standard error goes where standard output goes.
        survive: not None for a step that must be finished even if we are killed; it keeps these file
            descriptors (a lock) open until then.

    Raises:
        ToolError: the program is not installed.
    """
    go_on()
    if shutil.which(args[0]) is None:
        msg = f"{args[0]} is not installed (not found on PATH)"
        raise ToolError(msg, next_step=f"install {args[0]}, or run scripts/lab install")
    child = _started(
        list(args) if survive is not None else [*_with_parent_death_signal(), *args],
        pass_fds=survive or (),
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge else subprocess.PIPE,
        env=_environment(env),
        cwd=cwd,
        start_new_session=True,
    )
    if survive is None:
        keep(child)
    return child


def keep(running: Running) -> None:
    """Remember something that was started, so that `stop_all` ends it."""
    with _guard:
        _running.add(running)
    if _stopping.is_set():
        # `stop_all` came between its start and its entry.
        running.cut(signal.SIGTERM)


def _started(args: list[str], **more: Any) -> Child:
    def popen() -> Child:
        return Child(args, **more)

    return popen() if threading.current_thread() is threading.main_thread() else _starter().submit(popen).result()


def finish(running: Running) -> None:
    """End what still runs (SIGTERM, then SIGKILL to its whole session) and forget it."""
    if running.poll() is None:
        running.cut(signal.SIGTERM)
        try:
            running.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            running.cut(signal.SIGKILL)
            running.wait()
    running.close()
    with _guard:
        _running.discard(running)


def ended(running: Running, seconds: float) -> bool:
    """Wait some seconds for something that was started; returns whether it has ended."""
    try:
        running.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def at_stop(cut: Callable[[], None]) -> None:
    """Let `stop_all` also end what is no program: it is called with every stop."""
    _cuts.append(cut)


def stop_all() -> None:
    """End every child of every thread and start no new one: we are about to leave."""
    _stopping.set()
    for cut in _cuts:
        cut()
    with _guard:
        all_of_them = list(_running)
    for running in all_of_them:
        running.cut(signal.SIGTERM)


def go_on() -> None:
    """Return, unless we are about to leave: what a thread does after that is not to be begun.

    Raises:
        SystemExit: we are.
    """
    if _stopping.is_set():
        raise SystemExit(128 + signal.SIGTERM)


def run(
    args: Sequence[str],
    *,
    timeout: float,
    input: bytes | Secret | None = None,  # noqa: A002 - the name subprocess uses
    env: Mapping[str, str | Secret] | None = None,
    cwd: str | Path | None = None,
    check: bool = True,
    errors: str = "replace",
    survive: Sequence[int] | None = None,
) -> Completed:
    """Run a command to its end.

    Args:
        args: the command as a list.
        timeout: seconds after which it is ended.
        input: bytes, or a secret, for its standard input.
        env: variables added to our own environment.
        cwd: its working directory.
        check: whether another exit code than 0 is an error.
        errors: what becomes of bytes that are no UTF-8, as in `bytes.decode`.
        survive: see `start`; if we are interrupted meanwhile, the command goes on without us.

    Raises:
        CommandFailed: it failed (with `check`), or the time limit struck.
        ToolError: the program is not installed.
    """
    data = input.reveal().encode() if isinstance(input, Secret) else input
    child = start(args, env=env, cwd=cwd, stdin=data is not None, survive=survive)
    alone = survive is not None
    return completed(child, args, timeout=timeout, data=data, check=check, errors=errors, survive=alone)


def completed(
    child: Running,
    args: Sequence[str],
    *,
    timeout: float,
    data: bytes | None = None,
    check: bool = True,
    errors: str = "replace",
    survive: bool = False,
) -> Completed:
    """Bring what was started to its end, as `run` does.

    Args:
        child: what was started.
        args: the command that it is, for messages.
        timeout: seconds after which it is ended.
        data: for its standard input, which is closed then.
        check: whether another exit code than 0 is an error.
        errors: what becomes of bytes that are no UTF-8, as in `bytes.decode`.
        survive: whether it goes on without us if we are interrupted meanwhile.

    Raises:
        CommandFailed: it failed (with `check`), or the time limit struck.
    """
    interrupted = False
    try:
        out, err = _left_alone(child, data, timeout) if survive else child.communicate(data, timeout)
    except subprocess.TimeoutExpired as expired:
        if child.poll() is not None:
            # It left others behind, which hold its pipes open.
            child.cut(signal.SIGKILL)
        text = (expired.stderr or b"").decode(errors="replace")
        raise CommandFailed(args, returncode=None, stderr=text, limit=timeout) from None
    except (SystemExit, KeyboardInterrupt):
        interrupted = True
        raise
    finally:
        if not (survive and interrupted):
            finish(child)
    text = err.decode(errors="replace")
    if check and child.returncode:
        raise CommandFailed(args, returncode=child.returncode, stderr=text, limit=timeout)
    return Completed(returncode=child.returncode, stdout=out.decode(errors=errors), stderr=text)


def _left_alone(child: Running, data: bytes | None, timeout: float) -> tuple[bytes, bytes]:
    """Wait for a child that `stop_all` does not end: when we leave, a thread that waits for it must learn of that."""
    until = time.monotonic() + timeout
    while True:
        left = until - time.monotonic()
        try:
            return child.communicate(data, min(max(left, 0), LOOK_SECONDS))
        except subprocess.TimeoutExpired:
            go_on()
            if left <= LOOK_SECONDS:
                raise
            data = None


@contextlib.contextmanager
def lines(
    args: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str | Secret] | None = None,
    cwd: str | Path | None = None,
) -> Iterator[tuple[Iterator[str], Child]]:
    """Start a command and give its lines (standard output and error, merged) as they come.

    The child is ended on leaving, and after `timeout` seconds; its exit code is `child.wait()` after the lines.
    """
    child = start(args, env=env, cwd=cwd, merge=True)
    watchdog = threading.Timer(timeout, child.cut, (signal.SIGKILL,))
    watchdog.daemon = True
    watchdog.start()
    try:
        pipe = child.stdout
        yield (line.decode(errors="replace").rstrip("\r\n") for line in pipe or ()), child
    finally:
        watchdog.cancel()
        finish(child)


@contextlib.contextmanager
def piped(args: Sequence[str], *, timeout: float) -> Iterator[IO[bytes]]:
    """Start a command and give its standard output as bytes, while it runs; it is ended on leaving.

    Raises:
        CommandFailed: it failed, although its output was read to the end, or the time limit struck.
        ToolError: the program is not installed.
    """
    child = start(args)
    struck = threading.Event()

    def strike() -> None:
        struck.set()
        child.cut(signal.SIGKILL)

    watchdog = threading.Timer(timeout, strike)
    watchdog.daemon = True
    watchdog.start()
    try:
        if child.stdout is None:
            raise AssertionError("it was started with a pipe")
        yield child.stdout
        child.stdout.read()
        code = child.wait()
        if code:
            words = child.stderr.read().decode(errors="replace") if child.stderr else ""
            raise CommandFailed(args, returncode=None if struck.is_set() else code, stderr=words, limit=timeout)
    finally:
        watchdog.cancel()
        finish(child)
