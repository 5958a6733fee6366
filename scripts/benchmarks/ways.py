"""ways: the same changes, deployed to a VM in four ways, side by side.

    a  the old script    on the VM, for each repository: `down`, `build`, `up -d --force-recreate`
    b  plain Compose     here `build` and `push`, on the VM `pull` and `up -d --wait`, for each repository
    c  the limit         by hand, knowing what changed: `bake --push` of it, on the VM `pull` and `up --no-deps` of it
    d  Onevm             `doit deploy`

Every number is the median of some rounds, in seconds by the clock; the VM is reached anew in each, as by a person. The
ways take turns, round by round, so that a slow minute of the machine is not that of one way. A person types a command
for each stack; what has a line of its own here is one session of ssh.
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
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from scripts.benchmarks.figures import CASES, NAMED, WAYS, Found, Link, counts, markdown, table
from scripts.benchmarks.repositories import Street, run, street
from scripts.benchmarks.sessions import Sessions
from tests.e2e.sampler import all_processes, below, memory_of, sampling


class Bench:
    """One size of the platform, deployed in each way.

    Args:
        s: the repositories and their VM.
        found: where figures go.
        sessions: what Onevm asks of the VM is counted there; None if it is not.
    """

    def __init__(self, s: Street, found: Found, sessions: Sessions | None) -> None:
        self.s = s
        self.found = found
        self.sessions = sessions

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
        counted = self.sessions.environment if self.sessions else {}
        run(self.s.doit(*words), env=self.s.vm.environment | counted)

    # What is measured

    def timed(self, case: str, way: str, act: Callable[[], None]) -> None:
        """Measure one round."""
        with self.s.slow():
            began = time.perf_counter()
            act()
            self.found.note(case, way, time.perf_counter() - began)

    def deploy(self, case: str, *words: str) -> None:
        """Measure one round of Onevm, and count what it asked of the VM."""
        if not self.sessions:
            self.timed(case, "d", lambda: self.onevm(*words))
            return
        with self.sessions.counted() as asked:
            self.timed(case, "d", lambda: self.onevm(*words))
            self.found.asked.setdefault(case, []).append(asked())

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
        with self.s.slow(), sampling(self.s.vm.pid()) as sampled:
            act()
        self.found.memory.setdefault(way, []).append(memory_of(sampled.peak) - before)

    def clear(self) -> None:
        """Take every container off the VM."""
        if ids := self.s.vm.docker("ps", "--all", "--quiet").split():
            self.s.vm.docker("rm", "--force", *ids)
        for name in self.s.vm.docker("network", "ls", "--quiet", "--filter", "type=custom").split():
            self.s.vm.docker("network", "rm", name, check=False)

    def way_a(self) -> None:
        """Measure the old script: it does the same whatever has changed."""
        self.s.bring_sources()
        self.old()
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

    def way_b(self) -> None:
        """Measure plain Compose."""
        self.s.bring_sources()
        self.plain()
        for case, change in self.changes().items():
            change()
            self.timed(case, "b", self.plain)
        self.s.busy.git("revert", "--no-edit", "HEAD")
        self.timed("rollback", "b", self.plain)
        self.timed("fresh clone", "b", self.plain)
        self.s.change_one()
        self.watched("b", self.plain)

    def way_c(self) -> None:
        """Measure what is typed by somebody who knows."""
        self.s.bring_sources()
        self.plain()
        self.timed("nothing changed", "c", self.up_all)
        for case in ("one service changed", NAMED):
            service = self.s.change_one()
            self.timed(case, "c", lambda: self.limit(service))  # noqa: B023
        self.s.change_all()
        self.timed("all changed", "c", self.limit_all)
        self.s.change_none()
        self.timed("no source changed", "c", self.up_all)
        self._rollback_by_hand(service)
        service = self.s.change_one()
        self.watched("c", lambda: self.limit(service))

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

    def way_d(self) -> None:
        """Measure Onevm."""
        # The second has nothing to do, and remembers what Compose said.
        self.onevm("deploy")
        self.onevm("deploy")
        self.deploy("nothing changed", "deploy")
        self.s.change_one()
        before = self._state()
        self.deploy("one service changed", "deploy")
        connections, containers = self._state()
        new = len(containers - before[1])
        print(f"one service changed: {connections - before[0]} connection, {new} container replaced")
        self.deploy("rollback", f"rollback:{self.s.busy.name}")
        # As the limit is told what changed.
        self.deploy(NAMED, f"deploy:{self.s.busy.name}.{self.s.change_one()}")
        self.s.change_all()
        self.deploy("all changed", "deploy")
        self.s.change_none()
        self.deploy("no source changed", "deploy")
        shutil.rmtree(self.s.folder / ".onevm")
        self.deploy("fresh clone", "deploy")
        self.s.change_one()
        self.watched("d", lambda: self.onevm("deploy"))

    def _state(self) -> tuple[int, set[str]]:
        """Return how many connections the VM has seen, and its containers."""
        return self.s.vm.handshakes(), set(self.s.vm.docker("ps", "--quiet").split())


def measure(services: int, ways: str, rounds: int, link: Link, console: Console) -> Found:
    """Measure some ways at one size."""
    found = Found()
    with TemporaryDirectory() as folder, street(services, f"bench{uuid.uuid4().hex[:6]}", link) as s:
        bench = Bench(s, found, Sessions(s.vm, Path(folder)) if link and "d" in ways else None)
        for number in range(1, rounds + 1):
            for way in ways:
                console.print(f"{time.strftime('%H:%M:%S')}  {services} services  round {number}  {way}  {WAYS[way]}")
                {"a": bench.way_a, "b": bench.way_b, "c": bench.way_c, "d": bench.way_d}[way]()
                bench.clear()
    return found


def show(found: Found, services: int, link: Link, console: Console) -> None:
    """Print what was measured at one size."""
    console.print(table(found, services, link))
    for case in (case for case in CASES if case in found.asked):
        console.print(counts(found, case))
    for changed in found.asked.get("one service changed", [])[-1:]:
        console.print("one service changed, by the second since the first session:")
        for command in changed.commands:
            console.print(f"  {command}", markup=False, soft_wrap=True)


def main() -> None:
    """Measure, print the tables, and write them down if asked to."""
    options = _options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    console = Console(width=None if Console().is_terminal else 140, highlight=False)
    link = Link(delay=options.delay, rate=options.rate)
    results: dict[int, Found] = {}
    for services in options.services:
        results[services] = measure(services, options.ways, options.rounds, link, console)
        show(results[services], services, link, console)
    here = Path(os.environ.get("ONEVM_BENCH_FROM", "."))
    if options.json:
        said = {"schema": 1, "rounds": options.rounds, "delay_ms": link.delay, "rate_mbit": link.rate}
        document = {str(services): found.as_json() for services, found in results.items()}
        (here / options.json).write_text(json.dumps(said | document, indent=2))
    if options.markdown:
        (here / options.markdown).write_text(markdown(results, link))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench ways", description="Deploy in four ways, and compare.")
    parser.add_argument("--services", type=lambda text: [int(n) for n in text.split(",")], default=[10, 31])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", default="abcd", help="some of a, b, c, d")
    parser.add_argument("--delay", type=float, default=0, metavar="MS", help="of each packet, in each direction")
    parser.add_argument("--rate", type=float, default=0, metavar="MBIT", help="of the link, in each direction")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
