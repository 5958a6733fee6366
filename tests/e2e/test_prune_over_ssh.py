"""`doit prune` with a stack on two VMs: exactly what neither needs goes, and every kept release can still be had."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.remote import RemoteShop
from tests.e2e.vm import Vm
from tests.integration.shop import lab_registry

pytestmark = pytest.mark.vm


@pytest.fixture
def shop(vm: Vm, other_vm: Vm, tmp_path: Path) -> Iterator[RemoteShop]:
    """Give a stack whose host is one VM, and which can also be deployed to another, with containerd's image store."""
    shop = RemoteShop(tmp_path, "a", lab_registry(), vm=vm)
    try:
        shop.create()
        both = tmp_path / "ssh_config"
        both.write_text(vm.ssh_config.read_text() + other_vm.ssh_config.read_text())
        shop.env["ONEVM_SSH_CONFIG"] = str(both)
        shop.configure(more=f'[hosts.test]\naddress = "{other_vm.destination}"\nroot = "{other_vm.root}"\n')
        yield shop
    finally:
        empty(shop, other_vm)
        shop.close()


def empty(shop: RemoteShop, vm: Vm) -> None:
    """Leave nothing of the stack on a VM: no container, no image, no record."""
    if ids := vm.docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={shop.name}").split():
        vm.docker("rm", "--force", "--volumes", *ids)
    if names := images(shop, vm):
        vm.docker("image", "rm", "--force", *(f"{shop.repository('a')}@{digest}" for digest in names))
    shutil.rmtree(vm.here(f"{vm.root}/{shop.name}"), ignore_errors=True)
    assert not images(shop, vm)


def images(shop: RemoteShop, vm: Vm) -> set[str]:
    """Return the digests of service a that a VM has."""
    form = ("image", "ls", "--digests", "--format", "{{.Digest}}", shop.repository("a"))
    return set(vm.docker(*form).split()) - {"<none>"}


def test_exactly_what_no_host_needs_goes_and_each_kept_release_deploys_to_an_empty_vm(
    shop: RemoteShop, vm: Vm, other_vm: Vm
) -> None:
    commits = {}
    for name, args in (
        ("test", ("deploy", "host=test")),
        ("before", ("deploy",)),
        ("now", ("deploy",)),
        ("pushed", ("push",)),
        ("latest", ("push",)),
    ):
        commits[name] = shop.change("a", name)
        shop.doit(*args).ok()
    by_tag = shop.tags("a")
    digests = {name: by_tag[sha] for name, sha in commits.items()}
    assert len(set(digests.values())) == 5
    # What nobody on this VM needs: an image that was pulled there once.
    shop.engine("pull", "--quiet", f"{shop.repository('a')}@{digests['pushed']}")
    other_vm.docker("pull", "--quiet", f"{shop.repository('a')}@{digests['pushed']}")

    before = shop.running()
    report = shop.doit("prune", "apply=1", "grace=0", "format=json").ok().json
    (stack,) = report["stacks"]
    deleted = {one["digest"] for each in stack["registry"] for one in each["digests"] if one["state"] == "deleted"}
    assert deleted == {digests["pushed"]}
    assert set(shop.tags("a").values()) == {digest for name, digest in digests.items() if name != "pushed"}
    assert images(shop, vm) == {digests["before"], digests["now"]}
    assert images(shop, other_vm) == {digests["test"]}
    assert {on["host"]: on["disk"]["after"]["free_bytes"] > 0 for on in stack["hosts"]} == {"prod": True, "test": True}
    assert shop.running() == before

    for name in ("test", "before", "now"):
        empty(shop, vm)
        shop.doit("deploy", f"sha={commits[name]}").ok()
        assert shop.version("a") == f"{name}\n"
