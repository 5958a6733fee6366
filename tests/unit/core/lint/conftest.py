"""A stack as rules see it, from texts: no Docker is asked."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.adapters import yaml_tree
from tasks.core import compose
from tasks.core.lint import rules
from tasks.core.lint.places import Places
from tasks.core.lint.rule import Fault, merged
from tasks.core.lint.subject import Subject
from tasks.core.model import ServiceSettings, Stack
from tasks.steps.linting import dockerfile

MakeSubject = Callable[..., Subject]
Find = Callable[..., list[Fault]]

GOOD = "restart: always, mem_limit: 1, logging: {driver: local}"
HEALTHY = f"{GOOD}, healthcheck: {{test: [CMD, /check], interval: 1s}}"


@pytest.fixture
def subject(tmp_path: Path) -> MakeSubject:
    """Make a subject of services as Compose resolves them, in YAML; `files` are written beside."""

    def make(
        services: str,
        files: Mapping[str, str] | None = None,
        settings: Mapping[str, ServiceSettings] | None = None,
        travelling: tuple[str, ...] = (),
        **more: Any,
    ) -> Subject:
        text = f"services:\n  {services.replace(chr(10), chr(10) + '  ')}\n".replace("HERE", str(tmp_path))
        text = text.replace("GOOD", GOOD).replace("HEALTHY", HEALTHY)
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        (tmp_path / "compose.yaml").write_text(text)
        stack = Stack(
            name="shop",
            path=tmp_path,
            compose=("compose.yaml",),
            host="local",
            services=dict(settings or {}),
            files=travelling,
        )
        definition = YAML(typ="safe", pure=True).load(text)
        project = compose.parse(stack, definition, frozenset(definition["services"]))
        places = Places(yaml_tree.read(stack), [str(tmp_path / "compose.yaml")])
        found = {n: f for n, s in project.services.items() if s.build and (f := dockerfile(s.build, places))}
        return Subject(stack=stack, project=project, places=places, dockerfiles=found, **more)

    return make


@pytest.fixture
def find(subject: MakeSubject) -> Find:
    """Return what all rules find in services."""

    def found(services: str, **more: Any) -> list[Fault]:
        return merged(rules.faults(subject(services, **more)))

    return found
