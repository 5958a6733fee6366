"""What a build context holds, on real folders; the engine's own view is in the integration tests."""

import os
import socket
from pathlib import Path

import pytest

from tasks.core.context import Entry, ignore_rules, is_fresh, list_context, list_input, stamps
from tasks.core.errors import ConfigurationError, OnevmError
from tasks.core.ignore import IgnoreRules

NO_RULES = IgnoreRules()


def listed(root: Path, text: str = "") -> dict[str, Entry]:
    return {entry.path: entry for entry in list_context(str(root), IgnoreRules(text.encode()))}


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_everything_in_a_folder_is_listed_with_its_kind(tmp_path: Path) -> None:
    put(tmp_path / "src/app.py").chmod(0o644)
    put(tmp_path / "run").chmod(0o755)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    found = {path: (e.kind, e.executable, e.target) for path, e in listed(tmp_path).items()}
    assert found == {
        "empty": ("directory", False, ""),
        "link": ("symlink", False, "nowhere"),
        "pipe": ("other", False, "pipe"),
        "run": ("file", True, ""),
        "src": ("directory", False, ""),
        "src/app.py": ("file", False, ""),
    }


def test_the_dockerfile_and_the_ignore_file_are_in_the_context_unless_left_out(tmp_path: Path) -> None:
    put(tmp_path / "Dockerfile")
    put(tmp_path / ".dockerignore")
    assert set(listed(tmp_path)) == {"Dockerfile", ".dockerignore"}
    assert set(listed(tmp_path, "Dockerfile\n.dockerignore")) == set()


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "real/file")
    (tmp_path / "link").symlink_to("real")
    assert set(listed(tmp_path)) == {"real", "real/file", "link"}


def test_a_context_that_is_itself_a_link_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "real/file")
    (tmp_path / "link").symlink_to("real")
    assert set(listed(tmp_path / "link")) == {"file"}


def test_folders_above_what_is_taken_back_arrive_too_and_others_do_not(tmp_path: Path) -> None:
    put(tmp_path / "a/b/keep")
    put(tmp_path / "a/b/drop")
    put(tmp_path / "a/other/drop")
    assert set(listed(tmp_path, "*\n!a/b/keep")) == {"a", "a/b", "a/b/keep"}


def test_an_excluded_folder_that_holds_nothing_taken_back_does_not_arrive(tmp_path: Path) -> None:
    put(tmp_path / "a/drop")
    assert set(listed(tmp_path, "**\n!**/*.md")) == set()


def test_parents_come_before_children_and_the_order_is_that_of_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c/x", "c/a"):
        put(tmp_path / name)
    for text in ("", "nothing\n!nothing"):
        paths = list(listed(tmp_path, text))
        assert paths.index("c") < paths.index("c/a") < paths.index("c/x")
        assert paths.index("a") < paths.index("b")


def test_names_with_line_breaks_and_strange_bytes_are_kept(tmp_path: Path) -> None:
    put(tmp_path / "a\nb")
    put(tmp_path / os.fsdecode(b"\xff\xfe"))
    assert {os.fsencode(path) for path in listed(tmp_path)} == {b"a\nb", b"\xff\xfe"}


def test_a_socket_counts_as_what_arrives_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert listed(tmp_path)["socket"].target == "socket"


def test_a_file_that_buildkit_lists_but_sends_empty_is_told_apart(tmp_path: Path) -> None:
    put(tmp_path / "a/b", "content")
    assert listed(tmp_path, "*\n!a/b\na")["a/b"][1:4] == ("other", False, "empty file")


@pytest.mark.parametrize(
    ("own", "root", "dockerfile", "kept"),
    [
        (None, "x", "Dockerfile", {"y"}),
        ("y", "x", "Dockerfile", {"x"}),
        ("", "x", "Dockerfile", {"x", "y"}),
        ("y", "x", "sub/prod", {"x"}),
        ("y", "x", "../outside/Dockerfile", {"x"}),
        ("y", None, "../outside/Dockerfile", {"x"}),
        (None, None, "Dockerfile", {"x", "y"}),
    ],
)
def test_the_ignore_file_beside_the_dockerfile_wins(
    tmp_path: Path, own: str | None, root: str | None, dockerfile: str, kept: set[str]
) -> None:
    context = tmp_path / "context"
    place = Path(os.path.normpath(context / dockerfile))
    for path in (context / "x", context / "y", place):
        put(path)
    if own is not None:
        put(place.with_name(place.name + ".dockerignore"), own)
    if root is not None:
        put(context / ".dockerignore", root)
    found = list_context(str(context), ignore_rules(str(context), str(place)))
    assert {entry.path for entry in found} & {"x", "y"} == kept


@pytest.mark.parametrize(
    ("target", "followed"), [("rules", True), ("/rules", True), ("../rules", True), ("gone", False)]
)
def test_an_ignore_file_that_is_a_link_is_followed_inside_the_context_only(
    tmp_path: Path, target: str, followed: bool
) -> None:
    put(tmp_path / "rules", "other")
    put(tmp_path / "context/rules", "x")
    (tmp_path / "context/.dockerignore").symlink_to(target)
    assert ignore_rules(str(tmp_path / "context"), None).excludes("x") == followed


def test_an_ignore_file_that_links_to_itself_is_none(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").symlink_to(".dockerignore")
    assert not ignore_rules(str(tmp_path), None).patterns


def test_an_ignore_file_that_is_a_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile.dockerignore").mkdir()
    put(tmp_path / ".dockerignore", "x")
    assert ignore_rules(str(tmp_path), str(tmp_path / "Dockerfile")).excludes("x")


def test_an_ignore_file_that_is_a_pipe_is_an_explained_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".dockerignore")
    with pytest.raises(OnevmError, match="BuildKit would wait"):
        ignore_rules(str(tmp_path), None)


def test_a_wrong_ignore_file_is_named_with_its_line(tmp_path: Path) -> None:
    put(tmp_path / ".dockerignore", "fine\n[")
    with pytest.raises(ConfigurationError) as caught:
        ignore_rules(str(tmp_path), None)
    assert f"{tmp_path}/.dockerignore:2: " in str(caught.value)


def test_a_context_that_is_gone_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(OnevmError, match="gone is gone"):
        list_context(str(tmp_path / "gone"), NO_RULES)
    with pytest.raises(OnevmError, match="gone is gone"):
        stamps(str(tmp_path / "gone"), None)


def test_an_input_may_be_a_file_and_a_link_to_one_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "file", "four")
    (tmp_path / "link").symlink_to("file")
    (only,) = list_input(str(tmp_path / "link"))
    assert (only.path, only.kind, only.size) == ("", "file", 4)


@pytest.mark.parametrize("text", ["", "drop", "*\n!a\n!keep"])
def test_the_stamps_differ_when_anything_that_arrives_does(tmp_path: Path, text: str) -> None:
    put(tmp_path / "a/file", "1")
    put(tmp_path / "keep", "1")
    rules = IgnoreRules(text.encode())
    seen = [stamps(str(tmp_path), rules)[0]]
    for change in (
        lambda: put(tmp_path / "keep", "22"),
        lambda: (tmp_path / "keep").chmod(0o755),
        lambda: put(tmp_path / "a/new"),
        (tmp_path / "a/sub").mkdir,
        lambda: (tmp_path / "a/sub").rename(tmp_path / "a/other"),
        (tmp_path / "a/file").unlink,
    ):
        change()
        seen.append(stamps(str(tmp_path), rules)[0])
    assert all(one != other for number, one in enumerate(seen) for other in seen[:number])
    put(tmp_path / "drop")
    assert (stamps(str(tmp_path), rules)[0] == seen[-1]) == bool(text)


@pytest.mark.parametrize(
    ("ctime_ns", "now_ns", "fresh"),
    [
        (1_000_000_123, 1_010_000_000, True),
        (1_000_000_123, 1_100_000_000, False),
        (1_000_000_000, 2_500_000_000, True),
        (1_000_000_000, 3_500_000_000, False),
        (5_000_000_123, 1_000_000_000, True),
    ],
)
def test_a_time_is_fresh_within_a_tick_of_its_file_system(ctime_ns: int, now_ns: int, fresh: bool) -> None:
    assert is_fresh(ctime_ns, now_ns) == fresh
