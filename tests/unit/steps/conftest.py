"""What tests of steps share."""

import os

import pytest


@pytest.fixture
def plain_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's and this user's git settings out."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
