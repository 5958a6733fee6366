"""Deploys, rollbacks and what goes wrong with them on a VM over SSH: what is touched, what is said, what stays."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.remote import Moment, RemoteShop, Step, edit_record, opened, registry_door, release_of, said
from tests.e2e.vm import Vm, call
from tests.integration.shop import Container, until

pytestmark = pytest.mark.vm


@dataclass(frozen=True)
class Story:
    """A stack on its way: deployed, deployed again, one line changed, rolled back, rolled forward."""

    first_sha: str
    second_sha: str
    first: Step
    again: Step
    change: Step
    back: Step
    forward: Step


@pytest.fixture(scope="module")
def shop(vm: Vm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteShop]:
    with opened(vm, tmp_path_factory.mktemp("shop")) as found:
        yield found


@pytest.fixture(scope="module")
def story(shop: RemoteShop) -> Story:
    first_sha = shop.sha
    first = Step.of(shop, "deploy")
    again = Step.of(shop, "deploy")
    second_sha = shop.change("b", "b 2")
    change = Step.of(shop, "deploy")
    back = Step.of(shop, "rollback")
    forward = Step.of(shop, "deploy", f"sha={second_sha[:10]}")
    return Story(first_sha, second_sha, first, again, change, back, forward)


@pytest.fixture
def deployed(shop: RemoteShop, story: Story) -> Iterator[RemoteShop]:
    """Give the deployed shop; its Compose file and its services.toml are as before afterwards."""
    del story
    compose = (shop.repo / "docker-compose.yml").read_text()
    yield shop
    shop.configure()
    shop.git("checkout", "-q", "-f", "main")
    shop.git("clean", "-q", "-f", "-d")
    if (shop.repo / "docker-compose.yml").read_text() != compose:
        shop.write("docker-compose.yml", compose)
        shop.commit("As it was")


def test_the_first_deploy_brings_an_empty_vm_to_the_commit(story: Story) -> None:
    story.first.ran.ok()
    assert story.first.before.containers == {}
    assert {name: c.state for name, c in story.first.after.containers.items()} == dict.fromkeys("abe", "healthy")
    assert all("@sha256:" in c.image for c in story.first.after.containers.values())
    assert story.first.handshakes == 1


def test_a_deploy_with_nothing_to_do_makes_one_handshake_and_changes_nothing(story: Story) -> None:
    story.again.ran.ok()
    assert story.again.handshakes == 1
    story.again.check_nothing_changed()
    assert story.again.ran.bakes == []


def test_one_changed_service_is_one_build_one_container_and_one_handshake(story: Story) -> None:
    story.change.ran.ok()
    assert story.change.ran.bakes == [["b"]]
    assert story.change.recreated == {"b"}
    assert story.change.handshakes == 1


def test_a_rollback_takes_the_newest_good_release_and_builds_and_pushes_nothing(shop: RemoteShop, story: Story) -> None:
    story.back.ran.ok()
    assert story.back.handshakes == 1
    assert story.back.ran.bakes == []
    assert story.back.after.tags == story.back.before.tags
    assert story.back.recreated == {"b"}
    assert _images(story.back.after.containers) == _images(story.first.after.containers)
    (release,) = [r for r in shop.releases() if r["kind"] == "rollback"][:1]
    assert release["sha"] == story.first_sha
    assert release["outcome"] == "good"
    assert release["restores"] == release_of_first(shop, story)
    assert release["id"] != release["restores"]


def test_deploy_with_a_sha_rolls_forward_and_builds_nothing(story: Story) -> None:
    story.forward.ran.ok()
    assert story.forward.handshakes == 1
    assert story.forward.ran.bakes == []
    assert story.forward.after.tags == story.forward.before.tags
    assert _images(story.forward.after.containers) == _images(story.change.after.containers)


def test_nothing_of_onevm_stays_behind_on_either_side(deployed: RemoteShop) -> None:
    # Steps and the holder of the lock end after the run, not with it.
    until(lambda: not deployed.processes(), "no process is left, here or on the VM")
    assert list((deployed.folder / "tmp").iterdir()) == []
    assert [path for path in deployed.vm.here("/tmp").iterdir() if not path.name.startswith("runc-process")] == []  # noqa: S108


def release_of_first(shop: RemoteShop, story: Story) -> str:
    return str(next(r["id"] for r in shop.releases() if r["sha"] == story.first_sha and r["kind"] == "deploy"))


def _images(containers: dict[str, Container]) -> dict[str, str]:
    return {name: c.image for name, c in containers.items()}


def test_a_rollback_needs_no_registry_while_the_vm_has_the_images(vm: Vm, tmp_path: Path) -> None:
    with registry_door(vm) as door, opened(vm, tmp_path, "ab", door.host) as shop:
        shop.doit("deploy").ok()
        before = shop.running()
        shop.change()
        shop.doit("deploy").ok()
        shop.change()
        door.shut()
        unreachable = Step.of(shop, "deploy")
        assert unreachable.ran.code == 1
        assert door.host in said(unreachable.ran)
        unreachable.check_nothing_changed()
        back = Step.of(shop, "rollback")
        back.ran.ok()
        assert back.recreated == {"b"}
        assert _images(back.after.containers) == _images(before)
        assert shop.current["kind"] == "rollback"


@pytest.mark.parametrize("verb", ["rollback", "deploy"])
@pytest.mark.parametrize("sha", ["ffffffff", "a"])
def test_an_unknown_or_too_short_sha_lists_the_candidates(
    deployed: RemoteShop, story: Story, verb: str, sha: str
) -> None:
    step = Step.of(deployed, verb, f"sha={sha}")
    assert step.ran.code == 3, step.ran
    assert story.first_sha[:7] in said(step.ran)
    assert story.second_sha[:7] in said(step.ran)
    step.check_nothing_changed()


def test_an_ambiguous_sha_lists_the_candidates(deployed: RemoteShop, story: Story) -> None:
    likeness = story.first_sha[:8] + "0" * 32
    copy = release_of(deployed, story.second_sha)
    edit_record(deployed, copy, sha=likeness)
    try:
        step = Step.of(deployed, "rollback", f"sha={story.first_sha[:6]}")
        assert step.ran.code == 3, step.ran
        assert story.first_sha in said(step.ran)
        assert likeness in said(step.ran)
        step.check_nothing_changed()
    finally:
        edit_record(deployed, copy, sha=story.second_sha)


def test_images_that_are_gone_everywhere_are_named_before_anything_is_touched(deployed: RemoteShop) -> None:
    sha = deployed.change("b", "b for a short time")
    deployed.doit("deploy").ok()
    image = deployed.running()["b"].image
    deployed.change("b", "b after that")
    deployed.doit("deploy").ok()
    deployed.engine("image", "rm", image)
    deployed.forget_images("b")
    step = Step.of(deployed, "rollback", f"sha={sha}")
    assert step.ran.code == 1, step.ran
    assert image in said(step.ran)
    assert "nothing was touched" in said(step.ran)
    step.check_nothing_changed()


def test_uncommitted_changes_are_refused_unless_it_is_said(deployed: RemoteShop) -> None:
    deployed.change()
    deployed.doit("deploy").ok()
    deployed.write("b/version", "b of the moment\n")
    step = Step.of(deployed, "deploy")
    assert step.ran.code == 1, step.ran
    assert "dirty=1" in said(step.ran)
    assert step.after.containers == step.before.containers
    assert step.after.files == step.before.files
    deployed.doit("deploy", "dirty=1").ok()
    assert deployed.version("b") == "b of the moment\n"
    assert deployed.current["dirty"] is True
    deployed.git("checkout", "-q", "-f", "main")
    deployed.doit("deploy").ok()
    assert deployed.current["dirty"] is False


def test_uncommitted_changes_are_refused_before_anything_is_built(deployed: RemoteShop) -> None:
    deployed.write("b/version", "b of the moment\n")
    refused = deployed.doit("deploy")
    assert refused.code == 1, refused
    assert refused.bakes == []


@pytest.mark.parametrize("known", ["", "another key"])
def test_an_unknown_host_key_is_refused_with_the_line_to_run(deployed: RemoteShop, tmp_path: Path, known: str) -> None:
    vm = deployed.vm
    config = tmp_path / "ssh_config"
    config.write_text(vm.ssh_config.read_text().replace(str(vm.state / "known_hosts"), str(tmp_path / "known_hosts")))
    if known:
        call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key")
        known = f"{vm.name} {(tmp_path / 'key.pub').read_text()}"
    (tmp_path / "known_hosts").write_text(known)
    refused = deployed.doit("status", env={"ONEVM_SSH_CONFIG": str(config)})
    assert refused.code == 1, refused
    assert f"{vm.destination}" in said(refused)
    assert "CHANGED" in said(refused) if known else f"ssh {vm.destination} true" in said(refused)
    assert ("ssh-keygen -R" in said(refused)) is bool(known)


def test_a_user_without_the_right_to_the_docker_socket_is_told(deployed: RemoteShop) -> None:
    deployed.configure(user="nodocker")
    refused = deployed.doit("status")
    assert refused.code == 1, refused
    assert "user nodocker may not use the Docker socket" in said(refused)
    assert "usermod -aG docker nodocker" in said(refused)


def hooked(shop: RemoteShop, **hooks: str) -> None:
    """Give the stack hooks, each a line of shell."""
    listed = ", ".join(f"{name} = '''{line}'''" for name, line in hooks.items())
    shop.configure(stack=f"hooks = {{ {listed} }}")


def test_hooks_run_on_the_vm_with_the_values_of_the_release(deployed: RemoteShop) -> None:
    before = deployed.current["id"]
    sha = deployed.change("b", "b that hooks see")
    show = (
        "hostname; docker compose run --rm --no-deps -T b cat /www/version; docker compose ps --format '{{.Image}}' b"
    )
    hooked(
        deployed,
        before_deploy=f"{{ env | grep ^ONEVM_; {show}; }} >../before",
        after_deploy=f"{{ env | grep ^ONEVM_; {show}; }} >../after",
    )
    deployed.doit("deploy").ok()
    release = deployed.current
    new, old = release["services"]["b"]["image"], _image_of(deployed, before, "b")
    for name, runs in (("before", old), ("after", new)):
        lines = (deployed.home / name).read_text().splitlines()
        values = dict(line.split("=", 1) for line in lines if line.startswith("ONEVM_"))
        assert values["ONEVM_STACK"] == deployed.name
        assert values["ONEVM_RELEASE"] == release["id"]
        assert values["ONEVM_SHA"] == sha
        assert values["ONEVM_PREVIOUS"] == before
        # The new image is there before anything stops, and the old one serves until it does.
        assert lines[-3:] == [deployed.vm.name, "b that hooks see", runs]


def _image_of(shop: RemoteShop, release: str, service: str) -> str:
    (image,) = [r["services"][service]["image"] for r in shop.releases() if r["id"] == release]
    return str(image)


def test_a_failing_before_deploy_stops_before_anything_changed(deployed: RemoteShop) -> None:
    deployed.change()
    hooked(deployed, before_deploy="echo the database says no >&2; exit 7")
    before = deployed.current
    step = Step.of(deployed, "deploy")
    assert step.ran.code == 1, step.ran
    assert "the database says no" in said(step.ran)
    assert "before_deploy" in said(step.ran)
    assert step.after.containers == step.before.containers
    assert deployed.current == before
    deployed.configure()
    deployed.doit("deploy").ok()
    assert deployed.current["sha"] == deployed.sha


def test_a_failing_after_deploy_is_reported_and_the_deploy_stands(deployed: RemoteShop) -> None:
    sha = deployed.change()
    hooked(deployed, after_deploy="echo nobody was told >&2; exit 7")
    ran = deployed.doit("deploy").ok()
    assert "nobody was told" in said(ran)
    assert "after_deploy" in said(ran)
    assert deployed.current["sha"] == sha
    assert deployed.current["outcome"] == "good"


def test_travelling_files_arrive_and_roll_back(deployed: RemoteShop) -> None:
    deployed.write("site/index.html", "<h1>one</h1>\n")
    with deployed.compose() as compose:
        compose["services"]["a"]["volumes"] = ["./site:/www/site:ro"]
    deployed.commit("Open a site")
    deployed.configure(stack='files = ["site"]')
    deployed.doit("deploy").ok()
    site = ["exec", f"{deployed.name}-a-1", "cat", "/www/site/index.html"]
    assert deployed.engine(*site) == "<h1>one</h1>\n"
    deployed.write("site/index.html", "<h1>two</h1>\n")
    deployed.write("site/more.html", "more\n")
    deployed.change()
    deployed.doit("deploy").ok()
    assert deployed.engine(*site) == "<h1>two</h1>\n"
    assert (deployed.home / "project" / "site" / "more.html").read_text() == "more\n"
    deployed.doit("rollback").ok()
    assert deployed.engine(*site) == "<h1>one</h1>\n"
    assert not (deployed.home / "project" / "site" / "more.html").exists()


def test_the_env_file_of_the_vm_is_used_and_never_overwritten(deployed: RemoteShop) -> None:
    own = deployed.home / "project" / ".env"
    own.write_text("GREETING=of the VM\n")
    deployed.write(".env", "GREETING=of the checkout\n")
    with deployed.compose() as compose:
        compose["services"]["a"]["environment"] = {"GREETING": "${GREETING:-none}"}
    deployed.commit("Greet")
    try:
        deployed.doit("deploy").ok()
        assert deployed.inside("a", "sh", "-c", "echo $GREETING") == "of the VM\n"
        assert own.read_text() == "GREETING=of the VM\n"
        own.write_text("GREETING=of the VM, later\n")
        step = Step.of(deployed, "deploy")
        step.ran.ok()
        assert step.recreated == {"a"}
        assert deployed.inside("a", "sh", "-c", "echo $GREETING") == "of the VM, later\n"
    finally:
        own.unlink()


def test_the_plain_compose_line_of_status_recreates_nothing(deployed: RemoteShop) -> None:
    deployed.change()
    deployed.doit("deploy").ok()
    before = Moment.of(deployed)
    deployed.vm.run(deployed.status()["compose"])
    assert Moment.of(deployed).containers == before.containers


def checked_after_damage(shop: RemoteShop, *words: str) -> None:
    """Check that status and deploy both say what is damaged and carry on."""
    status = shop.doit("status").ok()
    sha = shop.change()
    deploy = shop.doit("deploy").ok()
    for word in words:
        assert word in said(status)
        assert word in said(deploy)
    assert shop.current["sha"] == sha
    assert shop.planned() == []


def test_a_damaged_record_of_the_current_release_is_said_and_mended_by_the_next_deploy(deployed: RemoteShop) -> None:
    release = deployed.current["id"]
    record = deployed.home / "releases" / release / "release.json"
    kept = record.read_text()
    record.write_text('{"schema": 1, "id"')
    checked_after_damage(deployed, release, "not a release")
    record.write_text(kept)


def test_a_current_that_points_nowhere_is_said_and_mended_by_the_next_deploy(deployed: RemoteShop) -> None:
    (deployed.home / "current").unlink()
    (deployed.home / "current").symlink_to("releases/gone")
    checked_after_damage(deployed, "releases/gone")


def test_a_torn_last_line_of_the_audit_log_stands_alone_after_the_next_deploy(deployed: RemoteShop) -> None:
    log = deployed.home / "audit.jsonl"
    whole = log.read_text()
    with log.open("a") as file:
        file.write('{"event": "depl')
    checked_after_damage(deployed)
    torn, last = log.read_text().removeprefix(whole).splitlines()
    assert torn == '{"event": "depl'
    assert json.loads(last)["release"] == deployed.current["id"]
    log.write_text(f"{whole}{last}\n")


def test_a_damaged_release_is_named_before_a_rollback_to_it_touches_anything(deployed: RemoteShop) -> None:
    release = deployed.current
    deployed.change()
    deployed.doit("deploy").ok()
    folder = deployed.home / "releases" / release["id"]
    kept = (folder / "docker-compose.yml").read_text()
    (folder / "docker-compose.yml").write_text(kept.replace("32m", "33m"))
    step = Step.of(deployed, "rollback", f"sha={release['id']}")
    (folder / "docker-compose.yml").write_text(kept)
    assert step.ran.code == 1, step.ran
    assert release["id"] in said(step.ran)
    assert "docker-compose.yml" in said(step.ran)
    step.check_nothing_changed()


def published(shop: RemoteShop, port: int) -> None:
    """Let b listen on the VM's own loopback."""
    with shop.compose() as compose:
        compose["services"]["b"]["ports"] = [f"127.0.0.1:{port}:8000"]


def test_verify_is_asked_from_the_vm(deployed: RemoteShop) -> None:
    published(deployed, 18080)
    sha = deployed.change()
    deployed.configure(stack='verify = { url = "http://127.0.0.1:18080/version", timeout = 20 }')
    step = Step.of(deployed, "deploy")
    step.ran.ok()
    assert step.handshakes == 1
    assert deployed.current["sha"] == sha


def test_a_verify_that_fails_brings_the_stack_back(deployed: RemoteShop) -> None:
    before = deployed.current
    was = _images(deployed.running())
    deployed.change()
    deployed.configure(stack='verify = { url = "http://127.0.0.1:18081/version", timeout = 1 }')
    ran = deployed.doit("deploy")
    assert ran.code == 1, ran
    assert "http://127.0.0.1:18081/version" in said(ran)
    assert f"release {before['id']} runs again" in said(ran)
    assert deployed.current == before
    assert _images(deployed.running()) == was
    assert deployed.releases()[-1]["outcome"] == "failed"
