"""What moves a content key and what does not, on real folders."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.core.build import BuildDefinition, BuildSecret
from tasks.core.contents import ReadEveryTime
from tasks.core.errors import OnevmError
from tasks.core.inputs import changed_since, read_inputs, signature
from tasks.core.keys import Manifest, content_key, explain, manifest, recipe, refreshed
from tasks.core.values import replace

HASHES = ReadEveryTime()
BASE_KEYS = {"base": "1" * 64, "tool": "2" * 64}


def put(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def checkout(root: Path) -> BuildDefinition:
    """Make a checkout with one of everything, and return its build."""
    app = root / "app"
    put(app / "Dockerfile", "FROM scratch\nCOPY . /\n")
    put(app / ".dockerignore", "ignored\n.dockerignore\n")
    put(app / ".gitignore", "generated\n")
    put(app / "src/main.py", "print(1)")
    put(app / "src/lib.py", "lib")
    put(app / "generated", "made")
    put(app / "ignored/file", "nobody looks")
    (app / "link").symlink_to("src/main.py")
    (app / "empty").mkdir()
    put(root / "shared/code.py", "shared")
    put(root / "assets/logo", "logo")
    put(root / "assets/.dockerignore", "*.tmp")
    return BuildDefinition(
        stack="shop",
        service="app",
        context=str(app),
        dockerfile=app / "Dockerfile",
        target="run",
        args=(("COMMIT", "abc"), ("LEVEL", "1"), ("UNSET", None)),
        volatile_args=frozenset({"COMMIT"}),
        contexts=(("assets", str(root / "assets")), ("base", "target:base"), ("os", "docker-image://debian:12")),
        bases=("base",),
        platforms=("linux/amd64",),
        inputs=(root / "shared",),
        options=(("network", '"none"'),),
        secrets=(BuildSecret(id="token", environment="TOKEN"),),
    )


def made_of(definition: BuildDefinition) -> Manifest:
    return manifest(definition, files=read_inputs(definition, HASHES), base_keys=BASE_KEYS)


def key(definition: BuildDefinition, base_keys: dict[str, str] = BASE_KEYS) -> str:
    return content_key(definition, files=read_inputs(definition, HASHES), base_keys=base_keys)


@pytest.fixture
def build(tmp_path: Path) -> BuildDefinition:
    return checkout(tmp_path / "checkout")


def _write(path: str, text: str = "other") -> Callable[[Path], Any]:
    return lambda root: put(root / path, text)


def _relink(root: Path) -> None:
    (root / "app/link").unlink()
    (root / "app/link").symlink_to("src/lib.py")


def _unlink(root: Path) -> None:
    (root / "app/link").unlink()
    put(root / "app/link", "print(1)")


def _fill(root: Path) -> None:
    (root / "app/empty").rmdir()
    put(root / "app/empty")


def _move(old: str, new: str) -> Callable[[Path], Any]:
    return lambda root: (root / old).rename(put(root / new))


def _swap_contents(root: Path) -> None:
    put(root / "app/src/main.py", "lib")
    put(root / "app/src/lib.py", "print(1)")


def _touch_all(root: Path) -> None:
    for folder, _, files in os.walk(root):
        for name in files:
            os.utime(Path(folder, name), (1, 1), follow_symlinks=False)


def _other_umask(root: Path) -> None:
    for folder, _, files in os.walk(root):
        Path(folder).chmod(0o775)
        for name in files:
            if not Path(folder, name).is_symlink():
                Path(folder, name).chmod(0o664)


CHANGES_ON_DISK: list[tuple[str, Callable[[Path], Any], bool]] = [
    ("content", _write("app/src/main.py"), True),
    ("executable bit", lambda root: (root / "app/src/main.py").chmod(0o755), True),
    ("rename", _move("app/src/main.py", "app/src/start.py"), True),
    ("rename of a folder", lambda root: (root / "app/src").rename(root / "app/lib"), True),
    ("move between folders", _move("app/src/main.py", "app/main.py"), True),
    ("two files' contents swapped", _swap_contents, True),
    ("symlink target", _relink, True),
    (
        "link replaced by its content",
        _unlink,
        True,
    ),
    ("deleted file", lambda root: (root / "app/src/lib.py").unlink(), True),
    ("new empty folder", lambda root: (root / "app/new").mkdir(), True),
    ("empty folder deleted", lambda root: (root / "app/empty").rmdir(), True),
    ("folder replaced by an empty file", _fill, True),
    ("untracked file in the context", _write("app/untracked"), True),
    ("git-ignored file in the context", _write("app/generated"), True),
    ("ignored file", _write("app/ignored/file"), False),
    ("new ignored file", _write("app/ignored/new"), False),
    ("ignore file edited without effect", _write("app/.dockerignore", "# said\nignored\n.dockerignore\n"), False),
    ("ignore file edited with effect", _write("app/.dockerignore", "ignored\n.dockerignore\nsrc\n"), True),
    ("ignore file that arrives in the image", _write("app/.dockerignore", "ignored\n"), True),
    ("the Dockerfile's own ignore file", _write("app/Dockerfile.dockerignore", "src\n*ignore*\n"), True),
    ("Dockerfile", _write("app/Dockerfile", "FROM scratch\nCOPY . /other\n"), True),
    ("named context", _write("assets/logo"), True),
    ("ignored in a named context", _write("assets/a.tmp"), False),
    ("input", _write("shared/code.py"), True),
    ("new file in an input", _write("shared/more.py"), True),
    ("input renamed inside", _move("shared/code.py", "shared/core.py"), True),
    ("outside everything", _write("README"), False),
    ("other mtimes", _touch_all, False),
    ("other umask", _other_umask, False),
]


@pytest.mark.parametrize(
    ("change", "moves"), [row[1:] for row in CHANGES_ON_DISK], ids=[row[0] for row in CHANGES_ON_DISK]
)
def test_a_change_on_disk_moves_the_key_only_if_it_reaches_the_image(
    tmp_path: Path, build: BuildDefinition, change: Callable[[Path], Any], moves: bool
) -> None:
    before = key(build)
    change(tmp_path / "checkout")
    assert (key(build) != before) == moves


def test_another_checkout_path_gives_the_same_key(tmp_path: Path, build: BuildDefinition) -> None:
    assert key(checkout(tmp_path / "else/where")) == key(build)


def test_the_files_alone_decide_not_how_they_came_there(tmp_path: Path, build: BuildDefinition) -> None:
    before = key(build)
    shutil.copytree(tmp_path / "checkout", tmp_path / "copy", symlinks=True)
    (tmp_path / "checkout").rename(tmp_path / "gone")
    (tmp_path / "copy").rename(tmp_path / "checkout")
    assert key(build) == before


CHANGES_ASKED_FOR: list[tuple[str, dict[str, Any], bool]] = [
    ("used arg", {"args": (("COMMIT", "abc"), ("LEVEL", "2"), ("UNSET", None))}, True),
    ("arg that becomes empty", {"args": (("COMMIT", "abc"), ("LEVEL", ""), ("UNSET", None))}, True),
    ("arg that gets a value", {"args": (("COMMIT", "abc"), ("LEVEL", "1"), ("UNSET", ""))}, True),
    ("arg dropped", {"args": (("COMMIT", "abc"), ("LEVEL", "1"))}, True),
    ("args in another order", {"args": (("UNSET", None), ("LEVEL", "1"), ("COMMIT", "abc"))}, False),
    ("volatile arg", {"args": (("COMMIT", "def"), ("LEVEL", "1"), ("UNSET", None))}, False),
    ("volatile arg dropped", {"args": (("LEVEL", "1"), ("UNSET", None))}, False),
    ("arg no longer volatile", {"volatile_args": frozenset()}, True),
    ("target", {"target": "test"}, True),
    ("no target", {"target": None}, True),
    ("platform", {"platforms": ("linux/arm64",)}, True),
    ("more platforms", {"platforms": ("linux/amd64", "linux/arm64")}, True),
    ("option", {"options": (("network", '"host"'),)}, True),
    ("secret id", {"secrets": (BuildSecret(id="other", environment="TOKEN"),)}, True),
    ("where a secret comes from", {"secrets": (BuildSecret(id="token", file=Path("/run/token")),)}, False),
    ("name of the service", {"service": "web", "stack": "other"}, False),
]


@pytest.mark.parametrize(
    ("change", "moves"), [row[1:] for row in CHANGES_ASKED_FOR], ids=[row[0] for row in CHANGES_ASKED_FOR]
)
def test_a_change_of_what_is_asked_for_moves_the_key_only_if_it_reaches_the_image(
    build: BuildDefinition, change: dict[str, Any], moves: bool
) -> None:
    other = replace(build, **change)
    assert (key(other) != key(build)) == moves
    assert (recipe(other) != recipe(build)) == moves


def test_the_key_of_a_base_that_is_built_here_counts(build: BuildDefinition) -> None:
    assert key(build, {"base": "3" * 64}) != key(build)


def test_the_role_of_a_base_counts(build: BuildDefinition) -> None:
    one = replace(build, contexts=(("x", "target:base"), ("y", "target:tool")), bases=("base", "tool"))
    other = replace(build, contexts=(("x", "target:tool"), ("y", "target:base")), bases=("base", "tool"))
    assert key(one) != key(other)
    assert recipe(one) != recipe(other)


def test_the_name_under_which_a_base_is_reached_counts(build: BuildDefinition) -> None:
    one = replace(build, contexts=(("x", "target:base"),), bases=("base",))
    other = replace(build, contexts=(("y", "target:base"),), bases=("base",))
    assert key(one) != key(other)
    assert recipe(one) != recipe(other)


def test_the_path_of_a_dockerfile_in_a_remote_context_counts(build: BuildDefinition) -> None:
    one = replace(build, context="https://git.example.com/shop.git", dockerfile=Path("Dockerfile"))
    other = replace(one, dockerfile=Path("web/Dockerfile"))
    assert key(one) != key(other)
    assert recipe(one) != recipe(other)


def test_the_signature_moves_when_a_file_arrives_without_its_content(tmp_path: Path) -> None:
    put(tmp_path / "Dockerfile", "FROM scratch\n")
    put(tmp_path / "a/b", "text")
    build = BuildDefinition(stack="s", service="x", context=str(tmp_path), dockerfile=tmp_path / "Dockerfile")
    found = set()
    for text in ("*\n!a/b", "*\n!a/b\na"):
        put(tmp_path / ".dockerignore", text)
        found.add((key(build), signature(build).digest))
    assert len({key for key, _ in found}) == len({digest for _, digest in found}) == 2


def test_a_base_without_a_named_context_counts_too(build: BuildDefinition) -> None:
    one = replace(build, bases=("base", "tool"))
    assert key(one) != key(build)
    assert recipe(one) != recipe(build)
    assert key(one, BASE_KEYS | {"tool": "9" * 64}) != key(one)


def test_a_named_context_given_by_value_counts_by_its_text(build: BuildDefinition) -> None:
    contexts = dict(build.contexts)
    other = contexts | {"os": "docker-image://debian:13"}
    assert key(replace(build, contexts=tuple(other.items()))) != key(build)


def test_two_contexts_swapped_are_not_the_same(tmp_path: Path, build: BuildDefinition) -> None:
    put(tmp_path / "one/file", "1")
    put(tmp_path / "two/file", "2")
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert key(replace(build, contexts=(("a", one), ("b", two)), bases=())) != key(
        replace(build, contexts=(("a", two), ("b", one)), bases=())
    )


def test_an_empty_named_context_is_not_none(tmp_path: Path, build: BuildDefinition) -> None:
    (tmp_path / "nothing").mkdir()
    with_it = replace(build, contexts=(*build.contexts, ("more", str(tmp_path / "nothing"))))
    assert key(with_it) != key(build)


def test_an_input_is_keyed_by_its_place_in_the_list_not_by_its_path(tmp_path: Path, build: BuildDefinition) -> None:
    put(tmp_path / "far/away/code.py", "shared")
    assert key(replace(build, inputs=(tmp_path / "far/away",))) == key(build)
    one, two = put(tmp_path / "one", "1"), put(tmp_path / "two", "2")
    assert key(replace(build, inputs=(one, two))) != key(replace(build, inputs=(two, one)))
    assert key(replace(build, inputs=(one,))) != key(replace(build, inputs=(one, one)))
    (tmp_path / "empty").mkdir()
    assert key(replace(build, inputs=(tmp_path / "empty",))) != key(replace(build, inputs=()))


def test_the_name_of_the_dockerfile_counts_only_as_a_file_of_the_context(
    tmp_path: Path, build: BuildDefinition
) -> None:
    text = (tmp_path / "checkout/app/Dockerfile").read_text()
    one, other = put(tmp_path / "a/One", text), put(tmp_path / "b/Other", text)
    assert key(replace(build, dockerfile=one)) == key(replace(build, dockerfile=other))
    assert key(replace(build, dockerfile=one)) == key(replace(build, dockerfile=None, dockerfile_inline=text))


def test_a_lower_case_dockerfile_is_found_as_buildx_finds_it(tmp_path: Path, build: BuildDefinition) -> None:
    app = tmp_path / "checkout/app"
    (app / "Dockerfile").rename(app / "dockerfile")
    assert key(build) == key(replace(build, dockerfile=app / "dockerfile"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"args": (("A", "B"), ("C", "D"))}, {"args": (("A", "B=C"), ("D", ""))}),
        ({"args": (("AB", "C"),)}, {"args": (("A", "BC"),)}),
        ({"target": "ab", "platforms": ("c",)}, {"target": "a", "platforms": ("bc",)}),
        ({"options": (("a", "1"), ("b", "2"))}, {"options": (("a", "1b2"),)}),
        ({"options": (("a", "1:b"),)}, {"options": (("a:1", "b"),)}),
    ],
)
def test_no_two_lists_of_fields_run_together(
    build: BuildDefinition, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert key(replace(build, **one)) != key(replace(build, **other))


def test_names_and_contents_do_not_run_together(tmp_path: Path, build: BuildDefinition) -> None:
    for folder, files in (("one", {"ab": "c", "d": ""}), ("two", {"a": "bc", "d": ""}), ("three", {"a\nd": "bc"})):
        for name, text in files.items():
            put(tmp_path / folder / name, text)
    keys = {key(replace(build, inputs=(tmp_path / folder,))) for folder in ("one", "two", "three")}
    assert len(keys) == 3


def test_a_remote_context_is_keyed_by_its_text() -> None:
    one = BuildDefinition(
        stack="s", service="a", context="https://example.com/repo.git#v1", dockerfile=Path("Dockerfile")
    )
    assert key(one, {}) == key(replace(one, service="b"), {})
    assert key(one, {}) != key(replace(one, context="https://example.com/repo.git#v2"), {})
    assert key(one, {}) != key(replace(one, dockerfile=Path("other/Dockerfile")), {})
    assert key(one, {}) != key(replace(one, dockerfile=None, dockerfile_inline="FROM scratch"), {})


def test_a_missing_dockerfile_or_input_is_an_error_that_names_it(tmp_path: Path, build: BuildDefinition) -> None:
    for definition in (
        replace(build, dockerfile=tmp_path / "lost/Dockerfile"),
        replace(build, inputs=(tmp_path / "lost",)),
        replace(build, context=str(tmp_path / "lost")),
        replace(build, contexts=(("lost", str(tmp_path / "lost")),), bases=()),
    ):
        with pytest.raises(OnevmError, match=f"{tmp_path}/lost.* is gone"):
            read_inputs(definition, HASHES)


def test_a_dockerfile_that_is_a_folder_is_an_error_that_names_it(tmp_path: Path, build: BuildDefinition) -> None:
    with pytest.raises(OnevmError, match=r"cannot read .*/checkout"):
        read_inputs(replace(build, dockerfile=tmp_path / "checkout"), HASHES)


# Whether something changed since.


def _rewrite_the_same(root: Path) -> None:
    path = root / "app/src/main.py"
    path.write_text(path.read_text())


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (_write("app/src/main.py"), ["app/src/main.py"]),
        (lambda root: (root / "app/src/main.py").chmod(0o755), ["app/src/main.py"]),
        (lambda root: (root / "app/src/main.py").chmod(0o600), []),
        (_move("app/src/main.py", "app/src/start.py"), ["app/src/main.py", "app/src/start.py"]),
        (_relink, ["app/link"]),
        (lambda root: (root / "app/src/lib.py").unlink(), ["app/src/lib.py"]),
        (_write("app/new"), ["app/new"]),
        (lambda root: (root / "app/more").mkdir(), ["app/more"]),
        (_write("app/ignored/file"), []),
        (_write("app/Dockerfile"), ["app/Dockerfile"]),
        (_write("shared/code.py"), ["shared/code.py"]),
        (_write("assets/logo"), ["assets/logo"]),
        (_touch_all, []),
        (_rewrite_the_same, []),
        (lambda _: None, []),
    ],
)
def test_what_changed_during_a_build_is_named(
    tmp_path: Path, build: BuildDefinition, change: Callable[[Path], Any], names: list[str]
) -> None:
    before = read_inputs(build, HASHES)
    change(tmp_path / "checkout")
    assert changed_since(before, HASHES) == [str(tmp_path / "checkout" / name) for name in names]


def test_a_change_in_the_very_tick_of_reading_is_seen(tmp_path: Path, build: BuildDefinition) -> None:
    path = tmp_path / "checkout/app/src/main.py"
    for number in range(10, 60):
        path.write_text(str(number))
        before = read_inputs(build, HASHES)
        path.write_text(str(number + 1))
        assert changed_since(before, HASHES) == [str(path)]


@pytest.mark.parametrize(
    ("change", "moves"), [row[1:] for row in CHANGES_ON_DISK], ids=[row[0] for row in CHANGES_ON_DISK]
)
def test_the_signature_moves_whenever_the_key_may(
    tmp_path: Path, build: BuildDefinition, change: Callable[[Path], Any], moves: bool
) -> None:
    before = signature(build)
    assert signature(build).digest == before.digest
    change(tmp_path / "checkout")
    assert signature(build).digest != before.digest or not moves


# Why a key differs.


def test_a_difference_is_explained_by_name(tmp_path: Path, build: BuildDefinition) -> None:
    root = tmp_path / "checkout"
    old = made_of(build)
    put(root / "app/src/main.py", "other")
    put(root / "app/src/new.py")
    (root / "app/src/lib.py").unlink()
    put(root / "shared/code.py", "other")
    put(root / "app/Dockerfile", "FROM scratch\n")
    new = made_of(
        replace(
            build,
            target=None,
            args=(("LEVEL", "hunter2"), ("NEW", "hunter3")),
            platforms=("linux/arm64",),
            contexts=(("assets", str(root / "assets")), ("os", "docker-image://debian:13")),
            bases=(),
        )
    )
    lines = explain(old, new, checkout=str(root))
    assert sorted(lines) == sorted(
        [
            "app/src/main.py changed",
            "app/src/new.py added",
            "app/src/lib.py removed",
            "shared/code.py changed",
            "app/Dockerfile changed",
            "target removed",
            "arg LEVEL changed",
            "arg NEW added",
            "arg UNSET removed",
            "platform linux/amd64 removed",
            "platform linux/arm64 added",
            "base base removed",
            "named context os changed",
        ]
    )
    assert "hunter" not in "".join(map(str, new.items))


@pytest.mark.parametrize("change", [row[1] for row in CHANGES_ON_DISK], ids=[row[0] for row in CHANGES_ON_DISK])
def test_keys_differ_exactly_when_there_is_something_to_explain(
    tmp_path: Path, build: BuildDefinition, change: Callable[[Path], Any]
) -> None:
    old = made_of(build)
    change(tmp_path / "checkout")
    new = made_of(build)
    assert (old.key != new.key) == bool(explain(old, new))


def test_a_refresh_has_a_key_of_its_own_for_every_set_of_base_images() -> None:
    keys = [
        refreshed("k", bases)
        for bases in ({"a": "1"}, {"a": "2"}, {"b": "1"}, {"a": "1", "b": "1"}, {"a": "", "1": ""})
    ]
    assert len({"k", *keys}) == 6
    assert refreshed("k", {"a": "1", "b": "2"}) == refreshed("k", {"b": "2", "a": "1"})
    assert refreshed("other", {"a": "1"}) != refreshed("k", {"a": "1"})
    assert refreshed("k", {}) == "k"
