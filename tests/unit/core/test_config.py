"""services.toml becomes values, or an exact list of its mistakes."""

import itertools
import os
from pathlib import Path

import pytest

from tasks.core import config, syntax
from tasks.core.config import load, missing_variables, shared_repositories, unknown_services
from tasks.core.errors import ConfigurationError, OnevmError, UsageError
from tasks.core.model import Builder, Configuration, Hooks, Host, Registry, ServiceSettings, Stack, Verify

CASES = Path(__file__).parents[2] / "data" / "config"
ENVIRON = {"HOME": "/home/ann"}
REGISTRY = '[registry]\nurl = "registry.example.com/team"\n'


def write(folder: Path, text: str) -> Path:
    (folder / "notes" / "caddy").mkdir(parents=True)
    (folder / "shared").mkdir()
    (folder / "notes" / "docker-compose.yml").touch()
    (folder / "notes" / "docker-compose.override.yml").touch()
    file = folder / "services.toml"
    file.write_text(text)
    return file


def load_text(folder: Path, text: str, environ: dict[str, str] = ENVIRON) -> Configuration:
    return load(write(folder, text), environ)


@pytest.mark.parametrize("case", sorted(CASES.glob("*.toml")), ids=lambda case: case.stem)
def test_every_mistake_has_its_exact_message(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    with pytest.raises(ConfigurationError) as caught:
        load(Path(case.name), ENVIRON)
    message = str(caught.value).replace(str(CASES), "<here>") + "\n"
    assert message == case.with_suffix(".txt").read_text()
    assert caught.value.exit_code == 3
    assert [p.line for p in caught.value.problems] == sorted(p.line for p in caught.value.problems)


def test_every_case_has_a_message_and_every_message_a_case() -> None:
    cases = {case.stem for case in CASES.glob("*.toml")}
    assert cases == {case.stem for case in CASES.glob("*.txt")}
    assert len(cases) >= 25


def test_no_message_repeats_a_secret() -> None:
    assert sum("hunter2" in case.read_text(errors="replace") for case in CASES.glob("*.toml")) >= 4
    for message in CASES.glob("*.txt"):
        assert "hunter2" not in message.read_text(), message.name


def test_a_whole_file_becomes_values(tmp_path: Path) -> None:
    configuration = load_text(
        tmp_path,
        """
        [registry]
        url = "registry.example.com/team"
        username = "ci"
        password_env = "REGISTRY_TOKEN"
        insecure = true

        [builder]
        name = "farm"
        cache = "registry"

        [hosts.prod]
        address = "ssh://deploy@vm.example.com:2222"
        root = "/opt/onevm"
        keep_releases = 9

        [stacks.notes]
        path = "notes"
        compose = ["docker-compose.yml"]
        host = "prod"
        on_failure = "keep"
        files = ["caddy/"]
        verify = { url = "http://127.0.0.1:8080/version", json = "build.commit", timeout = 2.5 }
        hooks = { before_deploy = "echo ${HOME}", after_deploy = "true", on_failure = "false" }

        [stacks.notes.services.web]
        rollout = "start-first"
        volatile_args = ["COMMIT_SHA", "COMMIT_DATE"]
        inputs = ["../shared"]
        """,
    )
    assert configuration == Configuration(
        path=tmp_path / "services.toml",
        registry=Registry(url="registry.example.com/team", username="ci", password_env="REGISTRY_TOKEN", insecure=True),
        builder=Builder(name="farm", cache="registry"),
        hosts={
            "local": Host(name="local", root=Path("/home/ann/.local/state/onevm")),
            "prod": Host(
                name="prod",
                address="ssh://deploy@vm.example.com:2222",
                root=Path("/opt/onevm"),
                keep_releases=9,
            ),
        },
        stacks={
            "notes": Stack(
                name="notes",
                path=tmp_path / "notes",
                compose=("docker-compose.yml",),
                host="prod",
                on_failure="keep",
                files=("caddy",),
                verify=Verify(url="http://127.0.0.1:8080/version", json="build.commit", timeout_seconds=2.5),
                hooks=Hooks(before_deploy="echo ${HOME}", after_deploy="true", on_failure="false"),
                services={
                    "web": ServiceSettings(
                        rollout="start-first",
                        volatile_args=("COMMIT_SHA", "COMMIT_DATE"),
                        inputs=(tmp_path / "shared",),
                    )
                },
            )
        },
    )


def test_the_smallest_file_takes_every_default(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, REGISTRY + '[stacks.notes]\npath = "notes"\n')
    notes = configuration.stacks["notes"]
    assert configuration.builder == Builder()
    assert configuration.registry == Registry(url="registry.example.com/team")
    assert notes == Stack(name="notes", path=tmp_path / "notes", compose=("docker-compose.yml",), host="local")
    assert configuration.hosts["local"].is_local


def test_the_first_compose_file_in_composes_own_order_is_the_default_and_no_override(tmp_path: Path) -> None:
    file = write(tmp_path, REGISTRY + '[stacks.notes]\npath = "notes"\n')
    found = [load(file, ENVIRON).stacks["notes"].compose]
    for name in ("docker-compose.yaml", "compose.yml", "compose.yaml"):
        (tmp_path / "notes" / name).touch()
        found.append(load(file, ENVIRON).stacks["notes"].compose)
    assert found == [("docker-compose.yml",), ("docker-compose.yaml",), ("compose.yml",), ("compose.yaml",)]


def test_a_stack_takes_the_only_host_there_is(tmp_path: Path) -> None:
    text = REGISTRY + '[hosts.vm]\naddress = "ssh://vm.example.com"\n[stacks.notes]\npath = "notes"\n'
    configuration = load_text(tmp_path, text)
    assert configuration.stacks["notes"].host == "vm"
    assert configuration.hosts["vm"].root == Path("/srv/onevm")
    assert set(configuration.hosts) == {"local", "vm"}


@pytest.mark.parametrize(
    ("environ", "line", "root"),
    [
        ({"HOME": "/home/ann"}, "", "/home/ann/.local/state/onevm"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "/var/state"}, "", "/var/state/onevm"),
        ({"HOME": "/home/ann", "XDG_STATE_HOME": "state"}, "", "/home/ann/.local/state/onevm"),
        ({"HOME": "/home/ann"}, 'root = "/data"', "/data"),
        ({}, 'root = "/data"', "/data"),
        ({}, 'root = "records/onevm"', "HERE/records/onevm"),
    ],
)
def test_the_root_of_this_machine(tmp_path: Path, environ: dict[str, str], line: str, root: str) -> None:
    text = f'{REGISTRY}[hosts.local]\n{line}\n[stacks.notes]\npath = "notes"\n'
    expected = Path(root.replace("HERE", str(tmp_path)))
    assert load_text(tmp_path, text, environ).hosts["local"].root == expected


def test_without_a_home_this_machines_root_must_be_written(tmp_path: Path) -> None:
    text = REGISTRY + '[stacks.notes]\npath = "notes"\n'
    with pytest.raises(ConfigurationError, match=r"hosts\.local\.root: is missing, and HOME is not set"):
        load_text(tmp_path, text, {})


def test_without_a_home_another_host_can_still_be_used(tmp_path: Path) -> None:
    text = REGISTRY + '[hosts.vm]\naddress = "ssh://vm.example.com"\n[stacks.notes]\npath = "notes"\n'
    assert set(load_text(tmp_path, text, {}).hosts) == {"vm"}


def test_paths_are_relative_to_the_file_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, REGISTRY + '[stacks.notes]\npath = "notes"\n')
    monkeypatch.chdir(tmp_path.parent)
    configuration = load(Path(tmp_path.name) / "services.toml", ENVIRON)
    assert configuration.path == tmp_path / "services.toml"
    assert configuration.stacks["notes"].path == tmp_path / "notes"


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = write(tmp_path, "\N{ZERO WIDTH NO-BREAK SPACE}" + REGISTRY + '[stacks.notes]\npath = "notes"\n')
    assert load(file, ENVIRON).stacks


@pytest.mark.parametrize("name", ["services.toml", "folder", "notes/services.toml/x"])
def test_a_file_that_cannot_be_read_says_how_to_name_another(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes").touch()
    with pytest.raises(UsageError) as caught:
        load(tmp_path / name, ENVIRON)
    assert caught.value.exit_code == 3
    assert str(tmp_path / name) in caught.value.what
    assert "config=PATH" in caught.value.next_step


def test_the_file_is_named_as_the_user_named_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "x = 1\n")
    monkeypatch.chdir(tmp_path / "notes")
    with pytest.raises(ConfigurationError) as caught:
        load(Path("../services.toml"), ENVIRON)
    assert {problem.file for problem in caught.value.problems} == {"../services.toml"}


def test_a_missing_variable_is_no_mistake_of_the_file(tmp_path: Path) -> None:
    text = REGISTRY + 'username = "ci"\npassword_env = "REGISTRY_TOKEN"\n[stacks.notes]\npath = "notes"\n'
    configuration = load_text(tmp_path, text)
    (problem,) = missing_variables(configuration, {})
    assert str(problem) == (
        f"{tmp_path}/services.toml:4: registry.password_env: the environment variable REGISTRY_TOKEN is not set"
    )
    (problem,) = missing_variables(configuration, {"REGISTRY_TOKEN": ""})
    assert problem.message.endswith("is empty")
    assert missing_variables(configuration, {"REGISTRY_TOKEN": "x"}) == ()


@pytest.mark.parametrize("name", ["REGISTRY_TOKEN", "my_second_registry_token_2", "T0", "_x"])
def test_a_variables_name_is_not_taken_for_a_secret(name: str) -> None:
    assert syntax.variable_name(name) is None


@pytest.mark.parametrize(
    "secret", ["ghp_16C7e42F292c6912E7710c8", "github_pat_11AAAAAAA0", "9f86d081884c7d659a2f", "s3cr3t!", "a b"]
)
def test_a_secret_is_not_taken_for_a_variables_name(secret: str) -> None:
    message = syntax.variable_name(secret)
    assert message
    assert secret not in message


def test_an_anonymous_registry_needs_no_variable(tmp_path: Path) -> None:
    assert missing_variables(load_text(tmp_path, REGISTRY + '[stacks.notes]\npath = "notes"\n'), {}) == ()


def test_a_section_for_a_service_that_compose_does_not_have_is_found(tmp_path: Path) -> None:
    text = REGISTRY + '[stacks.notes]\npath = "notes"\n[stacks.notes.services.web]\n'
    stack = load_text(tmp_path, text + "[stacks.notes.services.bakend]\n").stacks["notes"]
    (problem,) = unknown_services(stack, ["web", "backend"])
    assert (problem.line, problem.key) == (6, "stacks.notes.services.bakend")
    assert problem.message == 'the Compose files have no such service; did you mean "backend"?'
    assert unknown_services(stack, ["web", "bakend"]) == ()


def test_later_rules_find_the_line_of_any_key(tmp_path: Path) -> None:
    text = REGISTRY + '[stacks.notes]\npath = "notes"\n[stacks.notes.services.web]\nvolatile_args = [\n"A",\n"B"]'
    stack = load_text(tmp_path, text).stacks["notes"]
    assert stack.line == 3
    assert stack.problem(("services", "web", "volatile_args", 1), "x").line == 8
    assert stack.problem(("services", "web", "rollout"), "x").line == 5


def test_two_stacks_whose_images_would_share_a_name_are_found(tmp_path: Path) -> None:
    text = REGISTRY + '[stacks.a]\npath = "notes"\n[stacks.a-b]\npath = "notes"\n'
    file = write(tmp_path, text + 'compose = ["docker-compose.override.yml"]\n')
    configuration = load(file, ENVIRON)
    (problem,) = shared_repositories(configuration, {"a": ["b-c", "web"], "a-b": ["c", "web"]})
    assert (problem.line, problem.key) == (5, "stacks.a-b")
    assert problem.message == "the image of c would be a-b-c, as that of a.b-c; rename the stack"
    assert shared_repositories(configuration, {"a": ["web"], "a-b": ["web"]}) == ()


def test_lines_are_not_looked_for_in_a_file_without_mistakes(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, REGISTRY + '[stacks.notes]\npath = "notes"\n')
    assert "lines" not in vars(configuration.source)


@pytest.mark.parametrize("start", [0, 1, 7, 40])
def test_a_file_cut_off_anywhere_is_explained(start: int, tmp_path: Path) -> None:
    """Whatever is left of a file when a disk fills up: values or an explanation, never a traceback."""
    text = (CASES / "wrong_types.toml").read_text()
    file = tmp_path / "services.toml"
    for end in itertools.islice(range(len(text)), start, None, 41):
        file.write_text(text[:end])
        with pytest.raises(OnevmError):
            load(file, ENVIRON)


def test_the_shipped_file_has_no_mistake() -> None:
    shipped = Path(config.__file__).parents[2] / "services.toml"
    assert set(load(shipped, os.environ | ENVIRON).stacks) == {"shop"}


TWO_STACKS = REGISTRY + '[stacks.notes]\npath = "notes"\n[stacks.trading]\npath = "../not/on/this/machine"\n'


@pytest.mark.parametrize("names", ["notes", " notes ", "notes,notes"])
def test_stacks_that_are_not_named_need_not_be_there(tmp_path: Path, names: str) -> None:
    found = load_text(tmp_path, TWO_STACKS, ENVIRON | {"ONEVM_STACKS": names})
    assert list(found.stacks) == ["notes"]


@pytest.mark.parametrize("names", ["", " ", ","])
def test_without_names_every_stack_counts(tmp_path: Path, names: str) -> None:
    with pytest.raises(ConfigurationError, match=r"stacks\.trading\.path: no such folder"):
        load_text(tmp_path, TWO_STACKS, ENVIRON | {"ONEVM_STACKS": names})


def test_a_named_stack_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    message = r'stacks: \$ONEVM_STACKS names note, which is not there; did you mean "notes"\?'
    with pytest.raises(ConfigurationError, match=message):
        load_text(tmp_path, TWO_STACKS, ENVIRON | {"ONEVM_STACKS": "notes note"})


def test_a_named_stack_with_mistakes_has_only_those(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, REGISTRY + '[stacks.notes]\npath = "notse"\n', ENVIRON | {"ONEVM_STACKS": "notes"})
    assert [problem.key for problem in caught.value.problems] == ["stacks.notes.path"]
