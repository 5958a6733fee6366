"""Tasks that only stand for others, and are as fresh as those are."""

from collections.abc import Sequence
from typing import Any

from doit.dependency import UptodateCalculator

_known: dict[str, bool] = {}


class AsFreshAs(UptodateCalculator):  # type: ignore[misc] # doit has no types
    """doit's word on other tasks, as an `uptodate` of its own; they have run by then, or never will.

    With one other task and the same `file_dep`, doit shows the same changed files for both.

    Args:
        names: the other tasks.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    def __repr__(self) -> str:
        return f"as fresh as {', '.join(self.names)}"

    def setup(self, dep_manager: Any, tasks_dict: Any) -> None:
        """See `UptodateCalculator`."""
        super().setup(dep_manager, tasks_dict)
        self.records = dep_manager

    def __call__(self, task: Any, values: Any) -> bool:
        """Return whether all of them are up to date."""
        del values
        if task.file_dep:
            self._copy(task)
        return all(self._is_fresh(name) for name in self.names)

    def _is_fresh(self, name: str) -> bool:
        if name not in _known:
            found = self.records.get_status(self.tasks_dict[name], self.tasks_dict)
            _known[name] = found.status == "up-to-date"
        return _known[name]

    def _copy(self, task: Any) -> None:
        (name,) = self.names
        for what in ("checker:", "deps:", *task.file_dep):
            value = self.get_val(name, what)
            if value is not None and value != self.get_val(task.name, what):
                self.records.backend.set(task.name, what, value)
