"""What a host has on record of a stack, by the script that a VM runs too; here on this machine."""

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import pytest

from tasks.adapters.records import Records, read, stacks
from tasks.adapters.release_folder import ReleaseFolder
from tasks.adapters.transport import Local
from tasks.core.errors import OnevmError
from tasks.core.release import Release, ReleasedService

FIRST, SECOND = "20260102T030405.000Z-1a2b3c4", "20260103T030405.000Z-1a2b3c4"


@pytest.fixture
def folder(tmp_path: Path) -> ReleaseFolder:
    """Give a stack's folder with two releases, of which the second runs."""
    return made_in(tmp_path)


def made_in(path: Path) -> ReleaseFolder:
    made = ReleaseFolder(Local(), PurePosixPath(path / "with space"), "shop")
    for identity in (FIRST, SECOND):
        made.stage(identity, {"compose.yaml": b"services: {}\n"})
        made.record(
            Release(
                id=identity,
                stack="shop",
                sha="1a2b3c4" + "0" * 33,
                dirty=False,
                created="2026-01-02T03:04:05Z",
                performer="me@here",
                previous=None,
                services={"web": ReleasedService(image="r/shop-web@sha256:00")},
                compose={},
            )
        )
        made.activate(identity)
    return made


class Nobody(Local):
    """This machine as a user who may nothing."""

    def run(self, args, **options):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN003, ANN201 - passed on
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *args]
        return super().run(command, **options)


def here(folder: ReleaseFolder) -> Path:
    return Path(str(folder.path))


def record(folder: ReleaseFolder, identity: str) -> Path:
    return here(folder) / "releases" / identity / "release.json"


def test_all_releases_are_read_and_the_one_that_runs_is_known(folder: ReleaseFolder) -> None:
    found = read(folder)
    assert found.there
    assert [release.id for release in found.releases] == [SECOND, FIRST]
    assert found.current
    assert found.current.id == SECOND
    assert found.doubts == ()


def test_a_host_that_never_had_the_stack_has_nothing_of_it(tmp_path: Path) -> None:
    assert read(ReleaseFolder(Local(), PurePosixPath(tmp_path), "shop")) == Records()
    assert read(ReleaseFolder(Local(), PurePosixPath(tmp_path / "no" / "such" / "root"), "shop")) == Records()


@pytest.mark.parametrize("text", ["", "{", "{}", '{"schema": 99}', "unreadable"])
def test_a_record_that_cannot_be_read_is_a_doubt(folder: ReleaseFolder, text: str) -> None:
    record(folder, FIRST).write_text(text)
    (doubt,) = read(folder).doubts
    assert str(record(folder, FIRST)) in doubt


def test_a_folder_that_a_killed_deploy_staged_is_none(folder: ReleaseFolder) -> None:
    folder.stage("20260104T030405.000Z-1a2b3c4", {"compose.yaml": b"services: {}\n"})
    (here(folder) / "releases" / ".20260105T030405.000Z-1a2b3c4").mkdir()
    assert read(folder).doubts == ()


def test_a_current_that_leads_nowhere_is_a_doubt(folder: ReleaseFolder) -> None:
    shutil.rmtree(record(folder, SECOND).parent)
    found = read(folder)
    assert found.current is None
    assert len(found.doubts) == 1
    assert "current" in found.doubts[0]


def test_a_run_that_was_cut_off_is_a_doubt_until_its_release_is_recorded(folder: ReleaseFolder) -> None:
    note = here(folder) / "switching"
    note.write_text("20260104T030405.000Z-1a2b3c4\n")
    (doubt,) = read(folder).doubts
    assert "cut off" in doubt
    note.write_text(f"{FIRST}\n")
    found = read(folder)
    assert (found.doubts, found.switching) == ((), FIRST)


def test_without_a_current_release_the_records_are_read_all_the_same(folder: ReleaseFolder) -> None:
    (here(folder) / "current").unlink()
    found = read(folder)
    assert found.current is None
    assert len(found.releases) == 2
    assert found.doubts == ()


def test_the_stacks_of_a_host_are_those_that_may_have_releases(folder: ReleaseFolder) -> None:
    above = here(folder).parent
    (above / "other" / "releases").mkdir(parents=True)
    (above / "no stack").mkdir()
    (above / "file").write_text("")
    root = PurePosixPath(above)
    assert stacks(Local(), root) == ("other", "shop")
    assert stacks(Local(), root / "nowhere") == ()


@pytest.mark.skipif(os.geteuid() != 0, reason="looks with the eyes of another user, which only root can")
@pytest.mark.parametrize("locked", [".", "..", "releases", f"releases/{FIRST}", f"releases/{FIRST}/release.json"])
def test_what_may_not_be_looked_into_is_never_taken_for_absent(locked: str) -> None:
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        above = here(made_in(Path(path)))
        strict = ReleaseFolder(Nobody(), PurePosixPath(above.parent), "shop")
        assert len(read(strict).releases) == 2
        (above / locked).resolve().chmod(0)
        try:
            doubts = read(strict).doubts
        except OnevmError as error:
            assert "cannot be told" in error.what  # noqa: PT017 - either will do
        else:
            assert len(doubts) == 1
