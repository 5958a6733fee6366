"""Checkouts that are asked ahead, with real repositories."""

from pathlib import Path

import pytest

from tasks.core import config
from tasks.core.model import Configuration
from tasks.steps import checkouts
from tests.unit.steps.test_commits import commit, git


@pytest.fixture
def configuration(tmp_path: Path, plain_git: None, monkeypatch: pytest.MonkeyPatch) -> Configuration:
    del plain_git
    monkeypatch.setattr(checkouts, "_ahead", {})
    monkeypatch.setattr("doit.doit_cmd._CMDLINE_VARS", {})
    lines = '[registry]\nurl = "r.example/x"\n[hosts.here]\naddress = "local"\nroot = "root"\n'
    for name in ("notes", "shop"):
        path = tmp_path / name
        path.mkdir()
        git(path, "init", "-q", "-b", "main")
        (path / "compose.yaml").write_text("services: {}\n")
        commit(path, f"Open {name}")
        lines += f'[stacks.{name}]\npath = "{name}"\nhost = "here"\n'
    (tmp_path / "services.toml").write_text(lines)
    return config.load(tmp_path / "services.toml", {})


@pytest.mark.parametrize(
    ("words", "ahead"),
    [
        ([], {"notes", "shop"}),
        (["deploy:shop.web"], {"shop"}),
        (["push:notes"], {"notes"}),
        (["rollback", "status"], set()),
        (["list", "deploy"], set()),
    ],
)
def test_a_checkout_is_asked_ahead_if_it_will_be_looked_at(
    configuration: Configuration, words: list[str], ahead: set[str]
) -> None:
    checkouts.ahead(words, configuration)
    for name, stack in configuration.stacks.items():
        found = checkouts.checkout(stack)
        assert (found is checkouts.checkout(stack)) is (name in ahead)
        assert found.head.subject == f"Open {name}"


def test_who_goes_to_a_release_that_exists_does_not_look_at_checkouts(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doit.doit_cmd._CMDLINE_VARS", {"sha": "0123456"})
    checkouts.ahead(["deploy"], configuration)
    stack = configuration.stacks["shop"]
    assert checkouts.checkout(stack) is not checkouts.checkout(stack)
