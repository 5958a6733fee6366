"""growth: how each cost grows with what did not change: services, files, releases that are kept.

    services   1 -> 1,000, one of them changed: plan, build, deploy
    files      100 -> 100,000 of one service, one of them changed: build, plan, its content key
    releases   5 -> 500 that the host keeps: deploy, history, status

Seconds of a command are the median of some rounds, by the clock and of the processors; factors and differences are
those of the processors, on which other work has less influence. Steps are those that a release and the plan's
document record, the quickest of the rounds. Requests and programs are counted in a run of their own.
"""

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from scripts.benchmarks.decades import Section
from scripts.benchmarks.many import Many, many
from scripts.benchmarks.measure import seconds
from scripts.benchmarks.tally import tally
from tasks.adapters import event_log

SERVICES, FILES, RELEASES = "services", "files", "releases"
KEPT_SERVICES = 3
KEPT_FILES = 10


class Growth:
    """One section under measurement.

    Args:
        section: where figures go.
        rounds: how often each command runs.
        console: where progress goes.
    """

    def __init__(self, section: Section, rounds: int, console: Console) -> None:
        self.section = section
        self._rounds = rounds
        self._console = console
        self._changes = 0

    def changed(self, change: Callable[[int], None]) -> Callable[[int], None]:
        """Return a change that is another one each time."""

        def another(_: int) -> None:
            self._changes += 1
            change(self._changes)

        return another

    def measure(
        self,
        name: str,
        stack: Many,
        size: int,
        *words: str,
        before: Callable[[int], None] | None = None,
    ) -> None:
        """Measure `doit WORDS` at one size: seconds, the seconds of its steps, and what it asks and starts."""
        self._console.print(f"  {size:,} {self.section.what}: {name}")
        known = len(_deploys(stack))
        took = seconds(stack.doit(*words), self._rounds, before=before)
        self.section.note(name, size, took.wall, cpu=took.cpu)
        steps = [event["seconds"] for event in _deploys(stack)[known:]][1:]
        # Of a plan its own document tells.
        asked = [*words, "format=json"] if words[0] == "plan" else [*words]
        runs = [tally([*asked, stack.config], before=before, number=n) for n in range(1 if steps else self._rounds)]
        if words[0] == "plan":
            steps = [_plan(run.out)["timings"] for run in runs]
        for step, value in _least(steps).items():
            self.section.note(f"{name}: {step}", size, value)
        for what, count in runs[-1].counts.items():
            self.section.note(f"{name}: {what}", size, count, unit="count")


def _deploys(stack: Many) -> list[Mapping[str, Mapping[str, float]]]:
    events = event_log.read(stack.folder / ".onevm" / "events.jsonl")
    return [event for event in events if event["event"] == "deploy"]


def _plan(document: str) -> Mapping[str, Mapping[str, float]]:
    (found,) = json.loads(document)["stacks"]
    return dict(found)


def _least(several: list[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in several for name in one)
    return {name: min(one.get(name, 0.0) for one in several) for name in names}


def services(sizes: list[int], files: int, running: int, rounds: int, console: Console) -> Section:
    """Measure by how many services there are, one of which changes."""
    found = Section(title=f"services of {files} files, one of them changed", what=SERVICES)
    growth = Growth(found, rounds, console)
    for size in sizes:
        with many(size, files, running=min(size, running), load=True) as stack:
            stack.on_the_engine()
            growth.measure("build, nothing changed", stack, size, "build")
            stack.in_the_registry()
            console.print(f"  {size:,} {SERVICES}: first deploy")
            stack.run("deploy")
            growth.measure("deploy, nothing changed", stack, size, "deploy")
            growth.measure("plan, nothing changed", stack, size, "plan")
            growth.measure("plan, one changed", stack, size, "plan", before=growth.changed(stack.change))
            one = f"deploy:{stack.name}.{stack.names[0]}"
            growth.measure("deploy of it", stack, size, one, before=growth.changed(stack.commit))
            growth.measure("deploy, one changed", stack, size, "deploy", before=growth.changed(stack.commit))
    found.notes.append(
        f"At most {running} services run; the others have `scale: 0`, so that they are in every step but have no "
        "container. All images but those of the changed service are put into the registry, not built."
    )
    return found


def files(sizes: list[int], rounds: int, console: Console) -> Section:
    """Measure by how many files one service has, one of which changes."""
    found = Section(title="files of one service, one of them changed", what=FILES)
    growth = Growth(found, rounds, console)
    for size in sizes:
        with many(1, size, running=1, load=True) as stack:
            stack.on_the_engine()
            growth.measure("build, nothing changed", stack, size, "build")
            stack.in_the_registry()
            growth.measure("plan, nothing changed", stack, size, "plan")
            growth.measure("plan, one changed", stack, size, "plan", before=growth.changed(stack.change))

            def cold(number: int, stack: Many = stack) -> None:
                stack.change(number)
                for name in ("hashes.sqlite", "keys"):
                    (stack.folder / ".onevm" / name).unlink(missing_ok=True)

            growth.measure("plan, one changed, cold cache", stack, size, "plan", before=growth.changed(cold))
    found.notes.append("The step `key` of a plan is the service's content key.")
    return found


def releases(sizes: list[int], rounds: int, console: Console) -> Section:
    """Measure by how many releases the host keeps."""
    found = Section(title=f"releases kept, of {KEPT_SERVICES} services", what=RELEASES)
    growth = Growth(found, rounds, console)
    with many(KEPT_SERVICES, KEPT_FILES, running=KEPT_SERVICES, load=True) as stack:
        stack.in_the_registry()
        stack.run("deploy")
        first = stack.names[0]
        for size in sorted(sizes):
            stack.keep(size)
            with _kept(stack, size):
                growth.measure("deploy, nothing changed", stack, size, "deploy")
                growth.measure("history", stack, size, "history")
                growth.measure("status", stack, size, "status")
                one = f"deploy:{stack.name}.{first}"
                growth.measure("deploy of one service", stack, size, one, before=growth.changed(stack.commit))
    found.notes.append("All but the newest are copies of one release: as many records to read, with the same images.")
    return found


@contextmanager
def _kept(stack: Many, count: int) -> Iterator[None]:
    """Have a host keep so many releases: copies of the current one, with older ids."""
    folder = stack.folder / "root" / stack.name / "releases"
    current = (folder.parent / "current").resolve()
    record = json.loads((current / "release.json").read_text())
    missing = count - sum(1 for path in folder.iterdir() if (path / "release.json").exists())
    names = [f"20200101T{number // 60 // 60:02}{number // 60 % 60:02}{number % 60:02}.000Z" for number in range(count)]
    made = [folder / f"{name}-{record['sha'][:7]}" for name in names[: max(missing, 0)]]
    for path in made:
        shutil.copytree(current, path)
        (path / "release.json").write_text(json.dumps({**record, "id": path.name}, indent=2) + "\n")
    yield
    for path in made:
        shutil.rmtree(path, ignore_errors=True)


def main() -> None:
    """Measure, print the tables, and write them down if asked to."""
    options = _options()
    # What was made goes away with us, however we end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    console = Console(width=None if Console().is_terminal else 200, highlight=False)
    sections = []
    if options.services:
        sections.append(services(options.services, options.service_files, options.running, options.rounds, console))
    if options.files:
        sections.append(files(options.files, options.rounds, console))
    if options.releases:
        sections.append(releases(options.releases, options.rounds, console))
    console.print(
        "\nseconds by the clock (of the processors); →: the factor for ten times as many, of the processors' seconds "
        "where they are known; grows: by more than half for the last ten times, and noticeably"
    )
    for section in sections:
        console.print()
        console.print(section.table())
        for note in section.notes:
            console.print(note)
    here = Path(os.environ.get("ONEVM_BENCH_FROM", "."))
    if options.json:
        document = {"schema": 1, "rounds": options.rounds, "sections": [s.document() for s in sections]}
        (here / options.json).write_text(json.dumps(document, indent=2) + "\n")
    if options.markdown:
        (here / options.markdown).write_text("\n".join(section.markdown() for section in sections))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench growth", description="How costs grow.")
    parser.add_argument("--services", type=_numbers, default=[1, 10, 100, 1000], help="comma-separated; '' for none")
    parser.add_argument("--service-files", type=int, default=100, help="files of each of them")
    parser.add_argument("--running", type=int, default=30, help="how many of them run, at most")
    parser.add_argument("--files", type=_numbers, default=[100, 1000, 10_000, 100_000], help="likewise")
    parser.add_argument("--releases", type=_numbers, default=[5, 50, 500], help="likewise")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    parser.add_argument("--markdown", metavar="FILE", help="write the tables there too")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return sorted(int(word) for word in text.split(",") if word)


if __name__ == "__main__":
    main()
