"""What makes a task fresh besides its files, in the form that doit asks for: `uptodate`."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from doit.dependency import UptodateCalculator

_known: dict[str, bool] = {}
_fresh: set[str] = set()


def take_note(name: str) -> None:
    """Take note of a service `<stack>.<service>` that there was nothing to build for."""
    _fresh.add(name)


def noted() -> list[str]:
    """Return the services that there was nothing to build for."""
    return sorted(_fresh)


class Unchanged:
    """A text that is what it was when the task last ran, like doit's `config_changed`.

    Args:
        text: what to compare.
    """

    # doit looks at the parameters of each, which takes longer than to call it.
    __signature__: ClassVar[inspect.Signature]

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "its definition, the names and the modes of its files are what they were"

    def configure_task(self, task: Any) -> None:
        """Have doit save the text with the task."""
        task.value_savers.append(lambda: {"tracked": self.text})

    def __call__(self, task: Any, values: Mapping[str, Any]) -> bool:
        """Return whether nothing changed."""
        del task
        return bool(values.get("tracked") == self.text)


class There:
    """An image that somebody still has.

    Args:
        there: whether somebody has the image that the task's last action left, by the values which that returned.
    """

    __signature__: ClassVar[inspect.Signature]

    def __init__(self, there: Callable[[Mapping[str, Any]], bool]) -> None:
        self._there = there

    def __repr__(self) -> str:
        return "its image is there"

    def __call__(self, task: Any, values: Mapping[str, Any]) -> bool:
        """Return whether the image is there."""
        del task
        return self._there(values)


Unchanged.__signature__ = There.__signature__ = inspect.signature(lambda task, values: (task, values))


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
