"""How a run ends."""

from collections.abc import Iterable

import pytest
from doit.exceptions import TaskFailed

from tasks.core.errors import ConfigurationError, OnevmError, Problem, ToolError, UsageError
from tasks.steps import outcome


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "_codes", set())


def test_an_action_hands_its_values_to_doit() -> None:
    @outcome.action
    def build(name: str, *, twice: bool = False) -> dict[str, object]:
        """Build it."""
        return {"name": name, "twice": twice}

    assert build("web", twice=True) == {"name": "web", "twice": True}
    assert (build.__name__, build.__doc__) == ("build", "Build it.")
    assert outcome.exit_code() == 0


ERRORS = [
    (OnevmError("what", detail="line", next_step="do this"), 1),
    (ToolError("what"), 1),
    (UsageError("what"), 3),
    (ConfigurationError((Problem(file="f", line=1, key="k", message="m"),)), 3),
]


@pytest.mark.parametrize(("error", "code"), ERRORS)
def test_what_can_be_explained_fails_the_task_without_a_traceback(error: OnevmError, code: int) -> None:
    @outcome.action
    def fails() -> None:
        raise error

    failed = fails()
    assert isinstance(failed, TaskFailed)
    assert str(error) in failed.get_msg()
    assert "Traceback" not in failed.get_msg()
    assert outcome.exit_code() == code


def test_a_bug_is_let_through() -> None:
    @outcome.action
    def buggy() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        buggy()


@pytest.mark.parametrize(
    ("codes", "code"),
    [([], 0), ([1], 1), ([3], 3), ([1, 3], 3), ([3, 2, 1], 2), ([10], 10), ([10, 1], 1), ([130], 130), ([130, 2], 2)],
)
def test_the_worst_outcome_is_the_runs(codes: Iterable[int], code: int) -> None:
    for one in codes:
        outcome.note(one)
    assert outcome.exit_code() == code
