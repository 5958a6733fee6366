"""What a deploy to a VM cost the VM is known, and finding out costs no session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.listening import NOTES, listening
from tests.e2e.remote import RemoteShop, opened
from tests.e2e.vm import Vm
from tests.integration.shop import Ran

pytestmark = pytest.mark.vm

BLOB = 400_000


@pytest.fixture
def listened(vm: Vm) -> Iterator[None]:
    with listening(vm):
        yield


@pytest.fixture
def shop(vm: Vm, tmp_path: Path) -> Iterator[RemoteShop]:
    with opened(vm, tmp_path, "ab") as found:
        yield found


def calls(shop: RemoteShop, *args: str) -> tuple[Ran, list[str]]:
    """Run a command; what it said, and what sessions were told to be."""
    notes = shop.vm.here(NOTES)
    for note in notes.iterdir():
        note.unlink()
    ran = shop.doit(*args).ok()
    return ran, [note.read_text() for note in notes.iterdir()]


@pytest.mark.usefixtures("listened")
def test_a_deploy_knows_what_it_cost_the_vm_at_no_session_of_its_own(shop: RemoteShop, vm: Vm) -> None:
    calls(shop, "deploy")
    (shop.repo / "b" / "blob").write_bytes(os.urandom(BLOB))
    shop.dockerfile("b", "COPY blob /www/blob")
    shop.commit("Sell blobs")
    before = vm.handshakes()
    _, asked = calls(shop, "deploy")
    assert vm.handshakes() - before == 1
    measured = shop.current["measured"]
    # Random bytes do not get smaller, and what else the image is made of was there already.
    assert BLOB <= measured["pulled_bytes"] < BLOB + 20_000
    assert BLOB <= measured["pushed_bytes"] < BLOB + 20_000
    host = measured["resources"]
    assert 0 < host["memory_before"] <= host["memory_peak"] < host["memory"]
    assert 0 < host["disk_free_lowest"] <= host["disk_free_before"]
    assert {"pull", "start", "healthy"} <= measured["services"]["b"].keys()
    assert set(measured["sizes"]) == {"a", "b"}
    # Only the process that holds the lock looks, in the session that it has anyway.
    assert [("flock" in call, "/proc/meminfo" in call) for call in asked if "GAUGE" in call] == [(True, True)]
    _, idle = calls(shop, "deploy")
    assert sum("GAUGE" in call for call in idle) == 1
    # Whatever starts the sessions there: that nothing was to be done is remembered.
    assert any("config --format json" in call for call in idle)
    _, again = calls(shop, "deploy")
    assert again
    assert not any("config --format json" in call for call in again)
    report = shop.doit("report", "format=json").ok().json
    assert [one["outcome"] for one in report["stacks"][0]["deploys"]] == ["unchanged", "unchanged", "good", "good"]


def test_a_report_of_a_host_that_does_not_answer_shows_what_the_clone_knows(shop: RemoteShop) -> None:
    shop.doit("deploy").ok()
    config = shop.folder / "services.toml"
    config.write_text(config.read_text().replace(shop.vm.name, f"no-{shop.vm.name}.invalid"))
    ran = shop.doit("report")
    assert ran.code == 0, ran
    assert "only this clone's log of events is shown" in ran.out
    assert "good" in ran.out
