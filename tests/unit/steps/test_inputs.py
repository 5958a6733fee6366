"""Keys of a stack's services: remembered ones are what reading would give, with real repositories."""

import os
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from tasks.adapters import halves
from tasks.adapters.git import Checkout
from tasks.adapters.memory import Memory
from tasks.core.build import BuildDefinition
from tasks.core.contents import ReadEveryTime
from tasks.core.context import Entry, is_fresh
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.core.values import replace
from tasks.steps import inputs
from tasks.steps.inputs import Keyed, Sources

FILES = ("web/Dockerfile", "web/app.py", "base/Dockerfile", "base/lib.py", "app/Dockerfile", "shared/code.py")
SERVICES = ("app", "base", "web")


class Counting(ReadEveryTime):
    """Hashes by reading, and counts the files."""

    def __init__(self) -> None:
        self.count = 0

    def sha256(self, entries: Sequence[Entry]) -> list[str]:
        self.count += len(entries)
        return super().sha256(entries)


@pytest.fixture
def shop(tmp_path: Path, plain_git: None) -> Path:
    del plain_git
    path = tmp_path / "shop"
    for name in FILES:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(f"FROM scratch\n# {name}\n")
    git(path, "init", "-q")
    commit(path)
    settle(path)
    return path


def git(path: Path, *args: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", *identity, *args], cwd=path, check=True, capture_output=True)


def commit(path: Path) -> None:
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "work")


def settle(path: Path) -> None:
    """Wait until another write to any file must leave another time."""
    newest = max(file.lstat().st_ctime_ns for file in path.rglob("*"))
    while is_fresh(newest, time.time_ns()):
        os.sched_yield()


def definitions(shop: Path) -> dict[str, BuildDefinition]:
    web = BuildDefinition(
        stack="shop",
        service="web",
        context=str(shop / "web"),
        dockerfile=shop / "web/Dockerfile",
        args=(("LEVEL", "1"), ("SHA", "0")),
        volatile_args=frozenset({"SHA"}),
        inputs=(shop / "shared",),
    )
    base = replace(web, service="base", context=str(shop / "base"), dockerfile=shop / "base/Dockerfile", inputs=())
    app = replace(base, service="app", context=str(shop / "app"), dockerfile=shop / "app/Dockerfile")
    return {"web": web, "base": base, "app": replace(app, contexts=(("base", "target:base"),), bases=("base",))}


def glance(shop: Path, found: dict[str, BuildDefinition] | None = None) -> tuple[dict[str, Keyed], int]:
    """Return the services as one run sees them, and how many files it read."""
    hashes = Counting()
    stack = Stack(name="shop", path=shop, compose=("compose.yaml",), host="local")
    with Memory(shop.parent / "keys") as memory:
        sources = Sources(stack, found or definitions(shop), hashes, memory)
        sources.look_at(SERVICES)
        return {name: sources.glanced(name) for name in SERVICES}, hashes.count


def read(shop: Path, found: dict[str, BuildDefinition] | None = None) -> dict[str, tuple[str, tuple[str, ...]]]:
    stack = Stack(name="shop", path=shop, compose=("compose.yaml",), host="local")
    sources = Sources(stack, found or definitions(shop), ReadEveryTime())
    return {name: (sources.keyed(name).key, sources.keyed(name).uncommitted) for name in SERVICES}


def said(glanced: dict[str, Keyed]) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {name: (keyed.key, keyed.uncommitted) for name, keyed in glanced.items()}


@pytest.fixture(params=["one by one", "side by side"])
def looks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "side by side":
        monkeypatch.setattr(halves, "_processors", lambda: 3)
        monkeypatch.setattr(inputs, "MANY_SERVICES", 1)
    return str(request.param)


@pytest.mark.usefixtures("looks")
def test_a_second_look_reads_no_file(shop: Path) -> None:
    first, count = glance(shop)
    assert count > 0
    second, again = glance(shop)
    assert again == 0
    assert said(first) == said(second) == read(shop)


def touch_of(name: str, text: str = "other\n") -> Callable[[Path], object]:
    return lambda shop: (shop / name).write_text(text)


CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "a file": (touch_of("web/app.py"), {"web"}),
    "a file of the same size": (touch_of("web/app.py", "FROM scratch\n# web/app.PY\n"), {"web"}),
    "a file of a base": (touch_of("base/lib.py"), {"base", "app"}),
    "an additional input": (touch_of("shared/code.py"), {"web"}),
    "a new file": (touch_of("web/new.py"), {"web"}),
    "a file that is gone": (lambda shop: (shop / "web/app.py").unlink(), {"web"}),
    "an executable bit": (lambda shop: (shop / "web/app.py").chmod(0o755), {"web"}),
    "a file that takes another's place": (lambda shop: (shop / "app/Dockerfile").replace(shop / "web/app.py"), {"web"}),
    "an ignore file": (touch_of("web/.dockerignore", "app.py\n"), {"web"}),
    "an ignore file that ignores itself": (touch_of("web/.dockerignore", "*\n"), {"web"}),
}


@pytest.mark.usefixtures("looks")
@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_after_a_change_a_look_says_what_reading_says(shop: Path, name: str, committed: bool) -> None:
    before, _ = glance(shop)
    change, changed = CHANGES[name]
    change(shop)
    (shop / "app/Dockerfile").write_text("FROM scratch\n# app/Dockerfile\n")  # one change took it away
    if committed:
        commit(shop)
    for _ in range(2):
        found, _ = glance(shop)
        assert said(found) == read(shop)
        assert {n for n in SERVICES if found[n].key != before[n].key} == changed
        settle(shop)


def test_only_the_changed_service_is_read_again(shop: Path) -> None:
    glance(shop)
    (shop / "web/app.py").write_text("other\n")
    _, count = glance(shop)
    assert 0 < count <= len([name for name in FILES if name.startswith(("web/", "shared/"))]) + 1


def test_a_file_written_just_now_is_not_remembered(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "web/app.py").write_text("other\n")
    commit(shop)
    now = (shop / "web/app.py").stat().st_ctime_ns
    monkeypatch.setattr("tasks.core.inputs.time.time_ns", lambda: now)
    glance(shop)
    monkeypatch.undo()
    settle(shop)
    _, count = glance(shop)
    assert count > 0


@pytest.mark.parametrize(
    ("change", "reads"),
    [
        ({"args": (("LEVEL", "2"), ("SHA", "0"))}, True),
        ({"args": (("LEVEL", "1"), ("SHA", "1"))}, False),
        ({"target": "other"}, True),
        ({"inputs": ()}, True),
    ],
)
def test_another_definition_is_read_again_unless_only_a_volatile_arg_differs(
    shop: Path, change: dict[str, object], reads: bool
) -> None:
    glance(shop)
    found = definitions(shop)
    found["web"] = replace(found["web"], **change)
    glanced, count = glance(shop, found)
    assert said(glanced) == read(shop, found)
    assert bool(count) == reads


def test_a_base_by_another_name_is_read_again(shop: Path) -> None:
    glance(shop)
    found = definitions(shop)
    found["app"] = replace(found["app"], contexts=(("other", "target:base"),))
    glanced, _ = glance(shop, found)
    assert said(glanced) == read(shop, found)


def test_a_remembered_key_is_never_good_for_a_build(shop: Path) -> None:
    glance(shop)
    glanced, _ = glance(shop)
    stack = Stack(name="shop", path=shop, compose=("compose.yaml",), host="local")
    with pytest.raises(ValueError, match=r"shop\.web"):
        Sources(stack, definitions(shop), ReadEveryTime()).changed_meanwhile(glanced["web"])


def test_a_submodule_that_is_not_checked_out_is_refused_where_it_is_read(shop: Path) -> None:
    inner = shop.parent / "inner"
    inner.mkdir()
    (inner / "lib").mkdir()
    (inner / "lib" / "code.py").write_text("1")
    git(inner, "init", "-q")
    commit(inner)
    git(shop, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "web/inner")
    commit(shop)
    clone = shop.parent / "clone"
    git(shop, "clone", "-q", str(shop), str(clone))
    stack = Stack(name="shop", path=clone, compose=("compose.yaml",), host="local")
    found = definitions(clone)
    found["base"] = replace(found["base"], inputs=(clone / "web/inner/lib",))
    for service in ("web", "base", "app"):
        for look in ("keyed", "glanced"):
            with pytest.raises(OnevmError, match="built from submodule web/inner, which is not checked out") as caught:
                getattr(Sources(stack, found, ReadEveryTime(), Memory(shop.parent / "k")), look)(service)
            assert f"git -C {clone} submodule update --init web/inner" in caught.value.next_step
    (clone / "web/.dockerignore").write_text("inner\n")
    assert Sources(stack, found, ReadEveryTime()).keyed("web").key
    git(clone, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    assert Sources(stack, found, ReadEveryTime()).keyed("app").key


def test_what_is_written_after_the_checkout_was_asked_is_uncommitted(shop: Path) -> None:
    stack = Stack(name="shop", path=shop, compose=("compose.yaml",), host="local")
    sources = Sources(stack, definitions(shop), ReadEveryTime())
    assert sources.checkout.uncommitted == frozenset()
    (shop / "web/app.py").write_text("written in between\n")
    assert sources.keyed("base").uncommitted == ()
    assert sources.keyed("web").uncommitted == ("web/app.py",)


def test_a_checkout_that_nobody_wrote_to_is_asked_once(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(name="shop", path=shop, compose=("compose.yaml",), host="local")
    sources = Sources(stack, definitions(shop), ReadEveryTime())
    asked: list[tuple[str, ...]] = []
    ask = Checkout.uncommitted_in

    def counted(self: Checkout, paths: Iterable[str]) -> frozenset[Path]:
        asked.append(tuple(paths))
        return ask(self, paths)

    monkeypatch.setattr(Checkout, "uncommitted_in", counted)
    assert {name: sources.keyed(name).uncommitted for name in SERVICES} == dict.fromkeys(SERVICES, ())
    assert asked == [()]
