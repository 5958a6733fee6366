"""What Compose makes of a plan's pins is what it makes of a release's override."""

from pathlib import Path, PurePosixPath

import pytest

from tasks.adapters import host_compose
from tasks.adapters.release_folder import OVERRIDE, ReleaseFolder
from tasks.adapters.transport import Local
from tasks.core.desired import override

pytestmark = pytest.mark.engine

DIGEST = "@sha256:" + "1" * 64
COMPOSE = """
services:
  "on":
    build: {context: ./on, args: {A: "${A-b}"}, secrets: [s], additional_contexts: ["base=service:b.c"]}
    depends_on: [b.c]
    volumes: ["./data:/data"]
    environment: {X: "${X-$$1}"}
  b.c:
    build: ./b
    labels: {a: b}
    secrets: [s]
  redis: {image: "redis:7", pull_policy: always}
  rare: {image: busybox, profiles: [rare], build: ./rare}
secrets: {s: {file: ./s}}
"""


def test_pins_and_override_give_the_same_project(lab: str, tmp_path: Path) -> None:
    del lab
    folder = ReleaseFolder(Local(), PurePosixPath(tmp_path), "pinned")
    files = {"compose.yaml": COMPOSE.encode()}
    pins = {"on": f"r/on{DIGEST}", "b.c": f"r/b{DIGEST}", "redis": f"redis{DIGEST}"}
    found = host_compose.resolve(folder, files, ["compose.yaml"])
    written = {**files, OVERRIDE: override(pins, {}).encode()}
    released = host_compose.resolve(folder, written, ["compose.yaml", OVERRIDE])
    assert found.pinned(pins) == released.definition
    assert found.active == released.active == set(pins)
    services = found.pinned(pins)["services"]
    assert {name: services[name]["image"] for name in pins} == pins
    assert "image" not in found.definition["services"]["on"]
