"""How much memory and disk a host has left while something is done there, at no command of its own.

On this machine a thread looks. On a VM the process that holds the lock looks whenever its heartbeat comes, and says so
through the connection that it has anyway: no session is opened for it, and nobody waits for it.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tasks.adapters.process import Running
from tasks.core.measured import Resources, Sample, resources

LOOK_SECONDS = 0.5
MARK = b"GAUGE "
# In the lock's folder: says what is there whenever there is less than ever. POSIX sh; df must not hold the lock's file.
SHELL = """low= least=
gauge() {
  { read -r _ all _; read -r _ _ _; read -r _ free _; } 2>/dev/null </proc/meminfo || return 0
  disk=$(timeout 2 df -Pk . 2>/dev/null 9>&- | { read -r _; read -r _ _ _ left _; echo "${left:-}"; })
  case $disk in ''|*[!0-9]*) disk=0;; esac
  case $all$free in ''|*[!0-9]*) return 0;; esac
  if [ -z "$low" ] || [ "$free" -lt "$low" ] || [ "$disk" -lt "$least" ]; then
    [ -n "$low" ] && [ "$low" -lt "$free" ] || low=$free
    [ -n "$least" ] && [ "$least" -lt "$disk" ] || least=$disk
    printf 'GAUGE %s %s %s\\n' "$all" "$free" "$disk"
  fi
}
"""


class Gauge(Protocol):
    """What is known so far."""

    def read(self) -> Resources | None:
        """Return what is known so far; None if the host does not say."""
        ...


class Blind:
    """Knows nothing."""

    def read(self) -> Resources | None:
        """Return None."""
        return None


class Samples:
    """What was seen of this machine.

    Args:
        folder: in the file system whose free space counts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._samples: list[Sample] = []

    def look(self) -> None:
        """Look once."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
            kilobytes = {name: int(known[name].split()[0]) for name in ("MemTotal", "MemAvailable")}
            free = shutil.disk_usage(self._folder).free
            seen = Sample(kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024, free)
            # The first one, and what is below all others, is all that counts.
            self._samples = [*self._samples[:1], *_lowest([*self._samples[1:], seen])]

    def read(self) -> Resources | None:
        """Look once more, and return what is known."""
        self.look()
        return resources(self._samples)


def _lowest(samples: list[Sample]) -> list[Sample]:
    least_memory = min(samples, key=lambda sample: sample.available)
    least_disk = min(samples, key=lambda sample: sample.disk_free)
    return [least_memory, least_disk]


class Told:
    """What the process that holds a lock on a VM tells.

    Args:
        child: the command that it talks through; nobody else reads what it says any more.
    """

    def __init__(self, child: Running) -> None:
        self._child = child
        self._text = b""
        if child.stdout:
            os.set_blocking(child.stdout.fileno(), False)

    def read(self) -> Resources | None:
        """Return what it has told so far; it is not waited for."""
        with contextlib.suppress(OSError, ValueError):
            while self._child.stdout and (more := self._child.stdout.read1(1 << 16)):  # type: ignore[attr-defined]
                self._text += more
        return resources(told(self._text))


def told(text: bytes) -> list[Sample]:
    """Return the samples in what the shell function `gauge` has said so far; kilobytes there, bytes here."""
    found = []
    for line in text.split(b"\n")[:-1]:
        if line.startswith(MARK):
            with contextlib.suppress(ValueError, TypeError):
                found.append(Sample(*(int(word) * 1024 for word in line.split()[1:])))
    return found


@contextmanager
def watching(folder: Path, look_seconds: float = LOOK_SECONDS) -> Iterator[Gauge]:
    """Look at this machine until the end of the block."""
    samples, over = Samples(folder), threading.Event()
    samples.look()
    thread = threading.Thread(target=_keep_looking, args=(samples.look, over, look_seconds), daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _keep_looking(look: Callable[[], None], over: threading.Event, seconds: float) -> None:
    while not over.wait(seconds):
        look()
