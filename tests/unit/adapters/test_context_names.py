"""When a build context keeps the name under which BuildKit remembers it."""

import os
from pathlib import Path

import pytest

from tasks.adapters.context_names import linked
from tasks.core.build import BuildDefinition
from tasks.core.contents import ReadEveryTime
from tasks.core.inputs import read_inputs


class Checkout:
    """A context with one file, and the name it is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = folder / "context"
        self.memory = folder / "memory"
        self.context.mkdir(parents=True)
        (self.context / "Dockerfile").write_text("FROM scratch\n")
        self.runs = 0

    def put(self, text: str, mtime: int, name: str = "file") -> None:
        (self.context / name).write_text(text)
        os.utime(self.context / name, (mtime, mtime))

    def name(self) -> str:
        definition = BuildDefinition(
            stack="s", service="a", context=str(self.context), dockerfile=self.context / "Dockerfile"
        )
        self.runs += 1
        links = self.folder / str(self.runs)
        links.mkdir()
        found = linked(links, self.memory, [read_inputs(definition, ReadEveryTime())])
        (link,) = found.values()
        assert list(found) == [str(self.context)]
        assert Path(link).resolve() == self.context
        assert Path(link).parent == links
        return Path(link).name


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    found = Checkout(tmp_path / "one")
    found.put("rye", 1000)
    return found


def test_the_name_stays_while_changes_can_be_seen(checkout: Checkout) -> None:
    first = checkout.name()
    checkout.put("oat", 1001)
    assert checkout.name() == first
    checkout.put("wheat", 1001)
    assert checkout.name() == first
    checkout.put("new", 1000, "other")
    assert checkout.name() == first


def test_the_name_changes_with_a_change_that_cannot_be_seen(checkout: Checkout) -> None:
    first = checkout.name()
    checkout.put("oat", 1000)
    second = checkout.name()
    assert second != first
    assert checkout.name() == second


def test_bytes_of_long_ago_count(checkout: Checkout) -> None:
    first = checkout.name()
    checkout.put("oat", 1001)
    assert checkout.name() == first
    checkout.put("nut", 1000)
    assert checkout.name() != first


def test_two_checkouts_never_share_a_name(checkout: Checkout, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "two")
    other.put("rye", 1000)
    assert other.name() != checkout.name()


@pytest.mark.parametrize("damage", [b"", b"garbage", b"{}", b"[0, 1]", b"\xff"])
def test_a_damaged_memory_costs_a_new_name(checkout: Checkout, damage: bytes) -> None:
    first = checkout.name()
    (file,) = checkout.memory.iterdir()
    file.write_bytes(damage)
    second = checkout.name()
    assert second != first
    assert checkout.name() == second


def test_what_cannot_be_remembered_is_not_used_twice(checkout: Checkout) -> None:
    checkout.memory.write_text("a file where the folder should be")
    assert checkout.name() != checkout.name()
