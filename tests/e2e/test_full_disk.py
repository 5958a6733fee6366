"""A VM whose disk gets full at the worst moment: when the old container has just been stopped."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.campaign.world import small_disk
from tests.e2e.conftest import require_vms
from tests.e2e.remote import RemoteShop, opened
from tests.e2e.vm import running_vm

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

FILLING = "/srv/filling"
# What is free until then: enough for a deploy, and less than a container may write to a disk that is in memory.
FREE_BYTES = 16 << 20
# Told to stop, it writes until there is no room any more.
GREEDY = ["sh", "-c", "trap 'cat /dev/zero > /filling/file; exit 0' TERM; httpd -f -p 8000 -h /www & wait"]
# It does not live without a little room.
NEEDY = ["sh", "-c", "head -c 1000000 /dev/zero > /filling/more || exit 1; httpd -f -p 8000 -h /www"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[RemoteShop]:
    """Give a deployed stack of which b leaves no byte free on the VM's disk when it is stopped."""
    require_vms()
    with running_vm(f"t{os.getpid()}d") as vm, small_disk(vm), opened(vm, tmp_path, "abe") as found:
        vm.here(FILLING).mkdir()
        vm.here(FILLING).chmod(0o777)
        with found.compose() as compose:
            compose["services"]["b"]["volumes"] = [f"{FILLING}:/filling"]
        found.dockerfile("b", command=GREEDY)
        found.commit("Write a lot")
        found.doit("deploy").ok()
        disk = os.statvfs(vm.here(FILLING))
        with (vm.here(FILLING) / "most").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, disk.f_bavail * disk.f_bsize - FREE_BYTES)
        yield found


def test_a_disk_that_is_full_once_a_container_was_stopped_does_not_keep_it_down(shop: RemoteShop) -> None:
    before, release = shop.running(), shop.current
    shop.dockerfile("b", command=NEEDY)
    shop.commit("Write a little")
    ran = shop.doit("deploy")
    after = shop.running()
    assert (shop.vm.here(FILLING) / "file").stat().st_size > 0
    assert ran.code == 1, ran
    assert "no space left on device" in ran.err.lower()
    assert f"release {release['id']} runs again" in ran.err
    assert (after["b"].image, after["b"].state) == (before["b"].image, "healthy")
    assert {name: after[name] for name in "ae"} == {name: before[name] for name in "ae"}
    assert shop.current == release
    assert [made["outcome"] for made in shop.releases()] == ["good", "failed"]
    for path in shop.vm.here(FILLING).iterdir():
        path.unlink()
    shop.doit("deploy").ok()
    assert shop.current["sha"] == shop.sha
    assert {c.state for c in shop.running().values()} == {"healthy"}
    assert list((shop.home / "releases").glob("*/*reserve")) == []
