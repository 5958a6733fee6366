"""A stack's folder on its host, by the scripts that a VM runs too; here on this machine."""

import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

import pytest

from tasks.adapters.release_folder import OVERRIDE, RESERVE, RESERVE_BYTES, Current, Executable, ReleaseFolder, archive
from tasks.adapters.transport import Local
from tasks.core.errors import OnevmError
from tasks.core.release import Release, ReleasedService
from tasks.core.values import replace

FILES = {"compose.yaml": b"services: {}\n", "caddy/Caddyfile": b":80\n", "hook.sh": Executable(b"#!/bin/sh\n")}
TRAVELLING = ["caddy/Caddyfile", "hook.sh"]


def release(identity: str = "20260102T030405Z-1a2b3c4") -> Release:
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    return Release(
        id=identity,
        stack="shop",
        sha="1a2b3c4" + "0" * 33,
        dirty=False,
        created="2026-01-02T03:04:05Z",
        performer="me@here",
        previous=None,
        services={"web": ReleasedService(image="r/shop-web@sha256:00")},
        compose={"compose.yaml": hashes["compose.yaml"]},
        files={name: hashes[name] for name in TRAVELLING},
    )


@pytest.fixture
def folder(tmp_path: Path) -> ReleaseFolder:
    return ReleaseFolder(Local(), PurePosixPath(tmp_path / "with space"), "shop")


def here(path: PurePosixPath) -> Path:
    return Path(str(path))


def made(folder: ReleaseFolder, *identities: str) -> list[Release]:
    found = []
    for identity in identities:
        found.append(release(identity))
        folder.stage(identity, FILES)
        folder.record(found[-1])
        folder.activate(identity)
    return found


def test_a_host_without_a_folder_has_no_release(folder: ReleaseFolder) -> None:
    assert folder.current() == Current(release=None)
    assert folder.releases() == ((), ())
    assert not here(folder.path).exists()


def test_a_deploy_step_by_step(folder: ReleaseFolder) -> None:
    one = release()
    assert folder.stage(one.id, FILES) == folder.folder_of(one.id)
    assert folder.current() == Current(release=None, unrecorded=(one.id,))
    assert folder.releases() == ((), ())

    folder.place(one.id, TRAVELLING, [])
    assert folder.current() == Current(release=None, switching=one.id, unrecorded=(one.id,))

    folder.record(one)
    assert folder.releases() == ((one,), ())
    assert folder.current() == Current(release=None, switching=one.id, recorded=1)

    folder.activate(one.id)
    assert folder.current() == Current(release=one, recorded=1)
    assert (here(folder.path) / "current").readlink() == Path("releases") / one.id
    assert (here(folder.path) / "current" / "compose.yaml").read_bytes() == FILES["compose.yaml"]
    assert {path.name for path in here(folder.path).iterdir()} == {"current", "project", "releases"}


def test_a_good_end_is_recorded_noted_current_and_rid_of_what_is_superfluous_at_once(folder: ReleaseFolder) -> None:
    made(folder, "1", "2")
    three = release("3")
    folder.stage("3", FILES)
    folder.place("3", TRAVELLING, [])
    folder.record(three, {"n": 3}, activate=True, drop=["1"])
    assert folder.current() == Current(release=three, recorded=2)
    assert [r.id for r in folder.releases()[0]] == ["3", "2"]
    assert (here(folder.path) / "audit.jsonl").read_text() == '{"n": 3}\n'


def test_a_bad_end_is_recorded_and_noted_and_the_current_release_stays(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    folder.stage("2", FILES)
    folder.place("2", TRAVELLING, [])
    folder.record(release("2"), {"n": 2})
    assert folder.current() == Current(release=one, switching="2", recorded=2)


def test_what_is_reserved_on_the_disk_is_given_back_with_the_record(folder: ReleaseFolder) -> None:
    staged = here(folder.stage("1", FILES))
    assert (staged / RESERVE).stat().st_size == RESERVE_BYTES
    folder.record(release("1"))
    assert not (staged / RESERVE).exists()


def test_the_current_release_moves_from_one_to_the_next_and_back(folder: ReleaseFolder) -> None:
    one, two = made(folder, "1", "2")
    assert folder.current().release == two
    folder.activate(one.id)
    assert folder.current().release == one
    assert not (here(folder.folder_of("2")) / "1").exists()


def test_releases_are_newest_first(folder: ReleaseFolder) -> None:
    one, three, two = made(folder, "1", "3", "2")
    assert folder.releases() == ((three, two, one), ())


def test_staged_files_are_what_they_were_and_readable_for_all(folder: ReleaseFolder) -> None:
    odd = {**FILES, "a b/ü'\"$x\n": b"\x00\xff" * 70_000, "-dash": b"", ".hidden": b"1"}
    before = os.umask(0o077)
    try:
        staged = here(folder.stage("1", odd))
    finally:
        os.umask(before)
    found = {str(path.relative_to(staged)): path.read_bytes() for path in staged.rglob("*") if path.is_file()}
    assert found == {**odd, RESERVE: bytes(RESERVE_BYTES)}
    assert (staged / "compose.yaml").stat().st_mode & 0o777 == 0o644
    assert (staged / "hook.sh").stat().st_mode & 0o777 == 0o755
    assert (staged / "a b").stat().st_mode & 0o777 == 0o755


def test_staging_again_leaves_nothing_of_the_first_time(folder: ReleaseFolder) -> None:
    folder.stage("1", {"old": b"1", "both": b"1"})
    staged = folder.stage("1", {"both": b"2"})
    assert sorted(path.name for path in here(staged).iterdir()) == ["both", RESERVE]


def test_a_half_staged_release_of_a_killed_deploy_is_in_nobodys_way(folder: ReleaseFolder) -> None:
    made(folder, "1")
    half = here(folder.path) / "releases" / ".2"
    half.mkdir()
    (half / "compose.yaml").write_text("half")
    assert [r.id for r in folder.releases()[0]] == ["1"]
    folder.stage("2", FILES)
    assert (here(folder.folder_of("2")) / "compose.yaml").read_bytes() == FILES["compose.yaml"]
    assert not half.exists()


def test_a_release_that_was_never_recorded_does_not_count(folder: ReleaseFolder) -> None:
    made(folder, "1")
    folder.stage("2", FILES)
    (here(folder.folder_of("2")) / ".release.json").write_text("{")
    found, notes = folder.releases()
    assert ([r.id for r in found], notes) == (["1"], ())


def test_travelling_files_are_put_into_the_project_and_old_ones_taken_away(folder: ReleaseFolder) -> None:
    folder.stage("1", {"a/x": b"1", "b": b"1", "same": b"1"})
    folder.place("1", ["a/x", "b", "same"], [])
    project = here(folder.project)
    (project / ".env").write_text("SECRET=1")
    folder.stage("2", {"a/x": b"2", "c/d/e": b"2", "same": b"1"})
    folder.place("2", ["a/x", "c/d/e", "same"], ["b", "never/there"])
    found = {str(path.relative_to(project)): path.read_text() for path in project.rglob("*") if path.is_file()}
    assert found == {"a/x": "2", "c/d/e": "2", "same": "1", ".env": "SECRET=1"}
    assert folder.current().switching == "2"


ODD = ["a b", " leading", "trailing ", 'quo"te', "back\\slash", "d\\n", "$HOME", "*", "-", "-n", "+ x", "ümläut/ä"]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_placed_and_taken_away(tmp_path: Path, name: str) -> None:
    folder = ReleaseFolder(Local(), PurePosixPath(tmp_path), "shop")
    folder.stage("1", {name: b"1", "other": b"1"})
    folder.place("1", [name, "other"], [])
    assert (here(folder.project) / name).read_bytes() == b"1"
    folder.place("1", ["other"], [name])
    assert [path.name for path in here(folder.project).rglob("*") if path.is_file()] == ["other"]


def test_an_empty_folder_that_docker_made_for_a_missing_file_makes_way(folder: ReleaseFolder) -> None:
    folder.stage("1", FILES)
    (here(folder.project) / "caddy" / "Caddyfile").mkdir(parents=True)
    folder.place("1", TRAVELLING, [])
    assert (here(folder.project) / "caddy" / "Caddyfile").read_bytes() == FILES["caddy/Caddyfile"]


def test_a_folder_with_something_in_it_is_not_removed(folder: ReleaseFolder) -> None:
    folder.stage("1", FILES)
    precious = here(folder.project) / "caddy" / "Caddyfile" / "precious"
    precious.parent.mkdir(parents=True)
    precious.touch()
    with pytest.raises(OnevmError, match="cannot be used"):
        folder.place("1", TRAVELLING, [])
    assert precious.exists()


def test_a_placed_file_appears_whole(folder: ReleaseFolder) -> None:
    folder.stage("1", {"x": b"1"})
    folder.place("1", ["x"], [])
    placed = here(folder.project) / "x"
    with placed.open("rb") as old:
        folder.stage("2", {"x": b"22"})
        folder.place("2", ["x"], [])
        assert old.read() == b"1"
    assert placed.read_bytes() == b"22"


def test_a_current_that_leads_nowhere_is_noted(folder: ReleaseFolder) -> None:
    made(folder, "1")
    shutil.rmtree(here(folder.folder_of("1")))
    found = folder.current()
    assert found.release is None
    assert found.note == f"{folder.path}/current points to releases/1, which has no release.json"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 1}'])
def test_a_record_that_cannot_be_read_is_noted(folder: ReleaseFolder, text: str) -> None:
    one, two = made(folder, "1", "2")
    (here(folder.folder_of(two.id)) / "release.json").write_text(text)
    assert folder.current().release is None
    assert folder.current().note
    found, notes = folder.releases()
    assert found == (one,)
    assert len(notes) == bool(text)


def test_what_a_killed_deploy_was_on_its_way_to_is_seen_beside_the_current_release(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    folder.stage("2", FILES)
    folder.place("2", [], [])
    assert folder.current() == Current(release=one, switching="2", unrecorded=("2",), recorded=1)
    folder.activate("1")
    assert folder.current() == Current(release=one, unrecorded=("2",), recorded=1)


def test_the_way_to_a_staged_release_is_noted_with_it_or_when_it_is_placed(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    folder.stage("2", FILES)
    assert folder.current().switching == ""
    folder.stage("3", FILES, switching=True)
    assert folder.current() == Current(release=one, switching="3", unrecorded=("2", "3"), recorded=1)
    folder.place("2", [], [])
    assert folder.current().switching == "2"


def test_what_a_killed_deploy_staged_is_seen_until_it_is_dropped(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    folder.stage("2", FILES)
    (here(folder.path) / "releases" / ".3").mkdir()
    assert set(folder.current().unrecorded) == {"2", ".3"}
    folder.drop(folder.current().unrecorded)
    assert folder.current() == Current(release=one, recorded=1)
    assert {path.name for path in (here(folder.path) / "releases").iterdir()} == {"1"}


def test_the_folder_of_the_current_release_is_kept_although_its_record_is_gone(folder: ReleaseFolder) -> None:
    made(folder, "1")
    (here(folder.folder_of("1")) / "release.json").unlink()
    assert folder.current().unrecorded == ()


def test_an_empty_note_is_no_note(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    (here(folder.path) / "switching").touch()
    assert folder.current() == Current(release=one, recorded=1)


def test_a_recorded_release_is_fetched_as_it_was_staged(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    assert folder.fetch(one) == FILES


@pytest.mark.parametrize("how", ["changed", "gone", "release gone"])
def test_a_release_whose_files_were_touched_is_refused(folder: ReleaseFolder, how: str) -> None:
    (one,) = made(folder, "1")
    path = here(folder.folder_of("1")) / "caddy" / "Caddyfile"
    if how == "changed":
        path.write_text(":81\n")
    elif how == "gone":
        path.unlink()
    else:
        shutil.rmtree(here(folder.folder_of("1")))
    with pytest.raises(OnevmError, match=r"release 1 is damaged on the host: .*caddy/Caddyfile"):
        folder.fetch(one)


def test_events_are_appended_one_a_line(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    folder.record(one, {"event": "deploy", "n": 1})
    folder.record(one, {"event": "rollback", "text": "two\nlines ü"})
    lines = (here(folder.path) / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "deploy", "n": 1},
        {"event": "rollback", "text": "two\nlines ü"},
    ]


def test_what_proxies_ask_changes_with_the_files(folder: ReleaseFolder) -> None:
    made(folder, "1")
    folder.point({"web": "web-1", "api": "api-1"})
    folder.place("1", TRAVELLING, [], {"web": "web"})
    assert folder.point({"web": "", "api": ""}) == {"web": "web", "api": "api-1"}


def test_a_line_that_a_crash_tore_does_not_spoil_the_next(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    folder.record(one, {"n": 1})
    path = here(folder.path) / "audit.jsonl"
    path.write_text(path.read_text() + '{"n": 2')
    folder.record(one, {"n": 3})
    assert path.read_text() == '{"n": 1}\n{"n": 2\n{"n": 3}\n'


def test_a_root_that_cannot_be_used_names_the_host_and_the_folder(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")
    folder = ReleaseFolder(Local("prod"), PurePosixPath(tmp_path / "root"), "shop")
    with pytest.raises(
        OnevmError, match=f"host prod: the stack's folder {tmp_path}/root/shop cannot be used"
    ) as caught:
        folder.stage("1", FILES)
    assert "`root`" in caught.value.next_step


def test_the_operators_line_starts_the_current_release_without_onevm(folder: ReleaseFolder) -> None:
    line = folder.operator_line(["compose.yaml", "more files.yaml"])
    current = folder.path / "current"
    done = Local().run(["sh", "-c", f"printf '%s\\n' {line}"], timeout=20).stdout.splitlines()
    assert done == [
        *("docker", "compose", "-p", "shop", "--project-directory", str(folder.project)),
        *("-f", f"{current}/compose.yaml", "-f", f"{current}/more files.yaml", "-f", f"{current}/{OVERRIDE}"),
        *("up", "-d"),
    ]


def test_an_archive_holds_files_of_nobody_in_particular() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive(FILES))) as tar:
        members = {member.name: (member.mode, member.uid, member.size) for member in tar.getmembers()}
    assert members == {"compose.yaml": (0o644, 0, 13), "caddy/Caddyfile": (0o644, 0, 4), "hook.sh": (0o755, 0, 10)}
    assert archive(FILES) == archive(dict(reversed(FILES.items())))


def test_a_later_release_leaves_earlier_ones_as_they_were(folder: ReleaseFolder) -> None:
    (one,) = made(folder, "1")
    made(folder, "2")
    folder.record(replace(release("2"), outcome="failed"))
    assert folder.fetch(one) == FILES
    assert [(r.id, r.outcome) for r in folder.releases()[0]] == [("2", "failed"), ("1", "good")]
