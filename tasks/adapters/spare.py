"""Sessions of a connection that are opened before there is a command for them.

To open one takes two round trips to the VM, and what comes of a command a third. So some wait there, each in a shell
that reads its command from its input, up to a line of ours, and becomes it: what is sent after that line is the
command's own input. A command for which none is waiting opens one, and is given to it in the same way.
"""

import contextlib
import shlex
import threading
from collections.abc import Callable, Sequence

from tasks.adapters import later
from tasks.adapters.process import Running, finish

# A shell reads what is no file byte by byte, so it takes nothing of what follows. Input that ends before the line is
# of somebody who is gone: half a command is none.
_BECOME = """onevm_command=; while IFS= read -r onevm_line && [ "$onevm_line" != "$0" ]; do
onevm_command="$onevm_command$onevm_line
"; done; [ "$onevm_line" = "$0" ] && eval "$onevm_command"
"""


class Spares:
    """The sessions of a connection that wait for a command.

    Args:
        start: starts a session with a command, its input open.
        end: the line that ends a command; no command has it.
    """

    def __init__(self, start: Callable[[Sequence[str]], Running], end: str) -> None:
        self._start = start
        self._end = end
        self._guard = threading.Lock()
        self._waiting: list[Running] = []
        self._over = False

    def close(self) -> None:
        """End those that wait, and open no more."""
        with self._guard:
            self._over = True
            waiting, self._waiting = self._waiting, []
        for child in waiting:
            finish(child)

    def open(self, number: int, room: Callable[[], int]) -> None:
        """Begin to open some.

        Args:
            number: how many.
            room: says how many may wait at most right now.
        """
        if number and not self._over:
            later.begun(lambda: self._opened(number, room))

    def _opened(self, number: int, room: Callable[[], int]) -> None:
        for _ in range(number):
            with self._guard:
                if self._over or len(self._waiting) >= room():
                    return
                self._waiting.append(self._new())

    def take(self) -> Running:
        """Return a session that can be given a command: one that waits, else a new one."""
        with self._guard:
            while self._waiting:
                child = self._waiting.pop(0)
                if child.poll() is None:
                    return child
                # The VM's sshd did not grant it: those that there are shall be for commands.
                self._over = True
                finish(child)
        return self._new()

    def _new(self) -> Running:
        return self._start(["sh", "-c", _BECOME, self._end])

    def said(self, words: Sequence[str]) -> bytes:
        """Return what a session has to be told for it to become a command."""
        return f"exec {shlex.join(words)}\n{self._end}\n".encode()


def tell(child: Running, said: bytes) -> None:
    """Tell a session something, and leave its input open; if it has ended, that is seen by its exit code."""
    if child.stdin:
        with contextlib.suppress(OSError):
            child.stdin.write(said)
            child.stdin.flush()
