"""Pushes that build the same content at once, and pushes that are killed: one digest per service, or a clear word."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.gate import Gate
from tests.integration.registries import Behaviour, Front, Handler, cut, forward, of, running_front
from tests.integration.shop import Ran, Shop, until

pytestmark = pytest.mark.engine

# More than the suite has time for: `ONEVM_TEST_ROUNDS=20 pytest …`.
ROUNDS = int(os.environ.get("ONEVM_TEST_ROUNDS", "2"))
KILLS = int(os.environ.get("ONEVM_TEST_ROUNDS", "3"))
SEED = int(os.environ.get("ONEVM_TEST_SEED", "5"))


def own_bytes(shop: Shop) -> None:
    """Make every build of the same content differ: by an arg that is not in the content key."""
    sections = []
    with shop.compose() as compose:
        for name in shop.built:
            compose["services"][name]["build"]["args"]["RUNNER"] = "${RUNNER:-0}"
            sections.append(f'[stacks.{shop.name}.services.{name}]\nvolatile_args = ["RUNNER"]')
    for name in shop.built:
        shop.dockerfile(name, "ARG RUNNER\nLABEL runner=$RUNNER")
    shop.configure(more="\n".join(sections))


def runner(shop: Shop, folder: Path, number: int, closing: ExitStack, registry: str = "") -> Shop:
    """Return a runner of CI: a fresh clone with a configuration of its own."""
    made = shop.cloned(folder / f"runner{number}", registry=registry)
    closing.callback(made.close)
    made.env["RUNNER"] = str(number)
    sections = (f'[stacks.{shop.name}.services.{name}]\nvolatile_args = ["RUNNER"]' for name in shop.built)
    made.configure(more="\n".join(sections))
    return made


def one_digest_each(shop: Shop, sha: str) -> dict[str, str]:
    """Check that commit, latest and key of every service are the same image; return the digests."""
    found = {}
    for name, tags in shop.all_tags().items():
        digests = {tags.get(sha), tags.get("latest")}
        assert len(digests) == 1, (name, tags)
        (digest,) = digests
        assert digest in shop.keys(name).values(), (name, tags)
        found[name] = str(digest)
    return found


def test_two_pushes_of_one_commit_at_once_end_with_one_digest_per_service(make_shop: MakeShop, tmp_path: Path) -> None:
    shop = make_shop("ab")
    own_bytes(shop)
    shop.commit("Be different")
    with ExitStack() as closing:
        runners = [runner(shop, tmp_path, number, closing) for number in (1, 2)]
        for turn in range(ROUNDS):
            for name in shop.built:
                shop.write(f"{name}/version", f"{name} in round {turn}\n")
            sha = shop.commit(f"Round {turn}")
            for each in runners:
                each.git("pull", "--quiet")
            for running in [each.start("push") for each in runners]:
                running.wait().ok()
            one_digest_each(shop, sha)
            assert {name: len(shop.keys(name)) for name in shop.built} == dict.fromkeys(shop.built, turn + 1)


@contextmanager
def held(front: Front, part: str, until_set: threading.Event) -> Iterator[threading.Event]:
    """Hold a PUT of ours at a front until an event; gives an event that says that it came."""
    came = threading.Event()

    def hold(handler: Handler) -> None:
        came.set()
        assert until_set.wait(120)
        forward(handler)

    before: Behaviour | None = front.always
    front.always = of("onevm", "PUT", part, hold, before or forward)
    yield came


def test_a_key_that_another_run_gives_away_meanwhile_is_noticed(lab: str, make_shop: MakeShop, tmp_path: Path) -> None:
    """The worst order: each sees no image for the key, and the first has its own in hand when the second sets it."""
    shop = make_shop("a")
    own_bytes(shop)
    sha = shop.commit("Be different")
    ended = threading.Event()
    with running_front(lab) as one, running_front(lab) as two, ExitStack() as closing:
        first = runner(shop, tmp_path, 1, closing, one.host)
        second = runner(shop, tmp_path, 2, closing, two.host)
        first_names = closing.enter_context(held(one, f"/manifests/{sha}", ended))
        second_decides = closing.enter_context(held(two, "/manifests/key-", first_names))
        closing.enter_context(held(one, "/manifests/key-", second_decides))
        running = first.start("push")
        late = second.start("push").wait().ok()
        assert first_names.is_set()
        assert running.process.poll() is None
        ended.set()
        early = running.wait().ok()
        assert (early.bakes, late.bakes) == ([["a"]], [["a"]])
        assert len({d for tag, d in shop.tags("a").items() if tag.startswith("building-")}) == 2
        digest = one_digest_each(shop, sha)["a"]
        for said in (early.out, late.out):
            assert f"tagged {sha}" in said
            assert digest in said


def test_what_another_run_left_half_built_is_not_taken_for_ones_own(make_shop: MakeShop, gate: Gate) -> None:
    """Neither is it proven to be made from what its key says, nor is it this run's."""
    shop = make_shop("ab")
    content = (shop.repo / "a" / "version").read_text()
    shop.dockerfile("a", gate.line("a"))
    shop.commit("Build slowly")
    push = shop.start("push")
    gate.wait_for("a")
    shop.write("a/version", "a of a moment later\n")
    gate.open("a")
    assert "inputs changed during the build" in push.wait().err
    assert any(tag.startswith("building-") for tag in shop.tags("a"))
    # Now a is what it was, but its build is cut off by b's failure.
    shop.write("a/version", content)
    shop.dockerfile("b", 'RUN ["/bin/busybox", "false"]')
    with gate.guard:
        gate.opened.clear()
    ran = shop.doit("push")
    assert ran.code == 1, ran
    assert shop.keys("a") == {}


@contextmanager
def dead_from(front: Front, number: int) -> Iterator[threading.Event]:
    """Pass so many requests less one on, and none after that; gives an event that says that it came to that."""
    came, over = threading.Event(), threading.Event()
    begun = len(front.seen)

    def count(handler: Handler) -> None:
        if len(front.seen) - begun < number:
            forward(handler)
            return
        came.set()
        assert over.wait(120)
        cut(handler)

    front.always = count
    try:
        yield came
    finally:
        over.set()
        front.always = None


def killed_at(shop: Shop, front: Front, number: int) -> None:
    """Push, and kill every process of it when so many requests have come: the last one is not answered any more."""
    with dead_from(front, number) as came:
        run = shop.start("push")
        until(lambda: came.is_set() or run.process.poll() is not None, f"request {number}")
        for process in shop.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        run.wait()
        until(lambda: not shop.processes(), "everything is dead")


def deployed_whole_or_not_at_all(shop: Shop, sha: str) -> Ran:
    """Check that a commit is deployed with all its images, or that those are named which it lacks."""
    tags = shop.all_tags()
    missing = [name for name in shop.built if sha not in tags[name]]
    before = shop.running()
    ran = shop.doit("deploy", f"sha={sha}")
    if missing:
        assert ran.code == 1, (missing, ran)
        assert f"no image of {', '.join(missing)} is named by it" in ran.err
        assert f"doit push:{shop.name}" in ran.err
        assert shop.running() == before
    else:
        ran.ok()
        for name in shop.built:
            assert shop.running()[name].image == f"{shop.repository(name)}@{tags[name][sha]}"
            assert shop.version(name) == (shop.repo / name / "version").read_text()
    assert ran.bakes == []
    return ran


def test_a_commit_whose_push_was_killed_is_deployed_whole_or_what_it_lacks_is_named(
    lab: str, make_shop: MakeShop
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - the same ones again with the same seed
    with running_front(lab) as front:
        shop = make_shop("ab", registry=front.host)
        shop.doit("push").ok()
        front.seen.clear()

        def change(text: str) -> str:
            # b stays as it is: it is only named.
            shop.write("a/version", f"a {text}\n")
            return shop.commit(f"Change a: {text}")

        change("before")
        shop.doit("push").ok()
        all_of_it = len(front.seen)
        for turn in range(KILLS):
            sha = change(f"in round {turn}")
            # Somewhere in the first part of a push, somewhere in the second, …
            number = chance.randint(turn * all_of_it // KILLS + 1, (turn + 1) * all_of_it // KILLS)
            killed_at(shop, front, number)
            deployed_whole_or_not_at_all(shop, sha)
        # Whatever was left is taken up from there.
        shop.doit("push").ok()
        one_digest_each(shop, sha)
        assert deployed_whole_or_not_at_all(shop, sha).code == 0
        assert {event["outcome"] for event in shop.audit()} == {"good"}
