"""Desired against observed, as the plan's text."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.compose import ComposeService, parse
from tasks.core.model import Stack
from tasks.core.networks import Renewal
from tasks.core.observed import Container, Observed
from tasks.core.plan import Plan
from tasks.core.reconcile import Desired, reconcile
from tasks.core.rollout import Rollout
from tasks.core.values import replace

STACK = Stack(name="shop", path=Path("/shop"), compose=("compose.yaml",), host="local")
WEB = "r/shop-web@sha256:" + "1" * 64
WEB2 = "r/shop-web@sha256:" + "2" * 64
REDIS = "redis@sha256:" + "3" * 64
LONG_LIVED = {"restart": "unless-stopped"}


def services(**definitions: dict[str, Any]) -> dict[str, ComposeService]:
    return parse(STACK, {"services": definitions}, frozenset(definitions)).services


def running(service: str = "web", image: str = WEB, number: int = 1, **more: Any) -> Container:
    plain = Container(
        id=f"{service}{number}",
        name=f"shop-{service}-{number}",
        service=service,
        image=image,
        config_hash="h1",
        state="running",
        health="",
        exit_code=0,
        restarts=0,
        started="",
    )
    return replace(plain, **more)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A desired state, an observed one, and the text of the plan between them."""

    plan: str
    services: dict[str, ComposeService] = field(default_factory=lambda: services(web=LONG_LIVED))
    desired: dict[str, Desired] = field(default_factory=lambda: {"web": Desired(image=WEB, config_hash="h1")})
    containers: tuple[Container, ...] = ()
    images: frozenset[str] = frozenset({WEB})
    only: frozenset[str] | None = None
    renewed: dict[str, Renewal] = field(default_factory=dict)


NOTHING = "shop: nothing to do"
CASES = {
    "nothing runs": Case(plan="shop:\n  create web: no container yet"),
    "nothing runs and nothing is pulled": Case(
        images=frozenset(),
        plan="shop:\n  pull web: the host does not have this digest\n  create web: no container yet",
    ),
    "all is well": Case(containers=(running(),), plan=NOTHING),
    "no services at all": Case(services={}, desired={}, plan=NOTHING),
    "another image": Case(
        desired={"web": Desired(image=WEB2, config_hash="h1")},
        containers=(running(),),
        images=frozenset({WEB, WEB2}),
        plan="shop:\n  recreate web (recreate): image shop-web@111111111111 -> shop-web@222222222222",
    ),
    "another image that git explains": Case(
        desired={"web": Desired(image=WEB2, config_hash="h2", why="web/app.py changed")},
        containers=(running(),),
        plan=("shop:\n  pull web: the host does not have this digest\n  recreate web (recreate): web/app.py changed"),
    ),
    "a tag instead of a digest": Case(
        containers=(running(image="shop-web:latest"),),
        plan="shop:\n  recreate web (recreate): image shop-web:latest -> shop-web@111111111111",
    ),
    "an image that no registry knows is not pulled": Case(
        desired={"web": Desired(image="mine:dev", config_hash="h1")},
        containers=(running(image="mine:dev"),),
        plan=NOTHING,
    ),
    "another configuration": Case(
        desired={"web": Desired(image=WEB, config_hash="h2")},
        containers=(running(),),
        plan="shop:\n  recreate web (recreate): its configuration changed",
    ),
    "started by hand": Case(
        containers=(running(config_hash=""),),
        plan="shop:\n  recreate web (recreate): its container was not made by Onevm",
    ),
    "an image still to be built": Case(
        desired={"web": Desired(image=None, config_hash=None)},
        containers=(running(),),
        plan="shop:\n  recreate web (recreate): its image will be built",
    ),
    "an image still to be built, with a reason": Case(
        desired={"web": Desired(image=None, config_hash=None, why="web/app.py changed")},
        containers=(running(),),
        plan="shop:\n  recreate web (recreate): web/app.py changed",
    ),
    "an image still to be built for a service that never ran": Case(
        desired={"web": Desired(image=None, config_hash=None, why="web/app.py changed")},
        plan="shop:\n  create web: no container yet",
    ),
    "unhealthy is not different": Case(containers=(running(health="unhealthy"),), plan=NOTHING),
    "exited": Case(
        containers=(running(state="exited", exit_code=1),),
        plan="shop:\n  start web: shop-web-1 is exited (1)",
    ),
    "stopped by hand": Case(
        containers=(running(state="exited", exit_code=0),),
        plan="shop:\n  start web: shop-web-1 is exited (0)",
    ),
    "created and never started": Case(
        containers=(running(state="created"),), plan="shop:\n  start web: shop-web-1 is created"
    ),
    "dead": Case(containers=(running(state="dead"),), plan="shop:\n  start web: shop-web-1 is dead"),
    "a one-shot that ended well stays ended": Case(
        services=services(web={}), containers=(running(state="exited"),), plan=NOTHING
    ),
    "a one-shot that failed is started again": Case(
        services=services(web={}),
        containers=(running(state="exited", exit_code=2),),
        plan="shop:\n  start web: shop-web-1 is exited (2)",
    ),
    "a one-shot with another image runs again": Case(
        services=services(web={}),
        desired={"web": Desired(image=WEB2, config_hash="h1")},
        containers=(running(state="exited"),),
        images=frozenset({WEB2}),
        plan="shop:\n  recreate web (recreate): image shop-web@111111111111 -> shop-web@222222222222",
    ),
    "too few replicas": Case(
        services=services(web={"deploy": {"replicas": 3}}),
        containers=(running(), running(number=2)),
        plan="shop:\n  start web: 2 of 3 replicas exist",
    ),
    "too many replicas": Case(
        containers=(running(), running(number=2)), plan="shop:\n  start web: 2 of 1 replicas exist"
    ),
    "one replica differs": Case(
        services=services(web={"scale": 2}),
        containers=(running(), running(number=2, config_hash="h0")),
        plan="shop:\n  recreate web (recreate): its configuration changed",
    ),
    "no replicas wanted and none there": Case(services=services(web={"deploy": {"replicas": 0}}), plan=NOTHING),
    "no replicas wanted and one there": Case(
        services=services(web={"deploy": {"replicas": 0}}),
        containers=(running(),),
        plan="shop:\n  start web: 1 of 0 replicas exist",
    ),
    "an orphan": Case(
        containers=(running(), running("old", image=REDIS)),
        plan="shop:\n  remove shop-old-1: service old is no longer in the Compose files",
    ),
    "an orphan is left alone when services are named": Case(
        containers=(running(), running("old", image=REDIS)), only=frozenset({"web"}), plan=NOTHING
    ),
    "only what is named": Case(
        services=services(web=LONG_LIVED, redis={}),
        desired={"web": Desired(image=WEB, config_hash="h1"), "redis": Desired(image=REDIS, config_hash="h")},
        images=frozenset(),
        only=frozenset({"redis"}),
        plan="shop:\n  pull redis: the host does not have this digest\n  create redis: no container yet",
    ),
    "a one-off run is nobody's orphan and no replica": Case(
        containers=(running(), running(number=2, one_off=True), running("gone", one_off=True)), plan=NOTHING
    ),
    "a killed deploy left a new container": Case(
        containers=(running(), running(name="0123456789ab_shop-web-1", state="created", config_hash="h0")),
        plan="shop:\n  sweep 0123456789ab_shop-web-1: left behind by a deploy that was killed",
    ),
    "a killed deploy left nothing but the old one under another name": Case(
        containers=(running(name="0123456789ab_shop-web-1", state="exited"),),
        plan=(
            "shop:\n  sweep 0123456789ab_shop-web-1: left behind by a deploy that was killed\n"
            "  create web: no container yet"
        ),
    ),
    "who lives in a replaced container is replaced with it, whoever is named": Case(
        services=services(
            web=LONG_LIVED,
            side={**LONG_LIVED, "network_mode": "service:web"},
            files={**LONG_LIVED, "volumes_from": ["side:ro"]},
        ),
        desired={
            "web": Desired(image=WEB, config_hash="h2"),
            "side": Desired(image=REDIS, config_hash="h1"),
            "files": Desired(image=REDIS, config_hash="h1"),
        },
        containers=(running(), running("side", image=REDIS, state="exited"), running("files", image=REDIS)),
        images=frozenset({WEB, REDIS}),
        only=frozenset({"web", "side"}),
        plan=(
            "shop:\n  recreate files (recreate): it lives in web's container\n"
            "  recreate side (recreate): it lives in web's container\n"
            "  recreate web (recreate): its configuration changed"
        ),
    ),
    "who lives in a replaced container and differs anyway is listed once": Case(
        services=services(web=LONG_LIVED, side={**LONG_LIVED, "pid": "service:web"}),
        desired={"web": Desired(image=WEB, config_hash="h2"), "side": Desired(image=REDIS, config_hash="h2")},
        containers=(running(), running("side", image=REDIS)),
        images=frozenset({WEB, REDIS}),
        plan=(
            "shop:\n  recreate side (recreate): its configuration changed\n"
            "  recreate web (recreate): its configuration changed"
        ),
    ),
    "who is in a network that is made anew is replaced in place, and who lives in it goes along": Case(
        services=services(
            web={**LONG_LIVED, "networks": {"back": None}},
            side={**LONG_LIVED, "network_mode": "service:web"},
            redis={**LONG_LIVED, "networks": {"default": None}},
        ),
        desired={
            "web": Desired(image=WEB, config_hash="h1", rollout=Rollout(kind="start-first", reason="")),
            "side": Desired(image=REDIS, config_hash="h1"),
            "redis": Desired(image=REDIS, config_hash="h1"),
        },
        containers=(running(), running("side", image=REDIS), running("redis", image=REDIS)),
        images=frozenset({WEB, REDIS}),
        renewed={"back": Renewal("shop_back", "internal false -> true")},
        plan=(
            "shop:\n  renew shop_back: internal false -> true; what is in it stops meanwhile\n"
            "  recreate side (recreate): it lives in web's container\n"
            "  recreate web (recreate): its network back is made anew"
        ),
    ),
    "a network of which nobody is left is made anew for those who come": Case(
        services=services(web={**LONG_LIVED, "networks": {"back": None}}),
        renewed={"back": Renewal("shop_back", "driver bridge -> macvlan")},
        plan=(
            "shop:\n  renew shop_back: driver bridge -> macvlan; what is in it stops meanwhile\n"
            "  create web: no container yet"
        ),
    ),
    "another network and another volume under the same key": Case(
        desired={
            "web": Desired(
                image=WEB,
                config_hash="h2",
                rollout=Rollout(kind="start-first", reason=""),
                networks={"back": "lan", "default": "shop_default"},
                volumes={"data": "shop_data", "logs": "shop_logs"},
            )
        },
        containers=(
            running(
                networks=frozenset({"shop_back", "shop_default"}), volumes=frozenset({"old_data", "shop_logs", "ab12"})
            ),
        ),
        plan="shop:\n  recreate web (recreate): its network back is now lan, its volume data is now shop_data",
    ),
    "what was left is swept even if other services are named": Case(
        services=services(web=LONG_LIVED, redis={}),
        containers=(running(), running("redis", name="0123456789ab_shop-redis-1", state="created")),
        only=frozenset({"web"}),
        plan="shop:\n  sweep 0123456789ab_shop-redis-1: left behind by a deploy that was killed",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_plan_from_observed_to_desired(name: str) -> None:
    case = CASES[name]
    observed = Observed(containers=case.containers, images=case.images)
    assert str(reconcile("shop", case.services, case.desired, observed, only=case.only, renewed=case.renewed)) == (
        case.plan
    )


def carried_out(plan: Plan, known: dict[str, ComposeService], wanted: dict[str, Desired], before: Observed) -> Observed:
    """What a host has after a plan: the operations' own promises, nothing else."""
    gone = plan.services("sweep", "remove")
    again = plan.services("create", "recreate", "start")
    kept = [c for c in before.containers if c.name not in gone and (c.service not in again or c.one_off)]
    new = [
        running(name, wanted[name].image or "", number, config_hash=wanted[name].config_hash)
        for name in sorted(again)
        for number in range(1, known[name].replicas + 1)
    ]
    images = {wanted[name].image or "" for name in plan.services("pull")}
    return Observed(containers=(*kept, *new), images=before.images | images)


NAMES = ["web", "redis", "job"]
containers = st.builds(
    running,
    service=st.sampled_from([*NAMES, "gone"]),
    image=st.sampled_from([WEB, WEB2, REDIS]),
    number=st.integers(1, 3),
    state=st.sampled_from(["running", "exited", "created", "restarting", "dead"]),
    exit_code=st.integers(0, 1),
    config_hash=st.sampled_from(["", "h1", "h2"]),
    one_off=st.booleans(),
    name=st.one_of(st.builds("shop-x-{}".format, st.integers(1, 9)), st.just("0123456789ab_shop-x-1")),
)
definitions = st.fixed_dictionaries({}, optional={"scale": st.integers(0, 3), "restart": st.just("always")})
wishes = st.builds(Desired, image=st.sampled_from([WEB, WEB2, REDIS]), config_hash=st.sampled_from(["h1", "h2"]))


@given(
    st.dictionaries(st.sampled_from(NAMES), st.tuples(definitions, wishes)),
    st.lists(containers, max_size=8, unique_by=lambda c: c.name),
    st.frozensets(st.sampled_from([WEB, WEB2, REDIS])),
)
def test_a_plan_carried_out_leaves_nothing_to_do(
    wanted: dict[str, tuple[dict[str, Any], Desired]], found: list[Container], images: frozenset[str]
) -> None:
    known = services(**{name: definition for name, (definition, _) in wanted.items()})
    desired = {name: wish for name, (_, wish) in wanted.items()}
    # A container that a killed deploy left and that runs is nobody's: see the engine's tests.
    before = Observed(containers=tuple(c for c in found if not (c.is_leftover and c.state == "running")), images=images)
    plan = reconcile("shop", known, desired, before)
    after = carried_out(plan, known, desired, before)
    assert str(reconcile("shop", known, desired, after)) == NOTHING
    assert all(op.cause for op in plan.operations)


@given(st.lists(containers, max_size=6))
def test_services_that_are_not_named_are_not_touched(found: list[Container]) -> None:
    known = services(web={}, redis={}, job={})
    desired = {name: Desired(image=WEB, config_hash="h1") for name in known}
    plan = reconcile("shop", known, desired, Observed(containers=tuple(found)), only=frozenset({"web"}))
    assert {op.service for op in plan.operations if op.verb != "sweep"} <= {"web"}
