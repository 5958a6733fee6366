"""Secrets on their way through builds, pushes, deploys and failures to a VM: each where it is needed, nowhere else."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.e2e.needle import Needle, files_with
from tests.e2e.remote import RemoteShop, opened, registry_door
from tests.e2e.sampler import Sampled, sampling
from tests.e2e.vm import Vm
from tests.integration.registries import USER, error, forward, running_front, running_registry
from tests.integration.shop import Ran

pytestmark = pytest.mark.vm

READS = "RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /www/length"
TELLS = "RUN --mount=type=secret,id=token cat /run/secrets/token && false"
# What the hooks of a stack get may end up in files.
HOOKS = ", ".join(f"{name} = 'env >../{name}'" for name in ("before_deploy", "after_deploy", "on_failure"))
PASSWORD, BUILD, OF_THE_VM, OF_THE_CHECKOUT = NAMES = "password", "build secret", ".env there", ".env here"
# The file that secrets for containers are in, and what of the engine's own gives containers their environment: folders,
# and a file in /tmp for as long as it takes to start a health check.
KEPT = "project/.env"
ENGINES = ("/var/lib/docker/", "/run/docker/", "/tmp/runc-process")  # noqa: S108 - on the VM


@dataclass
class Story:
    """What a stack with four secrets went through."""

    shop: RemoteShop
    data: Path
    registry: str
    needles: dict[str, Needle]
    since: float = field(default_factory=time.time)
    ran: dict[str, Ran] = field(default_factory=dict)
    sampled: Sampled = field(default_factory=lambda: Sampled(0))
    container: list[str] = field(default_factory=list)


def secretive(shop: RemoteShop, needles: dict[str, Needle]) -> None:
    """Let service a need a secret when it is built, and b one when it runs."""
    shop.env |= {"REGISTRY_TOKEN": needles[PASSWORD].text, "TINY_TOKEN": needles[BUILD].text}
    shop.env["HOME"] = str(shop.folder / "home")
    with shop.compose() as compose:
        compose["secrets"] = {"token": {"environment": "TINY_TOKEN"}}
        compose["services"]["a"]["build"]["secrets"] = ["token"]
        compose["services"]["b"]["environment"] = {"GREETING": "${GREETING:?is in .env}"}
    shop.dockerfile("a", READS)
    shop.write(".gitignore", ".env\n")
    shop.commit("Know secrets")
    shop.write(".env", f"GREETING={needles[OF_THE_CHECKOUT].text}\n")
    shop.vm.run(f"mkdir -p {shop.place}/project")
    own = shop.home / KEPT
    own.write_text(f"GREETING={needles[OF_THE_VM].text}\n")
    own.chmod(0o600)
    os.chown(own, own.parent.stat().st_uid, -1)


def guarded(shop: RemoteShop, registry: str, name: str = "services.toml") -> str:
    """Write services.toml for a registry that wants a password."""
    file = shop.configure(stack=f"hooks = {{ {HOOKS} }}", name=name)
    text = file.read_text().replace(shop.registry, registry)
    login = f'username = "{USER}"\npassword_env = "REGISTRY_TOKEN"\n'
    file.write_text(text.replace("[hosts.prod]", f"{login}[hosts.prod]"))
    return f"config={file}"


def go_through(story: Story) -> None:
    """Do what goes well, then fail in every way, and go back."""
    shop, ran = story.shop, story.ran
    for verb in ("build", "push", "deploy"):
        ran[verb] = shop.doit(verb)
    story.container = [shop.inside("b", "sh", "-c", "echo $GREETING"), shop.inside("a", "cat", "/www/length")]
    shop.dockerfile("a", TELLS)
    shop.commit("Tell the secret")
    ran["failing build"] = shop.doit("deploy")
    shop.dockerfile("a", READS)
    shop.change("b")
    with running_front(shop.registry) as front:
        front.always = lambda handler: (error(403, "DENIED") if handler.command == "POST" else forward)(handler)
        ran["refused push"] = shop.doit("push", guarded(shop, front.host, "refused.toml"))
    with shop.compose() as compose:
        compose["services"]["b"]["healthcheck"] |= {"test": ["CMD", "false"], "retries": 1}
    shop.commit("Never be healthy")
    ran["sick deploy"] = shop.doit("deploy")
    shop.git("revert", "--no-edit", "HEAD")
    ran["second deploy"] = shop.doit("deploy")
    ran["rollback"] = shop.doit("rollback")
    shop.env["REGISTRY_TOKEN"] = f"{story.needles[PASSWORD].text} of last year"
    shop.change("b")
    ran["refused login"] = shop.doit("deploy")


@pytest.fixture(scope="module")
def story(vm: Vm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("secrets")
    needles = {name: Needle() for name in NAMES}
    (folder / "users").write_text(f"{USER}:{needles[PASSWORD].bcrypt()}\n")
    with (
        running_registry(folder / "registry", f"auth: {{htpasswd: {{realm: r, path: {folder}/users}}}}\n") as registry,
        registry_door(vm, registry) as door,
        opened(vm, folder, "ab", door.host) as shop,
    ):
        story = Story(shop, folder / "registry/data", registry, needles)
        secretive(shop, needles)
        guarded(shop, door.host)
        with sampling(vm.pid()) as story.sampled:
            go_through(story)
        yield story


def test_every_secret_was_needed_and_everything_failed_that_was_to_fail(story: Story) -> None:
    bad = {"failing build", "refused push", "sick deploy", "refused login"}
    for name, ran in story.ran.items():
        assert ran.code == (1 if name in bad else 0), f"{name}: {ran}"
    assert "***" in story.ran["failing build"].err
    assert "403" in story.ran["refused push"].err or "denied" in story.ran["refused push"].err
    assert "runs again" in story.ran["sick deploy"].err
    assert "refuses the login" in story.ran["refused login"].err
    assert requests.get(f"http://{story.registry}/v2/", timeout=10).status_code == requests.codes.unauthorized
    build = story.needles[BUILD].text
    assert story.container == [f"{story.needles[OF_THE_VM].text}\n", f"{len(build)}\n"]
    for hook in ("before_deploy", "after_deploy", "on_failure"):
        assert "ONEVM_STACK=" in (story.shop.home / hook).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_no_command_line_of_any_process_has_a_secret(story: Story, name: str) -> None:
    assert story.needles[name].in_lines(story.sampled.lines()) == []
    # They were looked at here and there.
    assert any("login --username" in line for _, line in story.sampled.here)
    assert any("compose" in line and " up " in line for _, line in story.sampled.there)


@pytest.mark.parametrize("name", NAMES)
def test_no_output_or_file_of_this_machine_has_a_secret(story: Story, name: str) -> None:
    # The clone with its caches and doit's database, what every command said, the user's home, temporary folders.
    shop, needle = story.shop, story.needles[name]
    assert files_with(needle, shop.folder) == ([shop.repo / ".env"] if name == OF_THE_CHECKOUT else [])
    assert (shop.folder / ".onevm").is_dir()
    for folder in (Path(tempfile.gettempdir()), Path("/dev/shm"), Path.home(), Path.home() / ".docker"):  # noqa: S108
        assert files_with(needle, folder, but={shop.folder, shop.vm.state}, since=story.since) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_image_has_a_secret(story: Story, name: str) -> None:
    # Manifests, configs with their histories, layers unpacked.
    assert len(list(story.data.glob("**/blobs/sha256/*/*/data"))) > len(story.shop.services)
    assert files_with(story.needles[name], story.data) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_file_of_the_vm_but_its_own_env_file_has_a_secret(story: Story, name: str) -> None:
    vm, needle = story.shop.vm, story.needles[name]
    # What is on its disk, then what is in its memory.
    found = [
        f"{inside}/{path.relative_to(folder)}"
        for folder, inside in ((vm.here("/"), ""), (Path(f"/proc/{vm.pid()}/root/run"), "/run"))
        for path in files_with(needle, folder)
    ]
    if name == OF_THE_VM:
        found = [path for path in found if not path.startswith(ENGINES)]
    assert found == ([f"{story.shop.place}/{KEPT}"] if name == OF_THE_VM else [])


@pytest.mark.parametrize("form", range(len(Needle().forms)))
def test_a_secret_that_leaks_is_found_in_every_form(tmp_path: Path, form: int) -> None:
    needle = Needle()
    (tmp_path / "file").write_bytes(b"before " + needle.forms[form] + b" after")
    assert files_with(needle, tmp_path) == [tmp_path / "file"]


def test_a_secret_on_a_command_line_of_the_vm_is_found(vm: Vm) -> None:
    needle = Needle()
    with sampling(vm.pid()) as sampled:
        vm.run(f"sh -c 'sleep 0.2' {needle.text}")
    assert needle.in_lines(line for _, line in sampled.there)
