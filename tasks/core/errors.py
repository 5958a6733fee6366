"""Errors for people: what happened, the likely cause, the next step.

Everything Onevm can explain is an `OnevmError`; it ends a run with its `exit_code` and no traceback.
Anything else is a bug and shows its traceback (exit code 2).
"""

from msgspec import Struct

from tasks.core.plurals import counted


class OnevmError(Exception):
    """An explained failure.

    Args:
        what: what happened, naming the thing (service and host, or command and exit code).
        detail: lines to show below it, for example the tail of a log.
        next_step: what the reader can do now.
    """

    exit_code = 1

    def __init__(self, what: str, *, detail: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.detail = detail
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.what]
        if self.detail:
            lines += ["  " + line for line in self.detail.rstrip().splitlines()]
        if self.next_step:
            lines.append(f"  next: {self.next_step}")
        return "\n".join(lines)


class UsageError(OnevmError):
    """A command line that cannot be meant: a misspelt variable, an ambiguous name."""

    exit_code = 3


class Problem(Struct, frozen=True, kw_only=True):
    """One mistake in a file: where it is, which key, what is wrong (with a hint if there is one)."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.message}"


class ConfigurationError(OnevmError):
    """Mistakes in the configuration, all of them at once."""

    exit_code = 3

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        count = len(problems)
        super().__init__(
            f"{problems[0].file} has {counted(count, 'mistake')}",
        )
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join([self.what, *map(str, self.problems)])


class ToolError(OnevmError):
    """A tool that is missing, too old, or not answering."""
