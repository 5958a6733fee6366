"""What the workflow files say: who may do what, what never happens, and where every word comes from."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.core.forge import FORGES, Action
from tasks.core.workflow import workflows
from tasks.core.workflow_scope import demanded
from tests.unit.scopes import ALONE, COMMIT, SCOPES

ALL = [
    pytest.param(document, id=f"{kind}, {forge.name}, {name}")
    for kind, scope in SCOPES.items()
    for forge in FORGES.values()
    for name, document in workflows(scope, forge).items()
]
DEPLOYING = ("doit deploy", 'doit "deploy', "doit rollback", 'doit "rollback')


def document(kind: str, name: str, forge: str = "github") -> dict[str, Any]:
    return workflows(SCOPES[kind], FORGES[forge])[f"onevm-{name}.yml"]


def steps(file: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in file["jobs"].values():
        yield from job["steps"]


def deploys(job: dict[str, Any]) -> bool:
    return any(word in step.get("run", "") for step in job["steps"] for word in DEPLOYING)


def command(kind: str, name: str, job: str) -> dict[str, Any]:
    """Return the step that runs Onevm."""
    found: list[dict[str, Any]] = document(kind, name)["jobs"][job]["steps"]
    (step,) = [step for step in found if "doit " in step.get("run", "")]
    return step


@pytest.mark.parametrize("file", ALL)
def test_no_deploy_is_ever_cancelled(file: dict[str, Any]) -> None:
    assert "concurrency" not in file, "it would hold for every job of the file"
    groups = [job["concurrency"] for job in file["jobs"].values() if "concurrency" in job]
    assert all(group["cancel-in-progress"] is False for group in groups)


def test_every_file_deploys_or_pushes() -> None:
    assert {name for name in workflows(ALONE, FORGES["github"]) if "push" not in name} == {
        "onevm-deploy.yml",
        "onevm-rollback.yml",
    }
    assert deploys(document("alone", "push")["jobs"]["deploy"])
    assert not deploys(document("alone", "push")["jobs"]["push"])
    assert deploys(document("alone", "deploy")["jobs"]["deploy"])
    assert deploys(document("alone", "rollback")["jobs"]["rollback"])


@pytest.mark.parametrize("kind", SCOPES)
def test_nothing_takes_the_place_of_what_somebody_started(kind: str) -> None:
    for name in ("deploy", "rollback"):
        (job,) = document(kind, name)["jobs"].values()
        assert "concurrency" not in job, "a waiting run of a group is dropped for a newer one"
    assert "concurrency" not in document(kind, "push")["jobs"]["push"], "every commit is pushed"


@pytest.mark.parametrize("kind", SCOPES)
def test_every_commit_of_the_default_branch_is_pushed_and_none_is_deployed_without_being_asked_for(kind: str) -> None:
    file = document(kind, "push")
    branch = SCOPES[kind].branch
    assert file["on"]["push"] == {"branches": [branch]}
    assert file["jobs"]["deploy"]["needs"] == ["push"]
    assert file["jobs"]["deploy"]["if"] == f"vars.ONEVM_DEPLOY == 'auto' && github.ref == 'refs/heads/{branch}'"
    for name in ("deploy", "rollback"):
        assert list(document(kind, name)["on"]) == ["workflow_dispatch"]


@pytest.mark.parametrize("file", ALL)
def test_nothing_is_allowed_but_what_is_needed(file: dict[str, Any]) -> None:
    assert file["permissions"] == {}
    for job in file["jobs"].values():
        assert job["permissions"].pop("contents") == "read"
        packages = job["permissions"].pop("packages", None)
        assert packages is None or "platform" in str(file)
        assert job["permissions"] == {}
        assert job["timeout-minutes"] > 0


def test_github_s_registry_needs_rights_to_packages() -> None:
    def rights(name: str, job: str) -> Any:
        return document("platform", name)["jobs"][job]["permissions"].get("packages")

    assert (rights("push", "push"), rights("deploy", "deploy")) == ("write", "write")
    assert rights("rollback", "rollback") == "read"


@pytest.mark.parametrize("file", ALL)
def test_actions_are_pinned_to_whole_commits(file: dict[str, Any]) -> None:
    used = [step["uses"] for step in steps(file) if "uses" in step]
    assert used
    for action in used:
        assert isinstance(action, Action)
        assert re.fullmatch("[0-9a-f]{40}", action.commit)
        assert re.fullmatch(r"v\d+\.\d+\.\d+", action.version)


@pytest.mark.parametrize("file", ALL)
def test_clones_are_shallow_and_keep_no_token(file: dict[str, Any]) -> None:
    clones = [step["with"] for step in steps(file) if "uses" in step and step["uses"].name == "actions/checkout"]
    assert clones
    for options in clones:
        assert (options["fetch-depth"], options["persist-credentials"]) == (1, False)


@pytest.mark.parametrize("file", ALL)
def test_no_expression_stands_in_a_script(file: dict[str, Any]) -> None:
    assert not [step for step in steps(file) if "${{" in step.get("run", "")]


@pytest.mark.parametrize("file", ALL)
def test_secrets_reach_only_the_steps_that_need_them(file: dict[str, Any]) -> None:
    for step in steps(file):
        secrets = set(re.findall(r"secrets\.(\w+)", str(step)))
        if "doit " in step.get("run", ""):
            assert secrets <= {"REGISTRY_TOKEN", "NPM_TOKEN", "DATABASE"}
        elif step["name"] == "SSH key and known hosts":
            assert secrets == {"ONEVM_SSH_KEY", "ONEVM_SSH_KNOWN_HOSTS"}
        elif step["name"].startswith("Clone "):
            assert secrets <= {"ONEVM_CHECKOUT_TOKEN"}
        else:
            assert not secrets


def test_the_token_has_the_name_that_services_toml_gives() -> None:
    env = command("one of several", "push", "push")["env"]
    assert env["REGISTRY_TOKEN"] == "${{ secrets.REGISTRY_TOKEN }}"
    assert "REGISTRY_TOKEN" not in command("alone", "push", "push")["env"]


def test_build_secrets_are_there_only_where_something_may_be_built() -> None:
    have = {
        (name, job)
        for name, job in (("push", "push"), ("push", "deploy"), ("deploy", "deploy"), ("rollback", "rollback"))
        if "NPM_TOKEN" in command("platform", name, job)["env"]
    }
    assert have == {("push", "push"), ("push", "deploy"), ("deploy", "deploy")}


def test_what_compose_files_demand_is_there_for_every_command() -> None:
    for name, job in (("push", "push"), ("push", "deploy"), ("deploy", "deploy"), ("rollback", "rollback")):
        assert command("platform", name, job)["env"]["DATABASE"] == "${{ secrets.DATABASE || vars.DATABASE }}"


def test_a_host_over_ssh_is_reached_only_by_jobs_that_deploy() -> None:
    file = document("one of several", "push")
    named = {job: "ssh" in str(content).lower() for job, content in file["jobs"].items()}
    assert named == {"push": False, "deploy": True}
    assert not any("ssh" in str(document("alone", name)).lower() for name in ("push", "deploy", "rollback"))


def test_the_key_is_taken_away_whatever_happened() -> None:
    last = document("one of several", "rollback")["jobs"]["rollback"]["steps"][-1]
    assert last["if"] == "always()"
    assert last["run"].startswith("rm -rf")


def test_a_stack_s_own_repository_needs_no_checkouts_of_the_others() -> None:
    env = command("one of several", "push", "push")["env"]
    assert env["ONEVM_STACKS"] == "notes"
    assert env["ONEVM_CONFIG"] == "${{ github.workspace }}/platform/services.toml"
    assert "ONEVM_STACKS" not in command("platform", "push", "push")["env"]


def test_a_commit_that_was_overtaken_is_left_to_the_newer_run() -> None:
    job = document("one of several", "push")["jobs"]["deploy"]
    assert job["steps"][0]["with"]["ref"] == "main", "the newest, not the one of the event"
    assert 'if [ "$newest" != "$GITHUB_SHA" ]' in command("one of several", "push", "deploy")["run"]


def test_onevm_is_the_one_that_wrote_the_files() -> None:
    clones = [step["with"] for step in document("alone", "push")["jobs"]["push"]["steps"] if "Clone" in step["name"]]
    assert clones[1]["repository"] == "team/onevm"
    assert clones[1]["ref"] == COMMIT


def test_repositories_of_another_forge_get_no_token_of_this_one() -> None:
    theirs = [step for step in steps(document("platform", "push")) if step["name"].startswith("Clone of others")]
    assert theirs
    for step in theirs:
        assert "uses" not in step
        assert "secrets" not in str(step)
        assert step["env"] == {"ONEVM_URL": "https://git.example.org/them/theirs.git", "ONEVM_COMMIT": "HEAD"}


def test_several_stacks_can_be_chosen_from_and_one_need_not() -> None:
    inputs = document("platform", "deploy")["on"]["workflow_dispatch"]["inputs"]
    assert inputs["stack"]["options"] == ["every stack", "notes", "clock"]
    assert "sha" not in inputs, "stacks of several repositories have no commit in common"
    assert document("platform", "rollback")["on"]["workflow_dispatch"]["inputs"]["stack"]["options"] == [
        "notes",
        "clock",
    ]
    assert list(document("alone", "deploy")["on"]["workflow_dispatch"]["inputs"]) == ["sha"]
    assert list(document("two in one repository", "deploy")["on"]["workflow_dispatch"]["inputs"]) == ["stack", "sha"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a: ${DATABASE:?set it}", {"DATABASE"}),
        ("a: ${DATABASE?}", {"DATABASE"}),
        ("a: ${A:?x}${B?y} ${C:-d} $D ${E}", {"A", "B"}),
        ("a: $${NOT:?x} $$${YES:?x}", {"YES"}),
        ("a: nothing", set()),
    ],
)
def test_variables_that_compose_files_demand_are_found(text: str, names: set[str]) -> None:
    assert demanded(text) == names
