"""Reports to test the page with: a team's fortnight, names that mean harm, and nothing at all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tasks.core import graph, targets
from tasks.core.build import BuildDefinition
from tasks.core.deploys import Deploy
from tasks.core.measured import Measured, Resources
from tasks.core.outage import Outage
from tasks.core.values import replace
from tasks.steps.reporting import Report, StackReport

START = datetime(2026, 3, 2, 8, 14, tzinfo=UTC)
MEGABYTE = 1_000_000
SERVICES = {"backend": 212, "web": 148, "worker": 218, "migrate": 209, "redis": 41}


def deploy(number: int, **changes: object) -> Deploy:
    """Return the deploy of a number: each a little later, and different in a way that is always the same."""
    took = 9.0 + (number * 7 % 5) * 1.3
    changed = {"backend": "start-first"} if number % 3 else {"backend": "start-first", "web": "recreate"}
    before = 5200 + number * 37 % 300
    seconds = {
        "load": 0.6,
        "key": 0.1,
        "lookup": 0.2,
        "bake": took - 6.0,
        "push": 0.7,
        "reach": 0.3,
        "lock": 0.1,
        "look": 0.4,
        "stage": 0.1,
        "pull": 0.9,
        "start": 0.8,
        "healthy": 1.1,
        "drain": 0.6,
        "verify": 0.1,
        "record": 0.1,
    }
    one = Deploy(
        stack="notes",
        kind="deploy",
        outcome="good",
        when=(START + timedelta(hours=number * 19.5)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        release=f"2026-{number:02}",
        sha=f"{number * 7919 + 0xA1B2C:07x}" + "0" * 33,
        performer="mara@desk",
        first=number == 0,
        seconds=seconds,
        outage={"verify": Outage(requests=60 + number, failed=0, longest_gap=0.1 + (number % 4) * 0.06)},
        measured=Measured(
            took=took,
            services={name: {"key": 0.01, "bake": 2.4, "pull": 0.9, "start": 0.8, "healthy": 1.1} for name in changed},
            built=tuple(changed),
            changed=changed,
            pushed_bytes=3 * MEGABYTE,
            pulled_bytes=3 * MEGABYTE,
            sizes={name: (size - number * (3 if name == "web" else 0)) * MEGABYTE for name, size in SERVICES.items()},
            resources=Resources(
                memory=8_300 * MEGABYTE,
                memory_before=before * MEGABYTE,
                memory_peak=(before + 90 + number * 13 % 70) * MEGABYTE,
                disk_free_before=31_000 * MEGABYTE,
                disk_free_lowest=(30_900 - 40 * number) * MEGABYTE,
            ),
        ),
        why={name: f"{name}/src/app.ts changed" for name in changed},
        recorded=True,
    )
    return replace(one, **changes)


def rollback(number: int) -> Deploy:
    """Return the rollback of a number: nothing is built for it."""
    one = deploy(number, kind="rollback", performer="jo@laptop", why={})
    assert one.measured
    seconds = {name: value for name, value in one.seconds.items() if name not in {"key", "lookup", "bake", "push"}}
    return replace(one, seconds=seconds, measured=replace(one.measured, took=5.4, built=(), pushed_bytes=0))


def definition(service: str, *contexts: str, bases: tuple[str, ...] = ()) -> BuildDefinition:
    """Return the build definition of a service."""
    named = tuple((Path(context).name, context) for context in contexts)
    return BuildDefinition(stack="notes", service=service, context=f"/repo/{service}", contexts=named, bases=bases)


def fortnight() -> Report:
    """Return the report of a stack with sixteen deploys, a failed one and a rollback among them."""
    failed = deploy(9, outcome="failed", reason="notes.backend is unhealthy", performer="jo@laptop")
    back = rollback(10)
    found = [failed if n == 9 else back if n == 10 else deploy(n) for n in range(16)]
    definitions = {
        "base": definition("base"),
        "backend": definition("backend", bases=("base",)),
        "worker": definition("worker", bases=("base",)),
        "migrate": definition("migrate"),
        "web": definition("web"),
    }
    sources = {name: (name, "packages/shared") if name in {"web", "base"} else (name,) for name in definitions}
    notes = dict.fromkeys([*definitions, "redis"], "fresh, untouched")
    notes |= {"backend": "built in 2.4 s, replaced, start-first", "web": "built in 2.4 s, replaced"}
    notes |= {"redis": "external, untouched"}
    stack = StackReport(
        name="notes",
        host="prod",
        current=found[-1].release,
        deploys=(*found, deploy(16, outcome="unchanged", release="", measured=Measured(took=0.8))),
        graph=graph.picture(definitions, ["redis"], sources, stale=frozenset({"backend", "web"}), notes=notes),
    )
    return Report(stacks=(stack,), targets=targets.table(stack.deploys))


def empty() -> Report:
    """Return the report of a stack that was never deployed."""
    picture = graph.picture({"web": definition("web")}, [], {"web": ("web",)}, stale=frozenset(), notes={})
    stack = StackReport(name="notes", host="prod", current="", deploys=(), graph=picture)
    return Report(stacks=(stack,), targets=targets.table([]))


def hostile(text: str) -> Report:
    """Return a report in which everything that others may name is a text."""
    cost = Measured(took=1, services={text: {"bake": 1.0}}, built=(text,), changed={text: text}, sizes={text: 1})
    one = deploy(1, sha=text, performer=text, reason=text, outcome="failed", why={text: text}, measured=cost)
    one = replace(one, release=text, outage={text: Outage(requests=1, failed=1, longest_gap=1.0)})
    named = BuildDefinition(stack="notes", service=text, context=text)
    picture = graph.picture({text: named}, [text], {text: (text,)}, stale=frozenset({text}), notes={text: text})
    stack = StackReport(name=text, host=text, current=text, deploys=(one,), graph=picture, notes=(text,))
    return Report(stacks=(stack,), targets=targets.table([one]))
