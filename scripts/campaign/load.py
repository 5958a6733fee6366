"""Deploys under load: how many requests fail, and how long nobody is answered.

A VM of the lab, Caddy on it in front of one service, wrk outside. Each part is a row of the table:

    start-first      deploys and rollbacks, one after the other
    never healthy    new versions that never get healthy
    killed           deployers killed while the new copy starts, while the old one drains, while it is stopped
    two replicas     replaced under load
    in place         `recreate`, and beside it `docker stop` and `docker start` of that container
"""

import argparse
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.campaign.world import World, probing
from scripts.campaign.wrk import Load, load
from tests.e2e.remote import RemoteShop, opened, registry_door
from tests.e2e.vm import running_vm
from tests.integration.shop import lab_registry, until

PORT = 8000
DRAIN_SECONDS = 3
CADDYFILE = f"""{{
	auto_https off
	persist_config off
}}
:{PORT} {{
	reverse_proxy {{
		dynamic a {{
			name {{file./upstreams/a}}
			port 8000
			refresh 1s
		}}
		lb_try_duration 10s
		lb_try_interval 50ms
		transport http {{
			dial_timeout 250ms
		}}
	}}
}}
"""
HEALTH = {"interval": "1s", "timeout": "3s", "retries": 5}
ASKS = "import socket; socket.create_connection(('127.0.0.1', 8000), 2)"


@dataclass(kw_only=True)
class Row:
    """One part: what the load counted, and for each run the longest time without an answer, in seconds."""

    part: str
    runs: int = 0
    load: Load = field(default_factory=Load)
    gaps: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Bench:
    """The stack, and what is measured on it."""

    world: World
    folder: Path
    count: int = 0

    @property
    def shop(self) -> RemoteShop:
        """The stack."""
        return self.world.shop

    def dockerfile(self, command: str = '"python3", "/till/app.py"') -> None:
        """Write the service's Dockerfile."""
        lines = ["ARG REGISTRY", "FROM ${REGISTRY}/base/python:3", "COPY app.py version /till/", f"CMD [{command}]"]
        self.shop.write("a/Dockerfile", "\n".join(lines) + "\n")

    def change(self) -> None:
        """Commit a new version."""
        self.count += 1
        self.shop.change("a", f"version {self.count}")

    @contextmanager
    def run(self, row: Row) -> Iterator[None]:
        """Measure the longest time without an answer in a block."""
        begin = time.monotonic()
        yield
        end = time.monotonic()
        # A container that was only started does not answer yet.
        until(lambda: self.world.answering(end), "it answers")
        row.runs += 1
        row.gaps.append(self.world.gap(begin, time.monotonic()))

    def deploy(self, row: Row, verb: str = "deploy", code: int = 0) -> None:
        """Deploy or roll back, and write down what is not as it should be."""
        with self.run(row):
            ran = self.shop.doit(verb)
        if ran.code != code:
            row.problems.append(f"{verb} ended with {ran.code}: {' '.join(ran.err.split())[-300:]}")

    def settled(self, row: Row, replicas: int = 1) -> None:
        """Compose must have nothing to do, and there must be no more copies than asked for."""
        before = {c.id for c in self.shop.containers()}
        (stack,) = self.shop.doit("status", "format=json").ok().json["stacks"]
        self.world.vm.run(f"{stack['compose']} 2>&1")
        if {c.id for c in self.shop.containers()} != before:
            row.problems.append("a plain `docker compose up -d` changed containers")
        copies = [c for c in self.shop.containers() if c.service == "a"]
        if [c.state for c in copies] != ["healthy"] * replicas:
            row.problems.append(f"copies afterwards: {copies}")

    @contextmanager
    def under_load(self, part: str) -> Iterator[Row]:
        """Give a row whose block is under load."""
        row = Row(part=part)
        with load(f"{self.world.vm.address}:{PORT}", self.folder) as found:
            row.load = found
            yield row
            # What was asked last is answered.
            time.sleep(DRAIN_SECONDS)


@contextmanager
def bench() -> Iterator[Bench]:
    """Make all of it, with the stack deployed, and take it away again."""
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="load-")))
        vm = closing.enter_context(running_vm("load"))
        door = closing.enter_context(registry_door(vm))
        shop = closing.enter_context(opened(vm, folder, "ae", door.host))
        (folder / "answers").touch()
        found = Bench(world=World(vm=vm, shop=shop, door=door, answers=folder / "answers"), folder=folder)
        shop.write("a/app.py", Path(__file__).with_name("till.py").read_text(encoding="utf-8"))
        shop.write("caddy/Caddyfile", CADDYFILE)
        found.dockerfile()
        with shop.compose() as compose:
            compose["services"]["a"] |= {"healthcheck": {"test": ["CMD", "python3", "-c", ASKS], **HEALTH}}
            compose["services"]["a"]["mem_limit"] = "96m"
            compose["services"]["a"]["build"]["args"] = {"REGISTRY": lab_registry()}
            compose["services"]["p"] = {
                "image": f"{door.host}/base/caddy:2",
                "ports": [f"{PORT}:{PORT}"],
                "volumes": ["./caddy:/etc/caddy:ro", "./upstreams:/upstreams:ro"],
            }
        shop.commit("Open for everybody")
        configure(shop, "auto")
        shop.doit("deploy").ok()
        closing.enter_context(probing(vm, folder / "answers"))
        until(lambda: found.world.answering(0), "it answers")
        yield found


def configure(shop: RemoteShop, rollout: str) -> None:
    """Say how the service is replaced."""
    service = f'rollout = "{rollout}"\ndrain = {DRAIN_SECONDS}\n'
    shop.configure('files = ["caddy"]', f"[stacks.{shop.name}.services.a]\n{service}")


def start_first(b: Bench, deploys: int, rollbacks: int) -> Row:
    """Deploy and roll back under load."""
    with b.under_load("start-first") as row:
        for number in range(deploys):
            b.change()
            b.deploy(row)
            if number < rollbacks:
                b.deploy(row, "rollback")
        b.settled(row)
    return row


def never_healthy(b: Bench, times: int) -> Row:
    """Deploy versions that never get healthy, under load."""
    with b.under_load("never healthy") as row:
        for _ in range(times):
            b.dockerfile('"sleep", "600"')
            b.change()
            b.deploy(row, code=1)
            b.settled(row)
        b.dockerfile()
        b.change()
    return row


def killed(b: Bench, times: int) -> Row:
    """Kill the deployer in each phase, under load; the next deploy settles it."""
    with b.under_load("killed") as row:
        for _ in range(times):
            for moment in ("starting beside", "draining", "stopping"):
                b.change()
                with b.run(row):
                    run = b.shop.start("deploy")
                    until(lambda run=run, moment=moment: moment in run.out, moment)  # type: ignore[misc]
                    run.signal(signal.SIGKILL)
                    run.wait()
                b.change()
                b.deploy(row)
                b.settled(row)
    return row


def two_replicas(b: Bench, times: int) -> Row:
    """Replace two replicas under load."""
    with b.shop.compose() as compose:
        compose["services"]["a"]["deploy"] = {"replicas": 2}
    b.change()
    b.shop.doit("deploy").ok()
    with b.under_load("two replicas") as row:
        for _ in range(times):
            b.change()
            b.deploy(row)
            b.settled(row, 2)
    with b.shop.compose() as compose:
        del compose["services"]["a"]["deploy"]
    b.change()
    b.shop.doit("deploy").ok()
    return row


def in_place(b: Bench, times: int) -> tuple[Row, Row]:
    """Replace it in place, and stop and start its container, in turn and under the same load.

    Requests that it was answering are lost, as they are when it is stopped by hand; the others wait in the proxy.
    """
    configure(b.shop, "recreate")
    b.change()
    b.shop.doit("deploy").ok()
    by_hand = Row(part="docker stop, start")
    with b.under_load("in place") as recreated:
        for _ in range(times):
            b.change()
            b.deploy(recreated)
            (copy,) = [c for c in b.shop.containers() if c.service == "a"]
            with b.run(by_hand):
                b.world.vm.run(f"docker stop {copy.id} && docker start {copy.id}")
            until(lambda: "healthy" in {c.state for c in b.shop.containers() if c.service == "a"}, "a is healthy")
        b.settled(recreated)
    ratio = statistics.median(recreated.gaps) / statistics.median(by_hand.gaps)
    print(f"a gap in place is {ratio:.2f} times one of docker stop and start")
    return recreated, by_hand


def table(rows: list[Row]) -> Table:
    """Return the table of what was measured."""
    found = Table("part", "runs", "requests", "per second", "not 2xx", "broken", "gap, median", "longest gap", box=None)
    for row in rows:
        total, seconds = row.load.total, row.load.seconds
        loaded = [""] * 4
        if seconds:
            loaded = [str(total.requests), f"{total.requests / seconds:.0f}", str(total.refused), str(total.broken)]
        gaps = [f"{statistics.median(row.gaps):.2f} s", f"{max(row.gaps):.2f} s"] if row.gaps else ["", ""]
        found.add_row(row.part, str(row.runs), *loaded, *gaps)
    return found


def main() -> None:
    """Play every part; ends with 1 if a request failed or something was not as it should be."""
    options = _options()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: sys.exit(128 + number))
    console = Console(width=120)
    rows: list[Row] = []
    with bench() as b:
        parts = {
            "start-first": lambda: [start_first(b, options.deploys, options.rollbacks)],
            "never healthy": lambda: [never_healthy(b, 2)],
            "killed": lambda: [killed(b, 2)],
            "two replicas": lambda: [two_replicas(b, 3)],
            "in place": lambda: list(in_place(b, 10)),
        }
        for part, play in parts.items():
            if options.only not in {"", part}:
                continue
            console.print(f"{time.strftime('%H:%M:%S')}  {part}")
            found = play()
            rows += found
            console.print(table(found))
            for problem in (problem for row in found for problem in row.problems):
                console.print(f"  {problem}", soft_wrap=True)
    console.print(table(rows))
    for kind in rows[0].load.counts:
        total = sum((row.load.counts[kind] for row in rows if row.load.counts), type(rows[0].load.total)())
        console.print(f"{kind:<12} {total.requests} requests, {total.failed} failed")
    # What is replaced in place is away for a while: its row is for comparison.
    failed = sum(row.load.total.failed for row in rows if row.part != "in place")
    sys.exit(1 if failed or any(row.problems for row in rows) else 0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/load", description="Deploy under load, and count what fails.")
    parser.add_argument("--deploys", type=int, default=20)
    parser.add_argument("--rollbacks", type=int, default=5)
    parser.add_argument("--only", default="", metavar="PART", help="a part: 'start-first', 'in place', …")
    return parser.parse_args()


if __name__ == "__main__":
    main()
