"""What the tests of the registry client share: a clock, a login, words."""

import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.adapters.retry import Patience
from tasks.core.model import Registry
from tests.integration.registries import (
    PASSWORD,
    USER,
)

AUTH = (USER, PASSWORD)
HTML = "<html><head><title>Sign in</title></head></html>"


@dataclass
class Time:
    """A clock that only moves when somebody sleeps."""

    now: float = 1000
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def patience(self) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now)


def settings(host: str) -> Registry:
    return Registry(url=f"{host}/team", username=USER, password_env="REGISTRY_TOKEN")


def everything_about(caught: pytest.ExceptionInfo[BaseException]) -> str:
    return "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)


def docker_config(**content: object) -> None:
    folder = Path.home() / ".docker"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(content))
