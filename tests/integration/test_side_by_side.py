"""Several stacks from several repositories: one bake, deployed side by side, failing apart."""

import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.several import Several, several, shops
from tests.integration.shop import until

pytestmark = pytest.mark.engine

# A hook that ends when the other stack's hook has begun.
MEETS = "touch {root}/{own}.met && for i in $(seq 600); do [ -e {root}/{other}.met ] && exit; sleep 0.1; done; exit 1"

# Compose on the host, which reads a stack's files when the other stack's are being read.
READS_BOTH = """#!/bin/sh
case "$*" in
  "compose --project-directory "*" config "*)
    touch {met}/$$; for i in $(seq 600); do [ "$(ls {met} | wc -l)" -ge 2 ] && break; sleep 0.1; done
    [ "$(ls {met} | wc -l)" -ge 2 ] || exit 1;;
esac
exec {docker} "$@"
"""


@pytest.fixture
def pair(lab: str, tmp_path: Path) -> Iterator[Several]:
    """Give two stacks of one service each."""
    del lab
    with several(*shops(tmp_path, ["a", "b"])) as found:
        yield found


def test_what_changed_in_one_repository_is_all_that_is_done(lab: str, tmp_path: Path) -> None:
    del lab
    with several(*shops(tmp_path, ["ab", "a", "ce"])) as all_of_them:
        first = all_of_them.doit("deploy").ok()
        assert [len(targets) for targets in first.bakes] == [4]
        before = all_of_them.running()
        assert {c.state for c in before.values()} == {"healthy"}
        assert len(before) == 5
        changed = all_of_them.shops[1]
        changed.write("a/version", "2\n")
        changed.commit()
        plan = all_of_them.doit("plan", "format=json").ok().json
        assert {s["stack"]: bool(s["operations"]) for s in plan["stacks"]} == {
            shop.name: shop is changed for shop in all_of_them.shops
        }
        ran = all_of_them.doit("deploy").ok()
        assert ran.bakes == [["a"]], ran.bakes
        after = all_of_them.running()
        assert {name for name, c in after.items() if c != before[name]} == {f"{changed.name}.a"}
        rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line.split()}
        assert rows[changed.name][0] == "deployed"
        assert rows[all_of_them.shops[0].name][:3] == ["nothing", "to", "do"]
        # Side by side, they took no longer than the command; and nothing is said after the table.
        assert rows[changed.name][3:6] == ["1", "of", "1"], ran.out
        assert list(rows)[-3:] == [shop.name for shop in all_of_them.shops], ran.out
        # Going back, too, is all stacks at once, and only one has anything to go back from.
        back = all_of_them.doit(f"rollback:{changed.name}").ok()
        assert back.bakes == []
        assert changed.version("a") != "2\n"


def test_stacks_are_deployed_at_the_same_time(pair: Several) -> None:
    one, two = pair.shops
    one.root.mkdir()
    hooks = {
        own.name: f"hooks = {{ before_deploy = '{MEETS.format(root=one.root, own=own.name, other=other.name)}' }}"
        for own, other in ((one, two), (two, one))
    }
    pair.configure(hooks)
    pair.doit("deploy").ok()
    assert {c.state for c in pair.running().values()} == {"healthy"}


def test_hosts_look_at_all_stacks_of_a_plan_at_the_same_time(pair: Several) -> None:
    one = pair.shops[0]
    docker, met = one.folder / "bin" / "docker", one.folder / "met"
    met.mkdir()
    docker.rename(docker.with_name("real-docker"))
    docker.write_text(READS_BOTH.format(met=met, docker=docker.with_name("real-docker")))
    docker.chmod(0o755)
    plan = pair.doit("plan", "format=json").ok().json
    assert [stack["stack"] for stack in plan["stacks"]] == sorted(shop.name for shop in pair.shops)
    assert all("create" in [op["verb"] for op in stack["operations"]] for stack in plan["stacks"])


def test_a_plan_that_cannot_be_told_leaves_the_others_alone(pair: Several) -> None:
    one, two = pair.shops
    # The checkout has what Compose needs, and the host has not.
    with one.compose() as compose:
        compose["services"]["a"]["environment"] = ["NEEDED=${NEEDED:?}"]
    (one.repo / ".env").write_text("NEEDED=1\n")
    one.write(".gitignore", ".env\n")
    one.commit()
    ran = pair.doit("plan")
    assert ran.code == 1, ran
    assert f"stack {one.name}: Compose on host here refuses the release" in ran.err
    assert "NEEDED" in ran.err
    assert f"{two.name}: is not deployed yet" in ran.out
    assert f"{one.name}: is not deployed yet" not in ran.out
    ran = pair.doit("plan", "format=json")
    assert ran.code == 1, ran
    assert "schema" not in ran.out


def test_a_stack_that_fails_leaves_the_others_alone(pair: Several) -> None:
    one, two = pair.shops
    pair.doit("deploy").ok()
    before = pair.running()
    for shop, service in ((one, "a"), (two, "b")):
        shop.write(f"{service}/version", "2\n")
    one.dockerfile("a", command=["sh", "-c", "echo it breaks; exit 3"])
    one.commit()
    two.commit()
    ran = pair.doit("deploy")
    assert ran.code == 1, ran
    assert ran.err.count("ERROR: ") == 1, ran
    assert f"{one.name}.a" in ran.err
    assert "it breaks" in ran.err
    assert one.version("a") == one.inside("a", "cat", "/www/version")
    assert two.version("b") == "2\n"
    after = pair.running()
    assert after[f"{two.name}.b"].id != before[f"{two.name}.b"].id
    assert after[f"{one.name}.a"].image == before[f"{one.name}.a"].image
    assert one.current["outcome"] == two.current["outcome"] == "good"


def test_a_stack_whose_files_cannot_be_read_leaves_the_others_alone(pair: Several) -> None:
    good, bad = pair.shops
    pair.doit("deploy").ok()
    pair.configure({bad.name: 'files = ["conf"]'})
    # It is a file for everybody, and nobody can read it from its beginning.
    (bad.repo / "conf").mkdir()
    (bad.repo / "conf" / "motd").symlink_to("/proc/self/mem")
    good.write("a/version", "beside one that cannot be read\n")
    good.commit()
    before = pair.running()
    ran = pair.doit("deploy")
    (bad.repo / "conf" / "motd").unlink()
    pair.configure()
    assert ran.code == 1
    assert f"stack {bad.name}: {bad.repo / 'conf' / 'motd'} cannot be read" in ran.err
    after = pair.running()
    assert {name for name in before if before[name] != after[name]} == {f"{good.name}.a"}


def test_a_stack_that_fails_stops_the_others_if_that_is_wanted(pair: Several) -> None:
    one, two = pair.shops
    pair.doit("deploy").ok()
    before = pair.running()
    one.write("a/version", "2\n")
    two.write("b/version", "2\n")
    one.commit()
    two.commit()
    pair.configure({one.name: "hooks = { before_deploy = 'exit 4' }"})
    # The other one comes to its turn when the first has failed.
    with (two.home / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = pair.start("deploy", "fail_fast=1")
        until(lambda: any(r["outcome"] == "failed" for r in one.releases()), "the first has failed")
    ran = run.wait()
    assert ran.code == 1, ran
    assert f"{two.name}: not deployed, because {one.name} failed" in ran.err, ran
    assert pair.running() == before
    assert len(two.releases()) == 1


def test_interrupted_stacks_are_settled_by_the_next_deploy(pair: Several) -> None:
    one, two = pair.shops
    pair.doit("deploy").ok()
    hook = f"touch {one.root}/$ONEVM_STACK.here; sleep 300"
    pair.configure({shop.name: f"hooks = {{ before_deploy = '{hook}' }}" for shop in pair.shops})
    one.write("a/version", "2\n")
    two.write("b/version", "2\n")
    one.commit()
    two.commit()
    run = pair.start("deploy")
    until(lambda: len(list(one.root.glob("*.here"))) == 2, "both are in their hooks")
    run.signal(signal.SIGINT)
    ran = run.wait()
    assert ran.code == 130, ran
    assert "Traceback" not in ran.err
    assert [len(shop.releases()) for shop in pair.shops] == [1, 1]
    # A step that was left running keeps its lock; here it is ended by hand, for it would take minutes.
    for number, line in {**one.processes(), **two.processes()}.items():
        if "sleep 300" in line:
            os.kill(number, signal.SIGKILL)
    pair.configure()
    pair.doit("deploy").ok()
    assert (one.version("a"), two.version("b")) == ("2\n", "2\n")
