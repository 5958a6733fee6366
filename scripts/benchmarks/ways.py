"""ways: the same changes, deployed to a VM in four ways, side by side.

    a  the old script    on the VM, for each repository: `down`, `build`, `up -d --force-recreate`
    b  plain Compose     here `build` and `push`, on the VM `pull` and `up -d --wait`, for each repository
    c  the limit         by hand, knowing what changed: `bake --push` of it, on the VM `pull` and `up --no-deps` of it
    d  Onevm             `doit deploy`

Every number is the median of some rounds, in seconds by the clock; the VM is reached anew in each, as by a person.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmarks.repositories import Street, run, street
from tests.e2e.sampler import all_processes, below, memory_of, sampling

MIB = 1 << 20
WAYS = {"a": "old script", "b": "plain Compose", "c": "the limit", "d": "Onevm"}
# A person types a command for each stack; what has a line of its own here is one session of ssh.
CASES = ("nothing changed", "one service changed", "all changed", "no source changed", "rollback", "fresh clone")


@dataclass(kw_only=True)
class Found:
    """What was measured.

    Attributes:
        seconds: by case and way, of each round.
        memory: by way, bytes that the VM's processes took at most, above what they had, while one service changed.
    """

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def note(self, case: str, way: str, seconds: float) -> None:
        """Write down one round."""
        self.seconds.setdefault(case, {}).setdefault(way, []).append(seconds)


class Bench:
    """One size of the platform, deployed in each way.

    Args:
        s: the repositories and their VM.
        found: where figures go.
    """

    def __init__(self, s: Street, found: Found) -> None:
        self.s = s
        self.found = found

    # What is typed

    def on_vm(self, lines: list[str]) -> None:
        """Run lines of shell on the VM, in one session."""
        run(["ssh", "-F", self.s.vm.ssh_config, f"deploy@{self.s.vm.name}", "set -e\n" + "\n".join(lines)])

    def compose(self, repository: str, words: str) -> str:
        """Return a line that runs Compose in a work tree on the VM."""
        return f"cd {self.s.sources}/{repository} && docker compose {words}"

    def old(self) -> None:
        """Deploy by the old script."""
        for r in self.s.repositories:
            steps = ("down", "build", "up -d --force-recreate")
            self.on_vm([self.compose(r.name, words) for words in steps])
            self.healthy()

    def healthy(self) -> None:
        """The old script does not wait, but is not done before its containers answer."""
        while "starting" in self.s.vm.docker("ps", "--format", "{{.Status}}"):
            time.sleep(0.1)

    def plain(self) -> None:
        """Deploy with plain Compose."""
        for r in self.s.repositories:
            run(["docker", "compose", "build"], r.folder)
            run(["docker", "compose", "push"], r.folder)
        self.on_vm([self.compose(r.name, w) for r in self.s.repositories for w in ("pull", "up -d --wait")])

    def up_all(self) -> None:
        """Type `up -d --wait` for every stack."""
        self.on_vm([self.compose(r.name, "up -d --wait") for r in self.s.repositories])

    def limit(self, service: str) -> None:
        """Deploy the one service that is known to have changed."""
        r = self.s.busy
        run(["docker", "buildx", "bake", "-f", "docker-compose.yml", "--push", service], r.folder)
        up = f"up -d --no-deps --wait {service}"
        self.on_vm([self.compose(r.name, f"pull {service}"), self.compose(r.name, up)])

    def limit_all(self) -> None:
        """Deploy everything, which is known to have changed."""
        for r in self.s.repositories:
            run(["docker", "buildx", "bake", "-f", "docker-compose.yml", "--push"], r.folder)
        self.on_vm([self.compose(r.name, w) for r in self.s.repositories for w in ("pull", "up -d --wait")])

    def onevm(self, *words: str) -> None:
        """Run doit."""
        run(self.s.doit(*words), env=self.s.vm.environment)

    # What is measured

    def timed(self, case: str, way: str, act: Callable[[], None]) -> None:
        """Measure one round."""
        began = time.perf_counter()
        act()
        self.found.note(case, way, time.perf_counter() - began)

    def changes(self) -> dict[str, Callable[[], object]]:
        """Return, by case, what is changed before a deploy."""
        return {
            "nothing changed": lambda: None,
            "one service changed": self.s.change_one,
            "all changed": self.s.change_all,
            "no source changed": self.s.change_none,
        }

    def watched(self, way: str, act: Callable[[], None]) -> None:
        """Do something, and see how much memory the VM needs for it at most."""
        before = memory_of(below(self.s.vm.pid(), all_processes()))
        with sampling(self.s.vm.pid()) as sampled:
            act()
        self.found.memory[way] = memory_of(sampled.peak) - before

    def clear(self) -> None:
        """Take every container off the VM."""
        if ids := self.s.vm.docker("ps", "--all", "--quiet").split():
            self.s.vm.docker("rm", "--force", *ids)
        for name in self.s.vm.docker("network", "ls", "--quiet", "--filter", "type=custom").split():
            self.s.vm.docker("network", "rm", name, check=False)

    def way_a(self, rounds: int) -> None:
        """Measure the old script: it does the same whatever has changed."""
        self.s.bring_sources()
        self.old()
        for _ in range(rounds):
            for case, change in self.changes().items():
                change()
                self.s.bring_sources()
                self.timed(case, "a", self.old)
            # `git revert`, and all of it again.
            self.s.busy.git("revert", "--no-edit", "HEAD")
            self.s.bring_sources()
            self.timed("rollback", "a", self.old)
        self.s.change_one()
        self.s.bring_sources()
        self.watched("a", self.old)
        self.clear()

    def way_b(self, rounds: int) -> None:
        """Measure plain Compose."""
        self.s.bring_sources()
        self.plain()
        for _ in range(rounds):
            for case, change in self.changes().items():
                change()
                self.timed(case, "b", self.plain)
            self.s.busy.git("revert", "--no-edit", "HEAD")
            self.timed("rollback", "b", self.plain)
            self.timed("fresh clone", "b", self.plain)
        self.s.change_one()
        self.watched("b", self.plain)

    def way_c(self, rounds: int) -> None:
        """Measure what is typed by somebody who knows; what plain Compose left runs."""
        for _ in range(rounds):
            self.timed("nothing changed", "c", self.up_all)
            service = self.s.change_one()
            self.timed("one service changed", "c", lambda: self.limit(service))  # noqa: B023
            self.s.change_all()
            self.timed("all changed", "c", self.limit_all)
            self.s.change_none()
            self.timed("no source changed", "c", self.up_all)
            self._rollback_by_hand(service)
        service = self.s.change_one()
        self.watched("c", lambda: self.limit(service))
        self.clear()

    def _rollback_by_hand(self, service: str) -> None:
        """Type `up -d --wait` with the pins of what ran before at hand."""
        r = self.s.busy
        name = f"{self.s.registry}/{self.s.team}/plain/{r.name}-{service}"
        there = self.s.vm.docker("image", "ls", "--no-trunc", "--format", "{{.ID}}", name).split()
        pins = {"services": {service: {"image": there[-1]}}}
        self.s.vm.here(f"{self.s.sources}/{r.name}/pins.json").write_text(json.dumps(pins))
        both = "-f docker-compose.yml -f pins.json"
        self.timed("rollback", "c", lambda: self.on_vm([self.compose(r.name, f"{both} up -d --wait")]))
        self.on_vm([self.compose(r.name, "up -d --wait")])

    def way_d(self, rounds: int) -> None:
        """Measure Onevm."""
        self.onevm("deploy")
        for _ in range(rounds):
            self.timed("nothing changed", "d", lambda: self.onevm("deploy"))
            self.s.change_one()
            before = self._state()
            self.timed("one service changed", "d", lambda: self.onevm("deploy"))
            connections, containers = self._state()
            new = len(containers - before[1])
            print(f"one service changed: {connections - before[0]} connection, {new} container replaced")
            self.timed("rollback", "d", lambda: self.onevm(f"rollback:{self.s.busy.name}"))
            self.s.change_all()
            self.timed("all changed", "d", lambda: self.onevm("deploy"))
            self.s.change_none()
            self.timed("no source changed", "d", lambda: self.onevm("deploy"))
            shutil.rmtree(self.s.folder / ".onevm")
            self.timed("fresh clone", "d", lambda: self.onevm("deploy"))
        self.s.change_one()
        self.watched("d", lambda: self.onevm("deploy"))

    def _state(self) -> tuple[int, set[str]]:
        """Return how many connections the VM has seen, and its containers."""
        return self.s.vm.handshakes(), set(self.s.vm.docker("ps", "--quiet").split())


def measure(services: int, ways: str, rounds: int, console: Console) -> Found:
    """Measure some ways at one size."""
    found = Found()
    with street(services, f"bench{uuid.uuid4().hex[:6]}") as s:
        bench = Bench(s, found)
        for way in ways:
            console.print(f"{time.strftime('%H:%M:%S')}  {services} services  {way}  {WAYS[way]}")
            {"a": bench.way_a, "b": bench.way_b, "c": bench.way_c, "d": bench.way_d}[way](rounds)
    return found


def figures(found: Found, case: str) -> list[str]:
    """Return the cells of one row: seconds by way, and what Onevm's are of the others'."""
    medians = {way: median(times) for way, times in found.seconds.get(case, {}).items()}
    cells = [f"{medians[way]:.1f}" if way in medians else "" for way in WAYS]
    return cells + [f"{medians['d'] / medians[way]:.2f}" if way in medians and "d" in medians else "" for way in "abc"]


COLUMNS = ["case", *(f"{way} {name}" for way, name in WAYS.items()), "d / a", "d / b", "d / c"]


def table(found: Found, services: int) -> Table:
    """Return the table of one size."""
    shown = Table(title=f"{services} services in four repositories, seconds", title_justify="left", box=None)
    for number, column in enumerate(COLUMNS):
        shown.add_column(column, justify="right" if number else "left")
    for case in CASES:
        shown.add_row(case, *figures(found, case))
    memory = [f"{found.memory[way] / MIB:.0f} MiB" if way in found.memory else "" for way in WAYS]
    shown.add_row("memory of the VM, one changed", *memory)
    return shown


def markdown(results: dict[int, Found]) -> str:
    """Return the tables as Markdown."""
    lines = []
    for services, found in results.items():
        lines += [f"### {services} services in four repositories", "", f"| {' | '.join(COLUMNS)} |"]
        lines.append(f"|---|{'---:|' * (len(COLUMNS) - 1)}")
        lines += [f"| {case} | {' | '.join(figures(found, case))} |" for case in CASES]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure, print the tables, and write them down if asked to."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    results: dict[int, Found] = {}
    for services in options.services:
        results[services] = measure(services, options.ways, options.rounds, console)
        console.print(table(results[services], services))
    here = Path(os.environ.get("ONEVM_BENCH_FROM", "."))
    if options.json:
        document: dict[str, Any] = {
            str(services): {"seconds": found.seconds, "memory": found.memory} for services, found in results.items()
        }
        (here / options.json).write_text(json.dumps({"schema": 1, "rounds": options.rounds, **document}, indent=2))
    if options.markdown:
        (here / options.markdown).write_text(markdown(results))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench ways", description="Deploy in four ways, and compare.")
    parser.add_argument("--services", type=lambda text: [int(n) for n in text.split(",")], default=[10, 31])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", default="abcd", help="some of a, b, c, d")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
