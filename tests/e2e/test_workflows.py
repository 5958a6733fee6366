"""The workflow files that `doit ci` writes, run here step by step: shallow clones, a registry with a login, a VM."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.e2e.actions import Forge, doit, git
from tests.e2e.remote import Moment, RemoteShop, opened, registry_door
from tests.e2e.vm import Vm
from tests.integration.project_copy import project_copy, repository
from tests.integration.registries import PASSWORD, USER, running_registry
from tests.integration.shop import MANIFESTS

pytestmark = pytest.mark.vm

FORGE = "https://git.example.com/team"
SSH_OPTIONS = "Host the-vm\n  HostName {address}\n  HostKeyAlias {name}"


@dataclass
class Story:
    """What two commits went through, each step with the state of the VM afterwards."""

    forge: Forge
    shop: RemoteShop
    first: str
    second: str = ""
    results: dict[str, dict[str, str]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    moments: dict[str, Moment] = field(default_factory=dict)

    def note(self, name: str, results: dict[str, str]) -> None:
        self.results[name] = results
        self.said[name] = "\n".join(f"{step}\n{text}" for step, text in self.forge.said.items())
        self.moments[name] = Moment.of(self.shop)

    def recreated(self, before: str, after: str) -> set[str]:
        old, new = self.moments[before].containers, self.moments[after].containers
        return {name for name, container in new.items() if container != old.get(name)}

    def images(self, moment: str) -> dict[str, str]:
        return {name: container.image for name, container in self.moments[moment].containers.items()}

    def digests(self, service: str) -> dict[str, str]:
        """Return the registry's digests of a service by commit."""
        base = f"http://{self.shop.registry}/v2/{self.shop.name}/{self.shop.name}-{service}"
        found = {}
        for sha in (self.first, self.second):
            accept = {"Accept": MANIFESTS}
            answer = requests.head(f"{base}/manifests/{sha}", headers=accept, auth=(USER, PASSWORD), timeout=10)
            if answer.ok:
                found[sha] = answer.headers["Docker-Content-Digest"]
        return found


def secrets_of(vm: Vm) -> dict[str, str]:
    return {
        "REGISTRY_TOKEN": PASSWORD,
        "ONEVM_SSH_KEY": (vm.state / "key").read_text(),
        "ONEVM_SSH_KNOWN_HOSTS": (vm.state / "known_hosts").read_text(),
    }


def platform(folder: Path, shop: RemoteShop) -> Path:
    """Make the repository with services.toml, beside the stack's own."""
    own = folder / "platform"
    own.mkdir()
    (own / ".gitignore").write_text(".onevm/\n")
    (own / "services.toml").write_text(
        f'[registry]\nurl = "{shop.registry}/{shop.name}"\nusername = "{USER}"\npassword_env = "REGISTRY_TOKEN"\n'
        f'[hosts.prod]\naddress = "ssh://deploy@the-vm"\nroot = "{shop.vm.root}"\n'
        f'[stacks.{shop.name}]\npath = "../repo"\n'
        # Not on the runner of the other one.
        '[stacks.clock]\npath = "../clock"\n'
    )
    clock = folder / "clock"
    clock.mkdir()
    (clock / "compose.yaml").write_text("services: {clock: {image: clock:1}}\n")
    repository(clock, f"{FORGE}/clock.git")
    return repository(own, f"{FORGE}/platform.git")


@pytest.fixture(scope="module")
def story(vm: Vm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("workflows")
    with ExitStack() as closing:
        more = f"auth: {{htpasswd: {{realm: fixture, path: {folder}/registry/htpasswd}}}}\n"
        registry = closing.enter_context(running_registry(folder / "registry", more))
        door = closing.enter_context(registry_door(vm, registry))
        shop = closing.enter_context(opened(vm, folder, "abe", door.host))
        shop.git("remote", "add", "origin", f"{FORGE}/{shop.name}.git")
        onevm = project_copy(shop.folder / "onevm", f"{FORGE}/onevm.git")
        own = platform(shop.folder, shop)
        doit(onevm, "ci", f"config={own / 'services.toml'}")
        shop.commit("Let the forge build and deploy")

        forge = Forge(shop.folder / "forge", secrets_of(vm))
        forge.folder.mkdir()
        forge.variables["ONEVM_SSH_OPTIONS"] = SSH_OPTIONS.format(address=vm.address, name=vm.name)
        for name, checkout in (("onevm", onevm), ("platform", own), (shop.name, shop.repo)):
            forge.receive(f"team/{name}", checkout)
        yield played(Story(forge, shop, shop.sha))


def played(story: Story) -> Story:
    """Push, deploy, change one service with the gate open, roll back, and come late with the first commit."""
    shop, forge = story.shop, story.forge
    files = shop.repo / ".gitea" / "workflows"
    team = f"team/{shop.name}"
    story.note("push", forge.run(team, files / "onevm-push.yml", "push", story.first))
    story.note("deploy", forge.run(team, files / "onevm-deploy.yml", "workflow_dispatch", story.first))
    story.second = shop.change("b", "b 2")
    forge.receive(team, shop.repo)
    forge.variables["ONEVM_DEPLOY"] = "auto"
    story.note("change", forge.run(team, files / "onevm-push.yml", "push", story.second))
    back = {"sha": story.first[:8]}
    github = shop.repo / ".github" / "workflows" / "onevm-rollback.yml"
    story.note("rollback", forge.run(team, github, "workflow_dispatch", story.second, inputs=back))
    story.note("late", forge.run(team, files / "onevm-push.yml", "push", story.first))
    return story


def test_a_push_builds_every_service_and_deploys_nothing_while_the_gate_is_shut(story: Story) -> None:
    assert story.results["push"] == {"push": "success", "deploy": "skipped"}, story.said["push"]
    assert story.moments["push"].containers == {}
    assert story.first in story.digests("a")
    assert story.first in story.digests("b")


def test_a_deploy_that_somebody_starts_brings_the_pushed_commit_to_the_vm(story: Story) -> None:
    assert story.results["deploy"] == {"deploy": "success"}, story.said["deploy"]
    states = {name: container.state for name, container in story.moments["deploy"].containers.items()}
    assert states == dict.fromkeys("abe", "healthy")
    assert story.digests("a")[story.first] in story.images("deploy")["a"]
    assert "build" not in story.said["deploy"].partition("/Deploy\n")[2]


def test_with_the_gate_open_a_push_is_deployed_and_only_what_changed_is_replaced(story: Story) -> None:
    assert story.results["change"] == {"push": "success", "deploy": "success"}, story.said["change"]
    assert story.recreated("deploy", "change") == {"b"}
    assert len(set(story.digests("a").values())) == 1, "unchanged: the same digest under both commits"
    assert len(set(story.digests("b").values())) == 2


def test_a_rollback_with_a_commit_goes_back_and_touches_nothing_else(story: Story) -> None:
    assert story.results["rollback"] == {"rollback": "success"}, story.said["rollback"]
    assert story.images("rollback") == story.images("deploy")
    assert story.recreated("change", "rollback") == {"b"}
    assert story.shop.current["restores"] == release_of_first(story)


def release_of_first(story: Story) -> str:
    found = [r["id"] for r in story.shop.releases() if r["sha"] == story.first and r["kind"] == "deploy"]
    assert found
    return str(found[-1])


def test_a_run_that_comes_late_leaves_the_vm_as_it_is(story: Story) -> None:
    assert story.results["late"] == {"push": "success", "deploy": "success"}, story.said["late"]
    assert f"{story.second} is newer" in story.said["late"]
    assert story.moments["late"].containers == story.moments["rollback"].containers
    assert story.moments["late"].files == story.moments["rollback"].files


def test_clones_are_fresh_and_shallow(story: Story) -> None:
    clones = [workspace / "repo" for workspace in story.forge.workspaces]
    made = [clone for clone in clones if clone.exists()]
    assert len(made) == 7, "one for every job that was run"
    assert {git(clone, "rev-list", "--count", "HEAD") for clone in made} == {"1"}
    assert {git(clone, "status", "--porcelain") for clone in made} == {""}


def test_nothing_of_the_secrets_stays_on_the_runner(story: Story) -> None:
    key = story.forge.secrets["ONEVM_SSH_KEY"].splitlines()[1]
    for secret in (key, PASSWORD):
        assert not [name for name, said in story.said.items() if secret in said]
        kept = [
            path for path in story.forge.folder.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
        ]
        assert kept == []


def test_the_files_are_up_to_date_in_a_clone_of_the_forge(story: Story) -> None:
    own = story.shop.folder / "platform" / "services.toml"
    said = doit(story.shop.folder / "onevm", "ci:check", f"config={own}")
    assert "outdated" not in said
