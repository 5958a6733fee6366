"""What a deploy would release, from a checkout's files."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tasks.core.compose import ComposeProject, parse
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.core.release import Release, ReleasedService
from tasks.core.values import replace
from tasks.steps.candidate import Candidate, missing_files, read_files


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


CONTENTS = {"compose.yaml": b"services: {}\n", "compose.prod.yaml": b"x\n", "caddy/Caddyfile": b":80\n"}
CANDIDATE = Candidate(
    sha="1a2b3c4" + "0" * 33,
    dirty=False,
    services={"web": ReleasedService(image="r/shop-web@sha256:00", content_key="k", revision="1a2b3c4")},
    compose=("compose.yaml", "compose.prod.yaml"),
    contents=CONTENTS,
    files={"caddy/Caddyfile": sha(CONTENTS["caddy/Caddyfile"])},
)
RELEASE = Release(
    id="1",
    stack="shop",
    sha=CANDIDATE.sha,
    dirty=False,
    created="",
    performer="",
    previous=None,
    services=dict(CANDIDATE.services),
    compose={name: sha(CONTENTS[name]) for name in CANDIDATE.compose},
    files=dict(CANDIDATE.files),
)


def test_a_candidate_knows_its_hashes_and_its_pins() -> None:
    assert CANDIDATE.hashes() == RELEASE.compose
    assert list(CANDIDATE.hashes()) == ["compose.yaml", "compose.prod.yaml"]
    assert CANDIDATE.pins() == {"web": "r/shop-web@sha256:00"}


def test_a_candidate_matches_the_release_that_was_made_of_it() -> None:
    assert CANDIDATE.matches(RELEASE)
    assert CANDIDATE.matches(replace(RELEASE, id="2", created="later", outcome="failed", previous="1"))


@pytest.mark.parametrize(
    "other",
    [
        replace(CANDIDATE, sha="2" * 40),
        replace(CANDIDATE, dirty=True),
        replace(CANDIDATE, services={}),
        replace(CANDIDATE, services={"web": ReleasedService(image="r/shop-web@sha256:11", content_key="k")}),
        replace(CANDIDATE, compose=("compose.yaml",)),
        replace(CANDIDATE, contents=CONTENTS | {"compose.yaml": b"changed"}),
        replace(CANDIDATE, files={}),
    ],
    ids=["sha", "dirty", "services", "image", "compose files", "compose content", "files"],
)
def test_anything_else_is_another_one(other: Candidate) -> None:
    assert not other.matches(RELEASE)


def stack(path: Path, *files: str, compose: tuple[str, ...] = ("compose.yaml",)) -> Stack:
    return Stack(name="shop", path=path, compose=compose, host="local", files=files)


def write(path: Path, **files: bytes) -> None:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def test_compose_and_travelling_files_are_read_as_bytes(tmp_path: Path) -> None:
    odd = b"\x00\xff\r\n"
    write(tmp_path, **{"compose.yaml": b"1", "prod/x.yaml": b"2", "Caddyfile": odd, "other": b"4"})
    contents, files = read_files(stack(tmp_path, "Caddyfile", compose=("compose.yaml", "prod/x.yaml")))
    assert contents == {"compose.yaml": b"1", "prod/x.yaml": b"2", "Caddyfile": odd}
    assert files == {"Caddyfile": sha(odd)}


def test_a_folder_travels_with_everything_below_it(tmp_path: Path) -> None:
    write(tmp_path, **{"compose.yaml": b"1", "caddy/Caddyfile": b"2", "caddy/a/.b": b"3", "caddyx": b"4"})
    (tmp_path / "caddy" / "empty").mkdir()
    (tmp_path / "caddy" / "link").symlink_to("Caddyfile")
    contents, files = read_files(stack(tmp_path, "caddy"))
    assert contents == {"compose.yaml": b"1", "caddy/Caddyfile": b"2", "caddy/a/.b": b"3", "caddy/link": b"2"}
    assert set(files) == contents.keys() - {"compose.yaml"}


@pytest.mark.parametrize("gone", ["compose.yaml", "Caddyfile"])
def test_a_file_that_is_gone_is_named_with_its_stack(tmp_path: Path, gone: str) -> None:
    write(tmp_path, **{"compose.yaml": b"1", "Caddyfile": b"2"})
    (tmp_path / gone).unlink()
    with pytest.raises(OnevmError, match=rf"^stack shop: .*/{gone} cannot be read: No such file") as caught:
        read_files(stack(tmp_path, "Caddyfile"))
    assert "stacks.shop.files" in caught.value.next_step


def mounting(path: Path, *sources: str, active: bool = True, kind: str = "bind") -> ComposeProject:
    volumes: list[dict[str, Any]] = [{"type": kind, "source": source, "target": "/x"} for source in sources]
    definition = {"services": {"web": {"image": "x", "volumes": volumes}, "plain": {"image": "x", "volumes": None}}}
    return parse(stack(path), definition, frozenset({"web", "plain"} if active else {"plain"}))


def test_a_mounted_file_that_does_not_travel_is_missing_on_the_host(tmp_path: Path) -> None:
    write(tmp_path, **{"caddy/Caddyfile": b"1", "src/app.py": b"1"})
    project = mounting(tmp_path, f"{tmp_path}/caddy/Caddyfile", f"{tmp_path}/src")
    assert missing_files(stack(tmp_path), project) == [("web", "caddy/Caddyfile"), ("web", "src")]
    assert missing_files(stack(tmp_path, "caddy"), project) == [("web", "src")]
    assert missing_files(stack(tmp_path, "caddy/Caddyfile", "src"), project) == []


def test_a_file_named_like_the_beginning_of_another_does_not_stand_for_it(tmp_path: Path) -> None:
    write(tmp_path, caddy=b"1", caddyfile=b"1")
    assert missing_files(stack(tmp_path, "caddy"), mounting(tmp_path, f"{tmp_path}/caddyfile")) == [
        ("web", "caddyfile")
    ]


def test_mounts_that_are_no_files_of_the_checkout_are_not_missing(tmp_path: Path) -> None:
    write(tmp_path, there=b"1")
    for project in (
        mounting(tmp_path, "/var/run/docker.sock", "/etc"),
        mounting(tmp_path, f"{tmp_path}/data-that-only-the-host-has"),
        mounting(tmp_path, "there", kind="volume"),
        mounting(tmp_path, f"{tmp_path}/there", active=False),
    ):
        assert missing_files(stack(tmp_path), project) == []


def test_a_mount_without_a_source_is_no_file(tmp_path: Path) -> None:
    definition = {"services": {"web": {"image": "x", "volumes": [{"type": "tmpfs", "target": "/x"}]}}}
    assert missing_files(stack(tmp_path), parse(stack(tmp_path), definition, frozenset({"web"}))) == []
