"""A service behind Caddy is replaced under load: no request fails, whatever becomes of the new version."""

import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.load import Load, running_load
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


@dataclass(frozen=True)
class Counter:
    """The shop with a proxy in front of a."""

    shop: Shop
    port: int

    def change(self, text: str, command: list[str] | None = None) -> None:
        if command:
            self.shop.dockerfile("a", CGI, command)
        else:
            self.shop.dockerfile("a", CGI)
        self.shop.write("a/version", f"{text}\n")
        self.shop.commit(f"Serve {text}")

    def copies(self) -> list[Container]:
        return [c for c in self.shop.containers() if c.service == "a"]

    @property
    def asked(self) -> str:
        return (self.shop.home / "project" / "upstreams" / "a").read_text()

    def up_again(self) -> str:
        """Run the line that starts the release without Onevm; what it says."""
        (stack,) = self.shop.doit("status", "format=json").ok().json["stacks"]
        done = subprocess.run(shlex.split(stack["compose"]), capture_output=True, text=True, check=True, timeout=60)
        return done.stdout + done.stderr

    def settled(self, text: str, replicas: int = 1) -> None:
        """Fail unless all is as after an undisturbed deploy of a version."""
        copies = self.copies()
        assert [c.state for c in copies] == ["healthy"] * replicas, copies
        assert {self.shop.engine("exec", c.id, "cat", "/www/version").strip() for c in copies} == {text}
        assert self.asked.startswith("a-"), self.asked
        ids = {c.id for c in self.shop.containers()}
        self.up_again()
        assert {c.id for c in self.shop.containers()} == ids
        (stack,) = self.shop.doit("status", "format=json").ok().json["stacks"]
        assert [row["drift"] for row in stack["services"]] == [""] * (2 + replicas)


@pytest.fixture
def counter(make_shop: MakeShop) -> Counter:
    shop = make_shop("ae")
    port = free_port()
    shop.write("caddy/Caddyfile", CADDYFILE)
    shop.write("a/slow", SLOW)
    with shop.compose() as compose:
        compose["services"]["p"] = {
            "image": f"{lab_registry()}/base/caddy:2",
            "ports": [f"127.0.0.1:{port}:8000"],
            "volumes": ["./caddy:/etc/caddy:ro", "./upstreams:/upstreams:ro"],
            "stop_grace_period": "1s",
            "healthcheck": {"test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/version"], **FAST},
        }
    address = f"http://127.0.0.1:{port}/version"
    shop.configure('files = ["caddy"]', f'[stacks.{shop.name}.services.a]\ndrain = 2\nprobe = "{address}"\n')
    found = Counter(shop, port)
    found.change("one")
    shop.doit("deploy").ok()
    return found


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
    before = counter.shop.running()
    counter.change("two")
    (operation,) = [
        op
        for op in counter.shop.doit("plan", "format=json").json["stacks"][0]["operations"]
        if op["verb"] == "recreate"
    ]
    assert (operation["service"], operation["rollout"]) == ("a", "start-first")
    assert operation["reason"] == "a proxy in front reads upstreams/a"
    counter.shop.doit("deploy").ok()
    noticed = counter.shop.current["outage"]["a"]
    assert noticed["failed"] == 0
    assert noticed["requests"] > 0
    load.more()
    after = counter.shop.running()
    assert {name for name in after if after[name] != before[name]} == {"a"}
    assert load.versions == ["one", "two"]
    counter.settled("two")
    counter.shop.doit("rollback").ok()
    load.more()
    counter.settled("one")


def test_one_that_never_gets_healthy_is_never_asked(counter: Counter, load: Load) -> None:
    with counter.shop.compose() as compose:
        compose["services"]["a"]["healthcheck"]["retries"] = 2
    before = counter.shop.running()
    counter.change("two", ["sh", "-c", "echo 'I look at the wall'; trap 'exit 0' TERM; sleep 600 & wait"])
    ran = counter.shop.doit("deploy")
    assert ran.code == 1, ran
    assert "I look at the wall" in ran.err
    assert counter.shop.running() == before
    assert load.versions == ["one"]


def test_one_that_dies_while_the_old_one_drains_is_asked_no_more(counter: Counter, load: Load) -> None:
    before = counter.shop.running()
    counter.change("two", ["sh", "-c", "httpd -p 8000 -h /www; sleep 4; exit 7"])
    ran = counter.shop.doit("deploy")
    assert ran.code == 1, ran
    assert "exit" in ran.err
    assert counter.shop.running() == before
    load.failed[:] = [line for line in load.failed if not _reached_the_dead(line)]
    load.more()


def _reached_the_dead(line: str) -> bool:
    # What the new one had begun to answer when it died cannot be had again; Caddy says so.
    return line.startswith(("POST /cgi-bin/slow: 502", "POST /cgi-bin/slow: 503"))


@pytest.mark.parametrize("moment", ["starting beside", "draining", "stopping"])
def test_a_killed_deploy_is_settled_by_the_next_one(counter: Counter, load: Load, moment: str) -> None:
    counter.change("two")
    deploy = counter.shop.start("deploy")
    until(lambda: moment in deploy.out, moment)
    deploy.signal(signal.SIGKILL)
    deploy.wait()
    load.more()
    counter.change("three")
    counter.shop.doit("deploy").ok()
    load.more()
    counter.settled("three")
    assert load.versions[-1] == "three"


def test_a_killed_deploy_is_settled_by_a_rollback(counter: Counter, load: Load) -> None:
    counter.change("two")
    counter.shop.doit("deploy").ok()
    counter.change("three")
    deploy = counter.shop.start("deploy")
    until(lambda: "draining" in deploy.out, "the old one drains")
    deploy.signal(signal.SIGKILL)
    deploy.wait()
    counter.shop.doit("rollback").ok()
    load.more()
    counter.settled("one")


def test_two_replicas_are_replaced(counter: Counter, load: Load) -> None:
    with counter.shop.compose() as compose:
        compose["services"]["a"]["deploy"] = {"replicas": 2}
    counter.shop.commit("Open a second till")
    counter.shop.doit("deploy").ok()
    counter.settled("one", 2)
    counter.change("two")
    counter.shop.doit("deploy").ok()
    load.more()
    counter.settled("two", 2)
    assert load.versions == ["one", "two"]


def test_replaced_in_place_requests_wait(counter: Counter, load: Load) -> None:
    counter.shop.configure('files = ["caddy"]', f'[stacks.{counter.shop.name}.services.a]\nrollout = "recreate"\n')
    counter.change("two")
    counter.shop.doit("deploy").ok()
    load.more()
    counter.settled("two")
    # Who was being answered when the old one stopped has lost that answer.
    load.failed[:] = [line for line in load.failed if not line.startswith("POST")]


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
