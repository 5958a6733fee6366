"""Which repositories get workflow files, and what is cloned where; with real repositories."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tasks.core import compose, config
from tasks.core.errors import OnevmError
from tasks.core.forge import FORGES
from tasks.steps.project import Project
from tasks.steps.workflows import File, files, used

pytestmark = pytest.mark.usefixtures("plain_git")

REGISTRY = '[registry]\nurl = "git.example.com/team"\nusername = "ci"\npassword_env = "REGISTRY_TOKEN"\n'
PROD = '[hosts.prod]\naddress = "ssh://deploy@vm.example.com"\n'
WHO = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "protocol.file.allow=always")


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *WHO, *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@dataclass
class World:
    """Checkouts side by side in one folder."""

    folder: Path
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)

    def repository(self, name: str, origin: str = "", **contents: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True)
        git(path, "init", "-q", "-b", "main")
        for file, text in contents.items():
            (path / file.replace("__", ".")).write_text(text)
        git(path, "add", "-A")
        git(path, "commit", "-q", "--allow-empty", "-m", "work")
        git(path, "remote", "add", "origin", origin or f"https://git.example.com/team/{path.name}.git")
        return path

    def stack(self, path: Path, build: dict[str, Any] | None = None, secrets: dict[str, Any] | None = None) -> None:
        """Put a Compose project with one built service into a folder; what Compose makes of it is known."""
        path.mkdir(parents=True, exist_ok=True)
        (path / "compose.yaml").write_text("services: {web: {build: ., environment: {A: '${PASSPHRASE:?}'}}}\n")
        (path / "Dockerfile").write_text("FROM scratch\n")
        service = {"build": {"context": str(path), "dockerfile": "Dockerfile", **(build or {})}}
        self.definitions[str(path)] = {"services": {"web": service}, "secrets": secrets or {}}

    def files(self, own: Path, text: str, onevm: Path | None = None, forge: str = "github") -> list[File]:
        (own / "services.toml").write_text(REGISTRY + text)
        configuration = config.load(own / "services.toml", {"HOME": "/home/ann"})
        projects = {
            name: compose.parse(stack, self.definitions[str(stack.path)], frozenset({"web"}))
            for name, stack in configuration.stacks.items()
        }
        project = Project(configuration=configuration, compose=projects, cache=own)
        return files(project, [FORGES[forge]], onevm or self.folder / "onevm")

    def push(self, own: Path, text: str, onevm: Path | None = None) -> dict[str, dict[str, Any]]:
        """Return the document of `onevm-push.yml` by the folder of its repository."""
        return {
            str(file.repository.relative_to(self.folder)): YAML(typ="safe").load(file.text)
            for file in self.files(own, text, onevm)
            if file.path.endswith("onevm-push.yml")
        }


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    found.repository("onevm")
    return found


def clones(document: dict[str, Any], job: str = "push") -> dict[str, dict[str, Any]]:
    """Return the options of every clone by its folder."""
    steps = [step for step in document["jobs"][job]["steps"] if step["name"].startswith("Clone ")]
    return {step["name"].removeprefix("Clone "): step.get("with") or step["env"] for step in steps}


def doit(document: dict[str, Any], job: str = "push") -> dict[str, Any]:
    (step,) = [step for step in document["jobs"][job]["steps"] if "doit " in step.get("run", "")]
    return dict(step)


def test_a_repository_with_its_own_services_toml_gets_three_files_for_each_forge(world: World) -> None:
    notes = world.repository("notes")
    world.stack(notes)
    for forge in FORGES:
        found = world.files(notes, PROD + '[stacks.notes]\npath = "."\n', forge=forge)
        assert {(file.repository, file.path) for file in found} == {
            (notes, f".{forge}/workflows/onevm-{name}.yml") for name in ("push", "deploy", "rollback")
        }


def test_stacks_with_repositories_of_their_own_get_files_there_too(world: World) -> None:
    platform = world.repository("platform")
    for name in ("notes", "clock"):
        world.stack(world.repository(name))
    text = PROD + '[stacks.notes]\npath = "../notes"\n[stacks.clock]\npath = "../clock"\n'
    found = world.push(platform, text)
    assert list(found) == ["platform", "notes", "clock"]
    assert list(clones(found["platform"])) == ["platform", "clock", "notes", "onevm"]
    assert list(clones(found["notes"])) == ["notes", "platform", "onevm"]
    assert doit(found["notes"])["env"]["ONEVM_STACKS"] == "notes"
    assert "ONEVM_STACKS" not in doit(found["platform"])["env"]
    assert doit(found["clock"])["env"]["ONEVM_CONFIG"] == "${{ github.workspace }}/platform/services.toml"
    assert "newest" in doit(found["notes"], "deploy")["run"], "its commit names the release"
    assert doit(found["platform"], "deploy")["run"] == "doit deploy"


def test_onevm_is_pinned_to_the_commit_that_wrote_the_files(world: World) -> None:
    notes = world.repository("notes")
    world.stack(notes)
    found = world.push(notes, '[stacks.notes]\npath = "."\n')
    assert clones(found["notes"])["onevm"]["ref"] == git(world.folder / "onevm", "rev-parse", "HEAD")


def test_services_toml_in_onevm_s_own_clone_needs_no_other_one(world: World) -> None:
    own = world.folder / "onevm"
    world.stack(own / "stacks" / "notes")
    found = world.push(own, '[stacks.notes]\npath = "stacks/notes"\n')
    assert list(clones(found["onevm"])) == ["onevm"]
    assert doit(found["onevm"])["working-directory"] == "onevm"
    assert doit(found["onevm"])["env"]["ONEVM_CONFIG"].endswith("/onevm/services.toml")


def test_services_toml_in_onevm_s_clone_is_the_newest_one_for_other_repositories_too(world: World) -> None:
    notes = world.repository("notes")
    world.stack(notes)
    found = world.push(world.folder / "onevm", '[stacks.notes]\npath = "../notes"\n')
    assert list(found) == ["onevm", "notes"]
    assert list(clones(found["notes"])) == ["notes", "onevm"]
    assert "ref" not in clones(found["notes"])["onevm"]


def test_a_link_on_the_way_to_services_toml_does_not_matter(world: World) -> None:
    notes = world.repository("real/notes")
    world.stack(notes)
    (world.folder / "link").symlink_to("real")
    assert list(world.push(world.folder / "link" / "notes", '[stacks.notes]\npath = "."\n')) == ["real/notes"]


def test_what_a_build_reads_elsewhere_is_cloned_too(world: World) -> None:
    notes, shared, more = (world.repository(name) for name in ("notes", "shared", "more"))
    (more / "lib").mkdir()
    world.stack(notes, {"additional_contexts": {"shared": str(shared)}})
    text = '[stacks.notes]\npath = "."\n[stacks.notes.services.web]\ninputs = ["../more/lib"]\n'
    found = world.push(notes, text)
    assert list(found) == ["notes"]
    assert list(clones(found["notes"])) == ["notes", "more", "shared", "onevm"]


def test_a_repository_of_another_forge_is_cloned_from_there_without_a_token(world: World) -> None:
    notes = world.repository("notes")
    world.stack(notes)
    git(world.folder / "onevm", "remote", "set-url", "origin", "git@code.example.org:tools/onevm.git")
    found = world.push(notes, '[stacks.notes]\npath = "."\n')
    onevm = clones(found["notes"])["onevm"]
    assert onevm["ONEVM_URL"] == "https://code.example.org/tools/onevm.git"
    assert onevm["ONEVM_COMMIT"] == git(world.folder / "onevm", "rev-parse", "HEAD")


def test_no_file_holds_the_login_of_a_remote(world: World) -> None:
    notes = world.repository("notes", "https://ann:hunter2@git.example.com/team/notes.git")
    world.stack(notes)
    git(world.folder / "onevm", "remote", "set-url", "origin", "https://ann:hunter2@code.example.org/tools/onevm.git")
    assert not [file for file in world.files(notes, '[stacks.notes]\npath = "."\n') if "hunter2" in file.text]


def test_the_folder_s_name_on_this_machine_does_not_matter(world: World) -> None:
    here = world.repository("anns-clone", "https://git.example.com/team/notes.git")
    world.stack(here)
    found = world.push(here, '[stacks.notes]\npath = "."\n')
    assert list(clones(found["anns-clone"])) == ["notes", "onevm"]


def test_a_stack_in_a_submodule_comes_with_the_repository_around_it(world: World) -> None:
    platform, notes = world.repository("platform"), world.repository("notes")
    world.stack(notes)
    git(notes, "add", "-A")
    git(notes, "commit", "-q", "-m", "a stack")
    git(platform, "submodule", "--quiet", "add", str(notes), "stacks/notes")
    git(platform, "commit", "-q", "-m", "a submodule")
    world.stack(platform / "stacks" / "notes")
    found = world.push(platform, '[stacks.notes]\npath = "stacks/notes"\n')
    assert list(found) == ["platform"]
    assert list(clones(found["platform"])) == ["platform", "onevm"]
    assert clones(found["platform"])["platform"]["submodules"] == "recursive"
    assert doit(found["platform"], "deploy")["run"] == "doit deploy", "the stack's commit is not the repository's"


def test_files_in_lfs_come_along(world: World) -> None:
    notes = world.repository("notes", __gitattributes="*.png filter=lfs diff=lfs merge=lfs -text\n")
    world.stack(notes)
    found = world.push(notes, '[stacks.notes]\npath = "."\n')
    assert clones(found["notes"])["notes"]["lfs"] is True
    assert "lfs" not in clones(found["notes"])["onevm"]


def test_build_secrets_and_demanded_variables_come_from_the_compose_files(world: World) -> None:
    notes = world.repository("notes")
    world.stack(notes, {"secrets": [{"source": "npm"}]}, {"npm": {"environment": "NPM_TOKEN"}})
    found = world.push(notes, PROD + '[stacks.notes]\npath = "."\n')
    env = doit(found["notes"])["env"]
    assert env["NPM_TOKEN"] == "${{ secrets.NPM_TOKEN }}"
    assert env["PASSPHRASE"] == "${{ secrets.PASSPHRASE || vars.PASSPHRASE }}"
    assert env["REGISTRY_TOKEN"] == "${{ secrets.REGISTRY_TOKEN }}"


@pytest.mark.parametrize(("text", "expected"), [(PROD, True), ("", False)])
def test_only_hosts_over_ssh_need_a_key(world: World, text: str, expected: bool) -> None:
    notes = world.repository("notes")
    world.stack(notes)
    found = world.push(notes, text + '[stacks.notes]\npath = "."\n')
    assert ("ONEVM_SSH_KEY" in str(found["notes"]["jobs"]["deploy"])) is expected


def outside(world: World) -> Path:
    (world.folder / "plain").mkdir()
    world.stack(world.folder / "plain")
    return world.folder / "plain"


def without_origin(world: World) -> Path:
    notes = world.repository("notes")
    world.stack(notes)
    git(notes, "remote", "remove", "origin")
    return notes


@pytest.mark.parametrize(
    ("make", "message"),
    [(outside, "is not in a git repository"), (without_origin, "has no remote `origin` on a forge")],
)
def test_what_ci_cannot_clone_is_said(world: World, make: Callable[[World], Path], message: str) -> None:
    with pytest.raises(OnevmError, match=message) as caught:
        world.push(make(world), '[stacks.notes]\npath = "."\n')
    assert caught.value.next_step


def test_only_forges_that_are_used_are_looked_at(world: World) -> None:
    notes = world.repository("notes")
    world.stack(notes)
    text = '[stacks.notes]\npath = "."\n'
    assert used(world.files(notes, text)) == []
    (notes / ".github" / "workflows").mkdir(parents=True)
    (notes / ".github" / "workflows" / "onevm-push.yml").write_text("name: mine\n")
    assert used(world.files(notes, text)) == [], "somebody's own file of that name is none of Onevm's"
    (first, second, _) = world.files(notes, text)
    second.write()
    conditions = [file.condition for file in used(world.files(notes, text))]
    assert (first.condition, conditions) == ("foreign", ["foreign", "up to date", "missing"])
