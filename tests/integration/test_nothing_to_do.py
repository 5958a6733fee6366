"""A deploy that finds nothing to do: it need not ask Compose again, and still sees whatever has moved since."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import SERVE, Container, Ran, Shop, docker

pytestmark = pytest.mark.engine

Change = Callable[[Shop], None]


@pytest.fixture(scope="module")
def standing(make_shared_shop: MakeShop) -> Shop:
    """Give a shop whose services have values and files that are on the host only."""
    shop = make_shared_shop("abe")
    with shop.compose() as compose:
        a, b = compose["services"]["a"], compose["services"]["b"]
        a["environment"] = {"GREETING": "${GREETING:-none}"}
        b["env_file"] = ["own/b.env", {"path": "own/more.env", "required": False}]
        b["secrets"] = ["word"]
        compose["secrets"] = {"word": {"file": "./own/word.txt"}}
    shop.commit("Take values from the host")
    host = shop.home / "project" / "own"
    host.mkdir(parents=True)
    (host / "b.env").write_text("COLOUR=cerulean\n")
    (host / "word.txt").write_text("sesame\n")
    return shop


@pytest.fixture
def known(standing: Shop) -> Shop:
    """Give it deployed and found to be as it should be, whatever an earlier test left."""
    for _ in range(3):
        if not asked(standing.doit("deploy").ok()):
            return standing
    raise AssertionError("Compose is asked every time")


def asked(ran: Ran) -> list[tuple[str, ...]]:
    """Return how often Compose was asked what it makes of the files."""
    return [call for call in ran.calls if call[:1] == ("compose",) and "config" in call]


def in_project(name: str, text: str) -> Change:
    def change(shop: Shop) -> None:
        (shop.home / "project" / name).write_text(text)

    change.__name__ = name
    return change


def replaced(shop: Shop, before: dict[str, Container]) -> set[str]:
    after = shop.running()
    assert {c.state for c in after.values()} == {"healthy"}
    return {name for name in before | after if before.get(name) != after.get(name)}


def test_compose_is_asked_once_more_after_a_deploy_and_then_no_more(known: Shop) -> None:
    known.write("a/version", f"after {known.sha}\n")
    known.commit()
    known.doit("deploy").ok()
    before = known.running()
    assert [len(asked(known.doit("deploy").ok())) for _ in range(3)] == [1, 0, 0]
    assert known.running() == before


@pytest.mark.parametrize(
    ("change", "service"),
    [
        (in_project(".env", "GREETING=hello\n"), "a"),
        (in_project("own/b.env", "COLOUR=vermilion\n"), "b"),
        (in_project("own/more.env", "SIZE=large\n"), "b"),
        (in_project("own/word.txt", "cardamom\n"), "b"),
    ],
    ids=[".env", "env_file", "an optional env_file", "a secret's file"],
)
def test_what_changes_on_the_host_is_seen(known: Shop, change: Change, service: str) -> None:
    before = known.running()
    change(known)
    known.doit("deploy").ok()
    assert replaced(known, before) == {service}


def test_a_file_that_goes_is_seen(known: Shop) -> None:
    (known.home / "project" / ".env").write_text("GREETING=hello\n")
    known.doit("deploy").ok()
    known.doit("deploy").ok()
    before = known.running()
    (known.home / "project" / ".env").unlink()
    known.doit("deploy").ok()
    assert replaced(known, before) == {"a"}


def test_a_variable_of_the_session_is_seen(known: Shop) -> None:
    before = known.running()
    known.doit("deploy", env={"GREETING": "good day"}).ok()
    assert replaced(known, before) == {"a"}


def stopped(shop: Shop) -> None:
    docker("stop", "--time=1", shop.running()["e"].id)


def removed(shop: Shop) -> None:
    docker("rm", "--force", shop.running()["e"].id)


@pytest.mark.parametrize("change", [stopped, removed])
def test_what_happens_to_a_container_is_seen(known: Shop, change: Change) -> None:
    before = known.running()
    change(known)
    known.doit("deploy").ok()
    assert replaced(known, before) == {"e"}


def test_a_container_that_was_disconnected_makes_it_ask_again(known: Shop) -> None:
    identity = known.running()["e"].id
    network = f"{known.name}_default"
    docker("network", "disconnect", network, identity)
    try:
        assert len(asked(known.doit("deploy").ok())) == 1
    finally:
        docker("network", "connect", "--alias=e", network, identity)


def test_a_copy_too_many_is_seen(known: Shop) -> None:
    before = known.running()
    project = known.home / "project"
    files = [f"--file={known.home / 'current' / name}" for name in ("docker-compose.yml", "onevm.yaml")]
    where = ["--project-name", known.name, "--project-directory", str(project), *files]
    docker("compose", *where, "up", "--detach", "--no-recreate", "--scale=e=2", "e")
    assert len(known.containers()) == len(before) + 1
    known.doit("deploy").ok()
    assert len(known.running()) == len(before)


@pytest.mark.parametrize("text", ['on_failure = "keep"', '[stacks.{name}.services.e]\nrollout = "recreate"'])
def test_what_services_toml_says_otherwise_makes_it_ask_again(known: Shop, text: str) -> None:
    known.configure(stack=text.format(name=known.name))
    assert len(asked(known.doit("deploy").ok())) == 1
    assert asked(known.doit("deploy").ok()) == []
    known.configure()


def test_a_damaged_memory_costs_a_question_and_nothing_else(known: Shop) -> None:
    before, memory = known.running(), known.folder / ".onevm" / "plans"
    memory.write_text(memory.read_text().replace("inputs", "outputs"))
    assert len(asked(known.doit("deploy").ok())) == 1
    memory.unlink()
    assert len(asked(known.doit("deploy").ok())) == 1
    assert asked(known.doit("deploy").ok()) == []
    assert known.running() == before


def test_nothing_of_the_hosts_values_is_remembered(known: Shop) -> None:
    (known.home / "project" / ".env").write_text("GREETING=rhubarb\n")
    known.doit("deploy").ok()
    known.doit("deploy").ok()
    assert asked(known.doit("deploy").ok()) == []
    kept = b"".join(file.read_bytes() for file in Path(known.folder / ".onevm").rglob("*") if file.is_file())
    assert b"plan" in kept
    for value in (b"rhubarb", b"cerulean", b"vermilion", b"sesame", b"cardamom"):
        assert value not in kept


@pytest.mark.parametrize(
    "more",
    [
        {"env_file": ["${WHERE:-own}/b.env"]},
        {"environment": {"HERE": "${PWD:-}"}},
        {"extends": {"service": "e"}, "command": SERVE},
    ],
    ids=["an env_file by a variable", "a variable of the session", "extends"],
)
def test_what_cannot_be_told_is_asked_every_time(make_shop: MakeShop, more: dict[str, object]) -> None:
    shop = make_shop("be")
    (shop.home / "project" / "own").mkdir(parents=True)
    (shop.home / "project" / "own" / "b.env").write_text("COLOUR=cerulean\n")
    with shop.compose() as compose:
        compose["services"]["b"] |= more
    shop.commit()
    shop.doit("deploy").ok()
    for _ in range(2):
        assert any("--format" in call and "json" in call for call in asked(shop.doit("deploy").ok()))
