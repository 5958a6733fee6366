"""Which hosts a command line will surely ask."""

import pytest

from tasks.steps.reaching import asked

HOSTS = {"notes": "prod", "shop": "prod", "lab": "here"}


@pytest.mark.parametrize(
    ("words", "hosts"),
    [
        (["deploy"], {"prod", "here"}),
        (["plan"], {"prod", "here"}),
        (["deploy:lab"], {"here"}),
        (["deploy:notes.web"], {"prod"}),
        (["rollback:shop", "status:lab"], {"prod", "here"}),
        (["history:notes"], {"prod"}),
        # A short name may be any stack's.
        (["deploy:web"], set()),
        (["build", "push:notes", "check", "list"], set()),
        (["list", "deploy"], set()),
        (["run", "deploy:lab"], {"here"}),
    ],
)
def test_hosts_are_reached_ahead_for_what_surely_asks_them(words: list[str], hosts: set[str]) -> None:
    assert asked(words, HOSTS) == hosts
