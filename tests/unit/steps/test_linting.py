"""Rules on whole projects, as Compose resolves them: what was planted is found, and what people write is survived."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.adapters import compose, yaml_tree
from tasks.core import config
from tasks.core.lint import tree
from tasks.core.lint.catalogue import RULES
from tasks.core.lint.ignoring import sift
from tasks.core.lint.rule import Fault, merged
from tasks.core.lint.tree import Document
from tasks.core.model import Stack
from tasks.steps import linting, listing

ROOT = Path(__file__).parents[3]
DATA = ROOT / "tests" / "data" / "lint"

pytestmark = pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode != 0,
    reason="`docker compose config` is needed, an engine is not",
)


@pytest.fixture(autouse=True, scope="module")
def bare_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("COMPOSE_", "DOCKER_", "POSTGRES", "COMMIT"))]:
            patch.delenv(name)
        yield


def found(stack: Stack, active: frozenset[str]) -> list[Fault]:
    faults = linting.faults(linting.read(stack, active))
    return merged(sift(stack, faults, images=False).faults)


def project(name: str, cache: Path) -> list[Fault]:
    (stack,) = config.load(DATA / name / "services.toml", {"HOME": "/home/ann"}).stacks.values()
    return found(stack, compose.read_project(stack, cache)[1])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> list[Fault]:
    return project("planted", tmp_path_factory.mktemp("cache"))


# Where each fault was planted: a piece of its line, which no other line of the file has.
PLANTED = [
    ("api/Dockerfile", "FROM node", "unpinned-image"),
    ("api/Dockerfile", "ARG GIT_SHA", "early-commit-arg"),
    ("api/Dockerfile", "RUN --mount=type=cache", "dev-dependencies"),
    ("api/Dockerfile", "ENV PORT=8000", "secret-in-environment"),
    ("api/Dockerfile", "COPY . .", "secret-file-in-context"),
    ("common/base.yml", '"wget", "--spider"', "localhost-health-check"),
    ("common/base.yml", "interval: 1m", "slow-health-check"),
    ("deploy/compose.prod.yml", "commit: ", "commit-in-container"),
    ("deploy/compose.prod.yml", "./api/src:/app/src", "mount-does-not-travel"),
    ("docker-compose.yml", "version:", "compose"),
    ("docker-compose.yml", "caddy:latest", "unpinned-image"),
    ("docker-compose.yml", "./Caddyfile:", "single-file-mount"),
    ("docker-compose.yml", "- type: bind", "docker-socket"),
    ("docker-compose.yml", "db: {image:", "data-without-volume"),
    ("docker-compose.yml", '["5432:5432"]', "open-database-port"),
    ("docker-compose.yml", "test: [CMD,\n", "exec-form-health-check"),
    ("docker-compose.yml", "planted-hunter2", "secret-in-environment"),
    ("docker-compose.yml", "container_name:", "container-name"),
    ("docker-compose.yml", "context:    ./api", "no-dockerignore"),
    ("docker-compose.yml", "- NPM_TOKEN", "secret-in-build-arg"),
    ("docker-compose.yml", "GIT_SHA=", "commit-in-build-arg"),
    ("docker-compose.yml", "     ports:\n     #", "host-port"),
    ("docker-compose.yml", "test: >-", "lying-health-check"),
    ("docker-compose.yml", "   worker:", "no-health-check"),
    ("docker-compose.yml", "   worker:", "no-memory-limit"),
    ("docker-compose.yml", "     logging:\n\n", "no-log-rotation"),
    ("docker-compose.yml", "   mailer:", "no-restart-policy"),
    ("services.toml", "container-name = ", "unused-ignore"),
    ("web/Dockerfile", "RUN apt-get update \\", "package-cache"),
    ("web/Dockerfile", "RUN apt-get update \\", "build-tools"),
    ("web/Dockerfile", "COPY --from=build /src/node_modules", "dev-dependencies"),
]


def line_of(file: Path, piece: str) -> int:
    """Return the line of a piece of text that a file has once."""
    text = file.read_text()
    assert text.count(piece) == 1, (file.name, piece)
    return text[: text.index(piece)].count("\n") + 1


def test_every_planted_fault_is_found_once_at_its_line_and_nothing_else(planted: list[Fault]) -> None:
    places = sorted((os.path.relpath(f.place.file, DATA / "planted"), f.place.line, f.rule) for f in planted)
    assert len(PLANTED) >= 25
    assert places == sorted((file, line_of(DATA / "planted" / file, piece), rule) for file, piece, rule in PLANTED)


def test_no_finding_shows_a_secret(planted: list[Fault]) -> None:
    for fault in planted:
        assert "hunter" not in fault.what + fault.mend, fault


def test_a_clean_project_gives_nothing(tmp_path: Path) -> None:
    assert project("clean", tmp_path) == []


def test_the_example_passes_its_own_rules(tmp_path: Path) -> None:
    (stack,) = config.load(ROOT / "services.toml", {"HOME": "/home/ann"}).stacks.values()
    assert found(stack, compose.read_project(stack, tmp_path)[1]) == []


def test_every_finding_says_what_why_and_how_to_mend(planted: list[Fault]) -> None:
    ours = [fault for fault in planted if fault.rule != "compose"]
    assert {fault.rule for fault in ours} <= RULES.keys()
    assert [fault for fault in ours if not fault.mend or not fault.what] == []


def test_what_is_shown_fits_a_terminal(planted: list[Fault]) -> None:
    rows = [row for row in listing.lines(planted, str(DATA / "planted")) if row.startswith(" ")]
    assert len(rows) > 100
    assert [row for row in rows if len(row) > 80] == []


SAMPLES = DATA / "samples"
NOT_ALONE = {"hwaccel.yml"}


def samples() -> list[Path]:
    return [path for path in sorted(SAMPLES.glob("*.yml")) if path.name not in NOT_ALONE]


def judged() -> dict[str, list[tuple[str, bool]]]:
    """Return what a person expects of each sample: `file:line rule`, and whether that is a false alarm."""
    wanted: dict[str, list[tuple[str, bool]]] = {path.name: [] for path in samples()}
    for row in (SAMPLES / "judged.txt").read_text().splitlines():
        if row and not row.startswith("#"):
            sample, rest = row.split(maxsplit=1)
            text, _, verdict = rest.partition(" # ")
            wanted[sample].append((text.strip(), verdict.startswith("false")))
    return wanted


def documents(path: Path) -> list[Document]:
    return yaml_tree.parse(path.read_text(), str(path))


def said(path: Path) -> Iterator[str]:
    stack = Stack(name="sample", path=SAMPLES, compose=(path.name,), host="local")
    services = tree.entries(tree.at(documents(path)[-1].root, "services"))
    for fault in found(stack, frozenset(services)):
        yield f"{os.path.relpath(fault.place.file, SAMPLES)}:{fault.place.line} {fault.rule}"


def test_files_as_people_write_them_are_survived_and_judged(capsys: pytest.CaptureFixture[str]) -> None:
    paths = samples()
    assert len(paths) >= 15
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda path: list(said(path)), paths))
    wanted = judged()
    false = sum(is_false for rows in wanted.values() for _, is_false in rows)
    total = sum(map(len, answers))
    with capsys.disabled():
        sys.stdout.write(f"\n{len(paths)} samples: {total} findings, {false} of them false alarms\n")
    for path, answer in zip(paths, answers, strict=True):
        assert sorted(answer) == sorted(text for text, _ in wanted[path.name]), path.name
    assert false <= total / 20
