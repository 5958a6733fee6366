"""What doit tracks of a service: files while they are few, one fingerprint file where they are many."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.core import inputs
from tasks.core.build import BuildDefinition
from tasks.core.inputs import signature
from tasks.steps import tracking
from tasks.steps.reach import Reach
from tasks.steps.tracking import Tracked

Look = Callable[..., dict[str, Tracked]]


def definition(folder: Path, service: str, *, bases: tuple[str, ...] = (), args: str = "") -> BuildDefinition:
    context = folder / service
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    return BuildDefinition(
        stack="notes",
        service=service,
        context=str(context),
        dockerfile=context / "Dockerfile",
        bases=bases,
        contexts=tuple((base, f"target:{base}") for base in bases),
        args=(("ARG", args),),
    )


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Give a function that returns what is tracked of definitions."""
    cache = tmp_path / "cache"
    cache.mkdir()

    def tracked(*definitions: BuildDefinition, reach: Reach | None = None, most: int = 5000) -> dict[str, Tracked]:
        monkeypatch.setattr(tracking, "reach", lambda: reach or Reach())
        monkeypatch.setattr(tracking, "MOST_FILES", most)
        return tracking.tracked({d.name: d for d in definitions}, cache)

    return tracked


def settled(*definitions: BuildDefinition) -> None:
    """Wait until another write of an input could no longer leave the same times."""
    while not all(signature(d).settled for d in definitions):
        time.sleep(0.005)


def content(found: Tracked) -> str:
    (file,) = found.files
    return Path(file).read_text()


def test_few_files_are_tracked_each(tmp_path: Path, look: Look) -> None:
    web = definition(tmp_path, "web")
    (tmp_path / "web" / "page").write_text("hello")
    assert look(web)["notes.web"].files == (str(tmp_path / "web/Dockerfile"), str(tmp_path / "web/page"))


def test_files_below_the_folder_doit_runs_in_are_shown_relative(
    tmp_path: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = definition(tmp_path, "web")
    monkeypatch.chdir(tmp_path)
    assert look(web)["notes.web"].files == ("web/Dockerfile",)


@pytest.mark.parametrize("most", [5000, 0])
def test_nothing_changed_is_tracked_as_the_same(tmp_path: Path, look: Look, most: int) -> None:
    web = definition(tmp_path, "web")
    settled(web)
    before = look(web, most=most)
    assert look(web, most=most) == before


def test_what_no_file_holds_changes_the_shape(tmp_path: Path, look: Look) -> None:
    web = definition(tmp_path, "web")
    seen = [look(web)["notes.web"].shape]
    seen.append(look(definition(tmp_path, "web", args="2"))["notes.web"].shape)
    (tmp_path / "web" / "empty").mkdir()
    seen.append(look(web)["notes.web"].shape)
    (tmp_path / "web" / "Dockerfile").chmod(0o755)
    seen.append(look(web)["notes.web"].shape)
    (tmp_path / "web" / "link").symlink_to("here")
    seen.append(look(web)["notes.web"].shape)
    assert len(set(seen)) == len(seen)


def test_many_files_are_tracked_as_one_that_changes_with_any(tmp_path: Path, look: Look) -> None:
    web = definition(tmp_path, "web")
    page = tmp_path / "web" / "page"
    page.write_text("hello")
    first = look(web, most=1)["notes.web"]
    seen = [content(first)]
    page.write_text("HELLO")
    assert look(web, most=1)["notes.web"].files == first.files
    seen.append(content(first))
    page.unlink()
    (tmp_path / "web" / "other").write_text("hello")
    look(web, most=1)
    seen.append(content(first))
    look(definition(tmp_path, "web", args="2"), most=0)
    seen.append(content(first))
    assert len(set(seen)) == len(seen)


def test_a_fingerprint_that_is_damaged_is_written_anew(tmp_path: Path, look: Look) -> None:
    web = definition(tmp_path, "web")
    found = look(web, most=0)["notes.web"]
    Path(found.files[0]).write_bytes(b"\xff\xfe")
    look(web, most=0)
    assert content(found).isascii()
    Path(found.files[0]).unlink()
    look(web, most=0)
    assert content(found)


def test_whether_files_are_many_hangs_on_the_service_alone(tmp_path: Path, look: Look) -> None:
    web, api = definition(tmp_path, "web"), definition(tmp_path, "api")
    for number in range(5):
        (tmp_path / "api" / f"{number}").touch()
    settled(api)
    together = look(web, api, most=6)
    assert len(together["notes.web"].files) == 1
    assert together["notes.web"].files[0].endswith("web/Dockerfile")
    assert "cache" in together["notes.api"].files[0]
    alone = look(web, api, most=6, reach=Reach(services=frozenset({"notes.api"})))
    assert alone["notes.api"] == together["notes.api"]


@pytest.mark.parametrize("most", [5000, 0])
def test_a_service_has_the_files_of_those_it_starts_from(tmp_path: Path, look: Look, most: int) -> None:
    base, web = definition(tmp_path, "base"), definition(tmp_path, "web", bases=("base",))
    settled(base, web)
    found = look(base, web, most=most)
    assert set(found["notes.base"].files) < set(found["notes.web"].files)
    only = look(base, web, most=most, reach=Reach(services=frozenset({"notes.web"})))
    assert only["notes.web"] == found["notes.web"]


def test_what_cannot_be_reached_is_not_read(tmp_path: Path, look: Look) -> None:
    web, gone = definition(tmp_path, "web"), definition(tmp_path, "gone")
    (tmp_path / "gone" / "Dockerfile").unlink()
    (tmp_path / "gone").rmdir()
    found = look(web, gone, reach=Reach(services=frozenset({"notes.web"})))
    assert found["notes.gone"] == Tracked(files=(), shape="")
    assert found["notes.web"].files
    assert look(web, gone, reach=Reach(status=False))["notes.web"] == Tracked(files=(), shape="")


def test_what_was_just_written_is_never_tracked_as_the_same(tmp_path: Path, look: Look) -> None:
    web = definition(tmp_path, "web")
    page = tmp_path / "web" / "page"
    page.write_text("hello")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "is_fresh", lambda *_: True)
        first, second = (look(web, most=0)["notes.web"].shape for _ in range(2))
    assert first != second


def test_the_services_of_many_are_tracked_as_if_they_were_few(tmp_path: Path, look: Look) -> None:
    all_of = [definition(tmp_path, f"s{number}") for number in range(2 * tracking.MANY_SERVICES)]
    settled(*all_of)
    for one in (all_of[0], all_of[1], all_of[-1]):
        reach = Reach(services=frozenset({one.name}))
        assert look(*all_of, most=0)[one.name] == look(*all_of, most=0, reach=reach)[one.name]
