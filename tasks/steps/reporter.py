"""doit's reporter: says what Onevm says, and nothing twice. Its `initialize` sees the selection first."""

import signal
import sys
from types import FrameType
from typing import Any, TextIO

from doit.exceptions import BaseFail, TaskFailed, UnmetDependency

from tasks.adapters import process
from tasks.steps import freshness, outcome, output, run, selection

MOST_NAMED = 8


class Reporter:
    """Reports a run of doit; see doit.reporter.ConsoleReporter for the interface."""

    desc = "what Onevm did, on a terminal or in a log"

    def __init__(self, outstream: TextIO, options: dict[str, Any]) -> None:
        del outstream, options
        self.interrupted = False

    def initialize(self, tasks: dict[str, Any], selected_tasks: list[str]) -> None:
        """Take note of the selection, and make signals end the run in order."""
        selection.begin(tasks, selected_tasks)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        del frame
        if not self.interrupted:
            self.interrupted = True
            process.stop_all()
        raise SystemExit(128 + number)

    def get_status(self, task: Any) -> None:
        """Nothing to say."""

    def execute_task(self, task: Any) -> None:
        """Nothing to say: actions speak for themselves."""

    def add_success(self, task: Any) -> None:
        """Nothing to say."""

    def skip_uptodate(self, task: Any) -> None:
        """Take note of fresh services."""
        meta = task.meta or {}
        if meta.get("verb") == "build" and meta.get("service") and not meta.get("alias"):
            freshness.take_note(f"{meta['stack']}.{meta['service']}")

    def skip_ignore(self, task: Any) -> None:
        """Say that the user had doit ignore a task."""
        output.screen().say(f"{task.name} is ignored (`doit forget {task.name}` ends that)")

    def add_failure(self, task: Any, fail: BaseFail) -> None:
        """Say what failed, once."""
        if isinstance(fail, UnmetDependency):
            outcome.note(1)
            return
        text = fail.message if isinstance(fail, TaskFailed) else f"{task.name}: {fail.get_msg()}"
        outcome.note(1 if isinstance(fail, TaskFailed) else outcome.BUG)
        output.screen().error(text)

    def cleanup_error(self, exception: BaseFail) -> None:
        """Say what went wrong while tidying up."""
        output.screen().error(exception.get_msg())

    def runtime_error(self, msg: str) -> None:
        """Say what doit itself found wrong."""
        outcome.note(outcome.BUG)
        output.screen().error(msg)

    def teardown_task(self, task: Any) -> None:
        """Nothing to say."""

    def complete_run(self) -> None:
        """Say what was fresh, and end with the run's exit code."""
        screen = output.screen()
        screen.close()
        run.finish()
        if self.interrupted:
            screen.error("interrupted; nothing that was not finished is recorded, run the same command again")
            return
        # Whatever comes after a build has said by now what became of each service.
        if selection.current().verbs == {"build"} and not outcome.exit_code() and (fresh := freshness.noted()):
            names = f": {', '.join(fresh)}" if len(fresh) <= MOST_NAMED else ""
            screen.say(f"build: {len(fresh)} up to date{names}")
        if code := outcome.exit_code():
            sys.exit(code)
