"""What a run of doit asks and starts: requests to registries and engines, and programs, by name.

Run as a program it is `doit WORDS`, and writes down what was counted: `python -m scripts.benchmarks.tally FILE WORDS`.
"""

import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.measure import CLONE
from tasks.adapters.answer import Answer
from tasks.adapters.wire import Wire

REGISTRY, ENGINE = "requests to the registry", "requests to the engine"
PROGRAMS = ("git", "docker", "docker compose", "docker buildx", "sh")
NAMES = (REGISTRY, ENGINE, *(f"{program} started" for program in PROGRAMS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What was counted, by name, and what the command said on standard output."""

    counts: dict[str, int]
    out: str


def tally(words: Sequence[str], *, before: Callable[[int], None] | None = None, number: int = 0) -> Tally:
    """Run `doit WORDS` in the clone, and count.

    Args:
        words: the words.
        before: called with `number` before that.
        number: which run it is.

    Raises:
        RuntimeError: it failed; the message has what it said.
    """
    if before:
        before(number)
    with tempfile.TemporaryDirectory(prefix="onevm-tally-") as folder:
        file = Path(folder) / "counts"
        command = [sys.executable, "-m", "scripts.benchmarks.tally", str(file), *words]
        done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"doit {' '.join(words)} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
        counts = json.loads(file.read_text())
    return Tally(counts={name: int(counts.get(name, 0)) for name in NAMES}, out=done.stdout)


def main() -> None:
    """Be doit, and count."""
    file, *words = sys.argv[1:]
    seen: list[str] = []  # appending is safe in any thread

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            seen.append(f"{program(arguments[1])} started")
        elif event == "http.client.send" and type(arguments[0]).__module__.endswith("engine_socket"):
            seen.append(ENGINE)

    sys.addaudithook(hear)
    _hear_requests(seen)
    sys.argv = ["doit", *words]
    try:
        runpy.run_module("doit", run_name="__main__", alter_sys=True)
    finally:
        Path(file).write_text(json.dumps(Counter(seen)))


def program(arguments: Sequence[Any]) -> str:
    """Return the name of what is started: the program, and which one `docker` hands over to."""
    words = [os.fsdecode(word) for word in arguments]
    if Path(words[0]).name == "setpriv":
        words = words[words.index("--") + 1 :]
    name = Path(words[0]).name
    if name == "docker":
        plugin = next((word for word in words[1:] if word in {"compose", "buildx"}), "")
        return f"docker {plugin}".strip()
    # Where several things are to be done on a host, a shell does them.
    return "docker compose" if name == "sh" and any("docker compose" in word for word in words) else name


def _hear_requests(seen: list[str]) -> None:
    """Have each exchange with a registry written down."""
    exchange = Wire._once  # noqa: SLF001 - below redirects, above whatever sends

    def heard(self: Wire, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        seen.append(REGISTRY)
        return exchange(self, method, url, headers, body)

    Wire._once = heard  # type: ignore[method-assign] # noqa: SLF001


if __name__ == "__main__":
    main()
