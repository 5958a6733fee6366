"""Which stacks a command line surely means."""

import pytest

from tasks.steps.reaching import named

STACKS = {"notes", "shop", "lab"}
ASKING = {"plan", "deploy", "rollback", "status", "history"}


@pytest.mark.parametrize(
    ("words", "stacks"),
    [
        ([], STACKS),
        (["deploy"], STACKS),
        (["plan"], STACKS),
        (["deploy:lab"], {"lab"}),
        (["deploy:notes.web"], {"notes"}),
        (["rollback:shop", "status:lab"], {"shop", "lab"}),
        (["history:notes"], {"notes"}),
        # A short name may be any stack's.
        (["deploy:web"], set()),
        (["build", "push:notes", "check", "list"], set()),
        (["list", "deploy"], set()),
        (["run", "deploy:lab"], {"lab"}),
    ],
)
def test_what_stacks_surely_need_is_begun_ahead(words: list[str], stacks: set[str]) -> None:
    assert named(words, STACKS, ASKING) == stacks
