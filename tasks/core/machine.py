"""What `doit vm` saw on a host: files, swap, timers, the engine's own process."""

import base64
from collections.abc import Mapping

from msgspec import Struct, field

MEGABYTE = 1024 * 1024
KILOBYTE = 1024


class File(Struct, frozen=True, kw_only=True):
    """A file of the host.

    Attributes:
        mode: its permissions, in octal.
        content: what is in it; None if it may not be read.
    """

    mode: str
    content: bytes | None


class Swap(Struct, frozen=True, kw_only=True):
    """Swap that is on: its path and size in bytes."""

    path: str
    size: int


class Machine(Struct, frozen=True, kw_only=True):
    """A host as it was seen.

    Attributes:
        systemd: whether systemd runs it.
        cron: whether a cron daemon runs.
        dockerd: the engine's program and its pid, empty if none was found.
        flags: the engine's command line.
        daemon: the path of daemon.json.
        restart_due: whether daemon.json is newer than the engine's process.
        files: the files that were asked for and are there, by path.
        odd: those that are there and are no files.
        memory: bytes.
        swaps: what is on.
        swappiness: of the running kernel.
        swappiness_set_in: the file in which somebody set it, empty if nobody did.
        filesystem: of the swap file's folder, as stat(1) calls it; empty if there is no such folder.
        free: bytes free there.
        swap_file: what is at the swap file's path: None if nothing, else the signature that was read.
        tools: programs that are there.
        timers: timers that are on.
    """

    systemd: bool = False
    cron: bool = False
    dockerd: str = ""
    pid: str = ""
    flags: tuple[str, ...] = ()
    daemon: str = "/etc/docker/daemon.json"
    restart_due: bool = False
    files: Mapping[str, File] = field(default_factory=dict)
    odd: frozenset[str] = frozenset()
    memory: int = 0
    swaps: tuple[Swap, ...] = ()
    swappiness: int = 60
    swappiness_set_in: str = ""
    filesystem: str = ""
    free: int = 0
    swap_file: str | None = None
    tools: frozenset[str] = frozenset()
    timers: frozenset[str] = frozenset()

    def text(self, path: str) -> str | None:
        """Return a file as text; None if it is not there, or may not be read."""
        file = self.files.get(path)
        return None if file is None or file.content is None else file.content.decode(errors="surrogateescape")

    def unreadable(self, path: str) -> bool:
        """Whether a file is there and may not be read."""
        return path in self.files and self.files[path].content is None


def parse(text: str) -> Machine:
    """Read what look.sh prints: one fact a line, contents in base64."""
    facts: dict[str, str] = {}
    several: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        facts[name] = value
        several.setdefault(name, []).append(value)
    contents = dict(entry.rpartition(" ")[::2] for entry in several.get("file", ()))
    modes = dict(entry.rpartition(" ")[::2] for entry in several.get("mode", ()))
    return Machine(
        systemd="systemd" in facts,
        cron="cron" in facts,
        dockerd=facts.get("dockerd", ""),
        pid=facts.get("pid", ""),
        flags=tuple(word for word in _decoded(facts.get("flags", "")).split("\0") if word),
        daemon=facts.get("daemon", "/etc/docker/daemon.json"),
        restart_due="newer" in facts,
        files={
            path: File(mode=mode, content=base64.b64decode(contents[path]) if path in contents else None)
            for path, mode in modes.items()
        },
        odd=frozenset(several.get("odd", ())),
        memory=int(facts.get("memory") or 0) * KILOBYTE,
        swaps=_swaps(_decoded(facts.get("swaps", ""))),
        swappiness=int(facts.get("swappiness") or 60),
        swappiness_set_in=facts.get("swappiness_set_in", ""),
        filesystem=facts.get("filesystem", ""),
        free=int(facts.get("free") or 0) * KILOBYTE,
        swap_file=facts.get("swap_file"),
        tools=frozenset(several.get("tool", ())),
        timers=frozenset(several.get("timer", ())),
    )


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def _swaps(text: str) -> tuple[Swap, ...]:
    """Read /proc/swaps: Filename, Type, Size in KiB, Used, Priority (proc_swaps(5))."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return tuple(Swap(path=row[0].replace("\\040", " "), size=int(row[-3]) * KILOBYTE) for row in rows if len(row) > 4)  # noqa: PLR2004
