"""Rounds of faults: break a deploy or a rollback at a random moment, mend what was broken, deploy once, check.

warm up and measure -> (run, strike, end, mend, deploy, check)... -> what survived, and the longest times
"""

import argparse
import json
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from scripts.campaign.faults import FAULTS, Fault
from scripts.campaign.world import PROBED, World, has_lock, measure, measure_engine, world
from tests.e2e.remote import RemoteShop
from tests.integration.shop import LONGEST_RUN, Ran, Running, until

LEFTOVER_SECONDS = 40
LOCK_WAIT = "lock_wait=30"


@dataclass(kw_only=True)
class Round:
    """What happened in one round.

    Attributes:
        seed: with it, the round can be had again.
        kind: the fault.
        verb: what it struck.
        moment: seconds after the start of the run, or after it took the lock.
        code: what the struck run ended with.
        recovery: seconds that the deploy after it took, until everything was as it should be.
        gap: the longest time without an answer, in seconds.
        struck: whether the run was still going on.
        problems: what was not as it should be.
    """

    seed: int
    kind: str
    verb: str
    moment: str = ""
    code: int | None = None
    recovery: float = 0.0
    gap: float = 0.0
    struck: bool = True
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        ending = "; ".join(self.problems) or "ok"
        late = "" if self.struck else ", too late to strike"
        return (
            f"seed {self.seed:<5} {self.kind:<8} {self.verb:<8} at {self.moment}{late}, exit {self.code}, "
            f"gap {self.gap:.1f} s, recovered in {self.recovery:.1f} s: {ending}"
        )


def play(w: World, seed: int, only: str) -> Round:
    """Play one round; the world is as it should be afterwards if nothing is wrong with Onevm."""
    rng = random.Random(seed)  # noqa: S311 - it must be the same each time
    kind = only or rng.choices(list(FAULTS), [fault.weight for fault in FAULTS.values()])[0]
    fault = FAULTS[kind]
    found = Round(seed=seed, kind=kind, verb=rng.choice(["deploy", "deploy", "rollback"]))
    begin = time.monotonic()
    try:
        _disturbed(w, fault, found, rng)
        recover = time.monotonic()
        _recovered(w, found)
        found.recovery = time.monotonic() - recover
        _check(w, found, begin)
    except (AssertionError, OSError) as error:
        found.problems.append(" ".join(str(error).split())[:1500])
        fault.mend(w)
        w.shop.doit("deploy")
    return found


def _disturbed(w: World, fault: Fault, found: Round, rng: random.Random) -> None:
    if found.verb == "deploy":
        w.shop.change(PROBED, f"b of round {found.seed}, {time.time()}")
        if rng.random() < 0.3:  # noqa: PLR2004
            w.shop.change("a", f"a of round {found.seed}, {time.time()}")
    others = [w.shop.elsewhere(w.shop.folder.parent / f"{time.monotonic_ns()}") for _ in range(fault.others)]
    run = w.shop.start(found.verb)
    locked, whole = w.took[found.verb]
    if rng.random() < 0.3:  # noqa: PLR2004
        seconds, since = rng.uniform(0, whole), "start"
    else:
        until(lambda: has_lock(w) or run.process.poll() is not None, "it has the lock, or has ended", LONGEST_RUN)
        seconds, since = rng.uniform(0, (whole - locked) * 0.9), "lock"
    found.moment = f"{since} + {seconds:.2f} s"
    time.sleep(seconds)
    found.struck = run.process.poll() is None
    fault.strike(w, run)
    more = [other.start("deploy") for other in others]
    found.code = _ended(run, found, killed=fault.kills)
    for one in more:
        code = _ended(one, found)
        if code != 0:
            found.problems.append(f"another deployer ended with {code}: {_last(one)}")
    fault.mend(w)


def _ended(run: Running, found: Round, *, killed: bool = False) -> int:
    ran: Ran = run.wait()
    if "Traceback" in ran.err or (not killed and ran.code not in {0, 1}):
        found.problems.append(f"it ended with {ran.code}: {ran.err[-1500:]}")
    return ran.code


def _last(run: Running) -> str:
    return " ".join(run.err.split())[-400:]


def _recovered(w: World, found: Round) -> None:
    ran = w.shop.doit("deploy", LOCK_WAIT)
    if ran.code != 0:
        found.problems.append(f"the next deploy ended with {ran.code}: {' '.join(ran.err.split())[-700:]}")


def _check(w: World, found: Round, begin: float) -> None:
    problems = found.problems
    now = time.monotonic()
    until(lambda: w.answering(now), "b answers after all")
    found.gap = w.gap(begin, time.monotonic())
    if found.gap > _allowed(w, found):
        # The machine may be slower than when it was measured first.
        measure(w, 1)
    if found.gap > (allowed := _allowed(w, found)):
        problems.append(f"b did not answer for {found.gap:.1f} s; allowed are {allowed:.1f} s")
    problems += _wrong_records(w.shop)
    running = w.shop.running()
    if {c.state for c in running.values()} != {"healthy"}:
        problems.append(f"not healthy: {running}")
    plan = w.shop.doit("plan", "detailed=1")
    if plan.code != 0:
        problems.append(f"there is still something to do: {' '.join((plan.out + plan.err).split())[-500:]}")
    problems += _leftovers(w)


def _allowed(w: World, found: Round) -> float:
    return w.factor * (max(w.recreates) + (w.restart if found.kind == "engine" else 0))


def _wrong_records(shop: RemoteShop) -> list[str]:
    problems = []
    current = shop.current
    images = {name: service["image"] for name, service in current["services"].items()}
    if images != {name: c.image for name, c in shop.running().items()}:
        problems.append(f"current's images are not what runs: {images}")
    if (current["sha"], current["outcome"]) != (shop.sha, "good"):
        problems.append(f"current is {current['id']}, {current['outcome']}, and {shop.sha} is checked out")
    shop.releases()
    for number, line in enumerate((shop.home / "audit.jsonl").read_text().splitlines(), 1):
        try:
            json.loads(line)
        except ValueError:
            problems.append(f"line {number} of audit.jsonl is torn: {line[:80]}")
    return problems


def _leftovers(w: World) -> list[str]:
    problems = []
    try:
        until(lambda: not w.shop.processes(), "nothing is left", LEFTOVER_SECONDS)
    except AssertionError:
        problems.append(f"processes are left: {[line[:150] for line in w.shop.processes().values()]}")
    networks = w.shop.engine("network", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={w.shop.name}")
    if len(networks.split()) != 1:
        problems.append(f"networks: {networks.split()}")
    known = {"audit.jsonl", "current", "lock", "lock.steps", "project", "releases"}
    left = [path.name for path in w.shop.home.iterdir() if path.name not in known]
    left += [path.name for path in (w.shop.home / "releases").iterdir() if not (path / "release.json").exists()]
    left += [str(path) for path in w.shop.home.rglob("*onevm-new")]
    left += [path.name for path in (w.shop.home / "releases").rglob(".release.json")]
    left += _temporary(w.shop.folder / "tmp") + _temporary(w.vm.here("/tmp"))  # noqa: S108 - the VM's
    if left:
        problems.append(f"files are left: {', '.join(sorted(left))}")
    return problems


def _temporary(folder: Path) -> list[str]:
    # The engine's own: runc-process* of health checks.
    return [path.name for path in folder.iterdir() if not path.name.startswith("runc-process")]


def forget(w: World) -> None:
    """After a failed round, start the next one on a clean field."""
    w.vm.heal()
    w.filler.unlink(missing_ok=True)
    for folder in (w.shop.folder / "tmp", w.vm.here("/tmp")):  # noqa: S108
        for path in folder.iterdir():
            if not path.name.startswith("runc-process"):
                shutil.rmtree(path, ignore_errors=True)
    w.shop.doit("deploy")


def main() -> None:
    """Play the rounds; ends with 1 if one was not survived."""
    options = _options()
    # Everything is taken away on every way out.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda number, _: sys.exit(128 + number))
    with world() as w:
        w.factor = options.factor
        measure(w)
        measure_engine(w)
        low, high = min(w.recreates), max(w.recreates)
        print(
            f"undisturbed: replacing b leaves it without an answer for {low:.1f} to {high:.1f} s "
            f"({len(w.recreates)} times), restarting the engine for {w.restart:.1f} s; "
            f"a deploy takes {w.took['deploy'][1]:.1f} s, a rollback {w.took['rollback'][1]:.1f} s",
            flush=True,
        )
        played: list[Round] = []
        for number in range(options.rounds):
            found = play(w, options.seed + number, options.only)
            played.append(found)
            print(found, flush=True)
            if found.problems:
                forget(w)
    survived = [r for r in played if not r.problems]
    worst = max(played, key=lambda r: r.recovery)
    print(f"{len(survived)} of {len(played)} rounds survived; {sum(r.struck for r in played)} struck a run under way")
    print(f"longest recovery {worst.recovery:.1f} s ({worst.kind}), longest gap {max(r.gap for r in played):.1f} s")
    for kind in FAULTS:
        if of_kind := [r for r in played if r.kind == kind]:
            good = sum(not r.problems for r in of_kind)
            longest = max(r.recovery for r in of_kind)
            gap = max(r.gap for r in of_kind)
            print(f"  {kind:<8} {good} of {len(of_kind)}, longest recovery {longest:.1f} s, longest gap {gap:.1f} s")
    sys.exit(0 if len(survived) == len(played) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/faults", description="Break deploys at random moments.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each one after it has the next")
    parser.add_argument("--factor", type=float, default=World.factor, help="how many undisturbed gaps a gap may take")
    parser.add_argument("--only", choices=FAULTS, default="", metavar="KIND", help=", ".join(FAULTS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
