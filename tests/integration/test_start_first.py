"""A service behind Caddy is replaced under load: no request fails, whatever becomes of the new version."""

import json
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.load import CLIENTS, Load, running_load
from tests.integration.registries import free_port
from tests.integration.shop import Container, Ran, Shop, lab_registry, until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]

CADDYFILE = """{
	auto_https off
	persist_config off
}
:8000 {
	reverse_proxy {
		dynamic a {
			name {file./upstreams/a}
			port 8000
			refresh 1s
		}
		lb_try_duration 10s
		lb_try_interval 100ms
	}
}
"""
# It is slower than any switch, and answers with the version it was asked of.
SLOW = "#!/bin/sh\nsleep 1\nprintf 'Content-Type: text/plain\\n\\n'\ncat /www/version\n"
CGI = "COPY --chmod=755 slow /www/cgi-bin/slow\n"


@dataclass
class Counter:
    """The shop with a proxy in front of a; `serving` is the version that is asked."""

    shop: Shop
    port: int
    serving: str = ""
    number: int = 0

    def change(self, command: list[str] | None = None) -> str:
        """Commit a new version of a; its text."""
        self.number += 1
        text = f"version {self.number}"
        if command:
            self.shop.dockerfile("a", CGI, command)
        else:
            self.shop.dockerfile("a", CGI)
        self.shop.write("a/version", f"{text}\n")
        self.shop.commit(f"Serve {text}")
        return text

    def configure(self, **more: object) -> None:
        """Write services.toml with more for a's section."""
        settings = {"drain": 2, "probe": f"http://127.0.0.1:{self.port}/version", **more}
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items())
        self.shop.configure('files = ["caddy"]', f"[stacks.{self.shop.name}.services.a]\n{lines}\n")

    def copies(self) -> list[Container]:
        return [c for c in self.shop.containers() if c.service == "a"]

    @property
    def asked(self) -> str:
        return (self.shop.home / "project" / "upstreams" / "a").read_text()

    def settled(self, text: str, replicas: int = 1) -> None:
        """Fail unless all is as after an undisturbed deploy of a version, for plain Compose too."""
        copies = self.copies()
        assert [c.state for c in copies] == ["healthy"] * replicas, copies
        assert {self.shop.engine("exec", c.id, "cat", "/www/version").strip() for c in copies} == {text}
        assert self.asked.startswith("a-"), self.asked
        (stack,) = self.shop.doit("status", "format=json").ok().json["stacks"]
        assert [row["drift"] for row in stack["services"]] == [""] * (2 + replicas)
        ids = {c.id for c in self.shop.containers()}
        subprocess.run(shlex.split(stack["compose"]), capture_output=True, check=True, timeout=60)
        assert {c.id for c in self.shop.containers()} == ids


@pytest.fixture(scope="module")
def opened(make_shared_shop: MakeShop) -> Counter:
    """Give the shop, open for customers."""
    shop = make_shared_shop("ae")
    found = Counter(shop, free_port())
    shop.write("caddy/Caddyfile", CADDYFILE)
    shop.write("a/slow", SLOW)
    with shop.compose() as compose:
        compose["services"]["a"]["healthcheck"]["retries"] = 3
        compose["services"]["p"] = {
            "image": f"{lab_registry()}/base/caddy:2",
            "ports": [f"127.0.0.1:{found.port}:8000"],
            "volumes": ["./caddy:/etc/caddy:ro", "./upstreams:/upstreams:ro"],
            "stop_grace_period": "1s",
            "healthcheck": {"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/version"], **FAST},
        }
    found.configure()
    found.change()
    return found


@pytest.fixture
def counter(opened: Counter) -> Counter:
    """Give it with nothing to do."""
    opened.configure()
    opened.shop.doit("deploy").ok()
    opened.serving = (opened.shop.repo / "a" / "version").read_text().strip()
    return opened


FAST = {"interval": "1s", "timeout": "3s", "retries": 10}


@pytest.fixture
def load(counter: Counter) -> Iterator[Load]:
    with running_load(counter.port) as found:
        found.more()
        yield found
        found.more()
    assert found.failed == []
    assert found.slow > 0


def test_no_request_fails_and_the_old_one_is_gone(counter: Counter, load: Load) -> None:
    before, first = counter.shop.running(), counter.serving
    second = counter.change()
    (stack,) = counter.shop.doit("plan", "format=json").ok().json["stacks"]
    (operation,) = [op for op in stack["operations"] if op["verb"] == "recreate"]
    assert (operation["service"], operation["rollout"]) == ("a", "start-first")
    assert stack["rollouts"]["a"] == {"kind": "start-first", "reason": "a proxy in front reads upstreams/a"}
    assert stack["rollouts"]["p"]["reason"].startswith("it publishes the host's port")
    counter.shop.doit("deploy").ok()
    noticed = counter.shop.current["outage"]["a"]
    assert noticed["failed"] == 0
    assert noticed["requests"] > 0
    load.more()
    after = counter.shop.running()
    assert {name for name in after if after[name] != before[name]} == {"a"}
    assert load.versions == [first, second]
    counter.settled(second)
    counter.shop.doit("rollback").ok()
    load.more()
    counter.settled(first)


def test_one_that_never_gets_healthy_is_never_asked(counter: Counter, load: Load) -> None:
    before, serving = counter.shop.running(), [counter.serving]
    counter.change(["sh", "-c", "echo 'I look at the wall'; trap 'exit 0' TERM; sleep 600 & wait"])
    ran = counter.shop.doit("deploy")
    assert ran.code == 1, ran
    assert "I look at the wall" in ran.err
    assert counter.shop.running() == before
    load.more()
    assert load.versions == serving
    counter.change()


def test_one_that_dies_while_the_old_one_drains_is_asked_no_more(counter: Counter, load: Load) -> None:
    before = counter.shop.running()
    counter.configure(drain=60)
    counter.change()
    deploy = counter.shop.start("deploy")
    until(lambda: "draining" in deploy.out, "the old one drains")
    (new,) = [c for c in counter.copies() if c.id != before["a"].id]
    counter.shop.engine("kill", new.id)
    ran = deploy.wait()
    assert ran.code == 1, ran
    assert "after it was healthy" in ran.err
    assert counter.shop.running() == before
    # What the new one had begun to answer when it was killed cannot be had again; Caddy says so.
    load.failed[:] = [line for line in load.failed if not line.startswith("POST /cgi-bin/slow: 502")]
    counter.change()


def test_an_interrupted_deploy_ends_at_once_and_leaves_both(counter: Counter, load: Load) -> None:
    before = counter.shop.running()
    text = counter.change()
    counter.configure(drain=60)
    deploy = counter.shop.start("deploy")
    until(lambda: "draining" in deploy.out, "the old one drains")
    deploy.signal(signal.SIGINT)
    assert deploy.wait().code == 130
    # It did not wait for the drain to end, and took nothing away.
    assert before["a"].id in {c.id for c in counter.copies()}
    # A slow answer of the old one's may still come after the first of the new one's; then no more of them.
    load.served(text)


@pytest.mark.parametrize(("moment", "verb"), [("starting beside", "deploy"), ("draining", "rollback")])
def test_a_killed_deploy_is_settled_by_the_next_run(counter: Counter, load: Load, moment: str, verb: str) -> None:
    settled = counter.change()
    counter.shop.doit("deploy").ok()
    counter.change()
    counter.configure(drain=60)
    deploy = counter.shop.start("deploy")
    until(lambda: moment in deploy.out, moment)
    deploy.signal(signal.SIGKILL)
    deploy.wait()
    load.more()
    counter.configure()
    if verb == "deploy":
        settled = counter.change()
        counter.shop.doit("deploy").ok()
    else:
        # The release that was cut off is no release; the one before it is what runs, and stays.
        counter.shop.doit("deploy", f"sha={counter.shop.git('rev-parse', 'HEAD~1')}").ok()
    load.served(settled)
    counter.settled(settled)


def test_replaced_in_place_requests_wait(counter: Counter, load: Load) -> None:
    counter.configure(rollout="recreate")
    text = counter.change()
    counter.shop.doit("deploy").ok()
    load.more()
    counter.settled(text)
    assert counter.shop.current["outage"]["a"]["longest_gap"] > 0
    # Each client that was being answered when the old one stopped has lost that answer, and no other.
    assert len(load.failed) <= CLIENTS, load.failed
    load.failed.clear()


def test_a_copy_that_does_not_fit_is_replaced_in_place_or_refused_with_the_figures(counter: Counter) -> None:
    before = counter.shop.containers()
    with counter.shop.compose() as compose:
        compose["services"]["a"]["mem_limit"] = "4096g"
    (stack,) = counter.shop.doit("plan", "format=json").ok().json["stacks"]
    assert stack["rollouts"]["a"]["kind"] == "recreate"
    assert stack["rollouts"]["a"]["reason"].startswith("a copy beside it may take 4398046 MB, and the host has ")
    counter.configure(rollout="start-first")
    for verb in ("plan", "deploy"):
        ran = counter.shop.doit(verb)
        assert ran.code == 1, ran
        assert f"{counter.shop.name}.a: a copy beside it may take 4398046 MB" in ran.err
    assert counter.shop.containers() == before
    counter.shop.git("checkout", "-q", ".")


def test_two_replicas_are_replaced(counter: Counter, load: Load) -> None:
    with counter.shop.compose() as compose:
        compose["services"]["a"]["deploy"] = {"replicas": 2}
    counter.shop.commit("Open a second till")
    counter.shop.doit("deploy").ok()
    text = counter.change()
    counter.shop.doit("deploy").ok()
    load.more()
    counter.settled(text, 2)


def refused(ran: Ran, words: str) -> None:
    assert ran.code == 3, ran
    assert words in " ".join(ran.err.split()), ran


def test_a_start_first_that_cannot_be_done_is_refused_before_anything_is_touched(make_shop: MakeShop) -> None:
    shop = make_shop("ae")
    with shop.compose() as compose:
        compose["services"]["a"]["container_name"] = f"{shop.name}-only"
    shop.commit("Give a a name")
    shop.configure("", f'[stacks.{shop.name}.services.a]\nrollout = "start-first"\n')
    for verb in ("plan", "deploy"):
        refused(shop.doit(verb), f"start-first cannot be done: container_name: {shop.name}-only can be taken only once")
    assert shop.containers() == []
