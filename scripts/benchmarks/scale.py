"""scale: how long commands take that find nothing to do, or one thing, in stacks of many services.

    write the stack -> images on the engine -> nothing to do -> measure -> images in the registry -> measure plans

Every number is the median of some rounds: seconds by the clock, seconds of the processors, and how many times as
long as it takes to start Python and import doit.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.benchmarks.many import Many, many
from scripts.benchmarks.measure import BASELINE, Seconds, seconds
from tasks.core.values import plain

BASELINE_NAME = "python, import doit"
STALE = 1  # what `doit info` ends with
Measured = tuple[str, Seconds]


def main() -> None:
    """Measure, print the table, and write it down if asked to."""
    options = _options()
    # What was made goes away with us, however we end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    results: dict[int, dict[str, Seconds]] = {}
    notes, stacks = [], []
    for services in options.services:
        with many(services, options.files) as stack:
            stacks.append(stack.name)
            results[services] = dict(_measure(stack, options.rounds))
            if stack.loaded:
                notes.append(
                    f"{services} services: images of one small layer, loaded and put instead of built and pushed"
                )
    _table(results, options.files, options.rounds, notes)
    if options.json:
        file = Path(os.environ.get("ONEVM_BENCH_FROM", ".")) / options.json
        file.write_text(json.dumps(_document(results, options, notes) | {"stacks": stacks}, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench scale", description=__doc__.partition("\n")[0] if __doc__ else ""
    )
    parser.add_argument("--services", type=_numbers, default=[10, 100, 1000], help="comma-separated")
    parser.add_argument("--files", type=int, default=100, help="files of each service")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the numbers there too")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _measure(stack: Many, rounds: int) -> Iterator[Measured]:
    """Yield what was measured of one stack, in the order of the table."""
    first = f"build:{stack.name}.{stack.names[0]}"
    yield BASELINE_NAME, seconds(BASELINE, max(rounds, 5))
    stack.on_the_engine()
    yield "doit build, nothing to do", seconds(stack.doit("build"), rounds)
    yield "doit list", seconds(stack.doit("list"), rounds)
    yield "doit list --status --all", seconds(stack.doit("list", "--status", "--all"), rounds)
    yield "doit build:SERVICE, nothing to do", seconds(stack.doit(first), rounds)
    stack.in_the_registry()
    yield "doit plan, nothing to build", seconds(stack.doit("plan"), rounds)
    info = stack.doit("info", first)
    yield "doit info build:SERVICE, one file changed", seconds(info, rounds, before=stack.change, code=STALE)
    yield "doit plan, one file changed", seconds(stack.doit("plan"), rounds, before=stack.change)


def _table(results: dict[int, dict[str, Seconds]], files: int, rounds: int, notes: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    title = f"seconds by the clock (of the processors) and times the baseline; {files} files a service, {rounds} rounds"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("command")
    for services in results:
        table.add_column(f"{services} services", justify="right")
    for name in next(iter(results.values()), {}):
        cells = []
        for found in results.values():
            here, base = found[name], found[BASELINE_NAME]
            cells.append(f"{here.wall:.2f} ({here.cpu:.2f})  {here.cpu / base.cpu:5.1f}x")
        table.add_row(name, *cells)
    console = Console(width=None if Console().is_terminal else 160, highlight=False)
    console.print(table)
    for note in notes:
        console.print(note)


def _document(results: dict[int, dict[str, Seconds]], options: argparse.Namespace, notes: list[str]) -> dict[str, Any]:
    rows = {
        str(services): {name: plain(found) for name, found in measured.items()}
        for services, measured in results.items()
    }
    return {"schema": 1, "files": options.files, "rounds": options.rounds, "seconds": rows, "notes": notes}


if __name__ == "__main__":
    main()
