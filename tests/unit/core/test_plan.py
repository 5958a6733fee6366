"""A plan reads as a list of steps, each with its cause."""

from typing import get_args

from tasks.core.plan import MOST_NAMED, Operation, Plan, Verb, ordered, summed


def test_an_empty_plan_says_so() -> None:
    assert str(Plan(stack="shop")) == "shop: nothing to do"
    assert not Plan(stack="shop", notes=("by the way",))


def test_a_plan_shows_each_operation_with_its_cause() -> None:
    plan = Plan(
        stack="shop",
        operations=(
            Operation(verb="pull", service="web", cause="the host does not have this digest"),
            Operation(verb="recreate", service="web", cause="web/app.py changed", rollout="start-first"),
        ),
    )
    assert plan
    assert str(plan) == (
        "shop:\n  pull web: the host does not have this digest\n  recreate web (start-first): web/app.py changed"
    )


def test_operations_come_by_phase_and_then_by_service() -> None:
    verbs = get_args(Verb)
    mixed = [Operation(verb=v, service=s, cause="") for s in ("b", "a") for v in reversed(verbs)]
    found = ordered(mixed)
    assert [op.verb for op in found if op.service == "a"] == list(verbs)
    assert [op.service for op in found] == ["a", "b"] * len(verbs)
    phases = [op.verb for op in found]
    assert phases.index("push") > phases.index("build")
    assert phases.index("recreate") > phases.index("pull")
    assert phases.index("remove") > phases.index("recreate")


def test_services_are_asked_for_by_verb() -> None:
    operations = (
        Operation(verb="create", service="a", cause=""),
        Operation(verb="start", service="b", cause=""),
        Operation(verb="pull", service="a", cause=""),
    )
    plan = Plan(stack="shop", operations=operations)
    assert plan.services("create", "start") == {"a", "b"}
    assert plan.of("pull") == operations[2:]
    assert plan.services("remove") == frozenset()


def tags(count: int) -> list[Operation]:
    return [Operation(verb="tag", service=f"s{number}", cause="unchanged") for number in range(count)]


def test_a_plan_that_can_be_read_line_by_line_is_shown_whole() -> None:
    assert summed(tags(5), 5) == tags(5)


def test_many_operations_that_are_alike_are_shown_as_one_and_the_others_one_by_one() -> None:
    changed = [
        Operation(verb="build", service="a", cause="a/app.py changed"),
        Operation(verb="build", service="b", cause="b/app.py changed"),
    ]
    recreate = Operation(verb="recreate", service="a", cause="unchanged", rollout="recreate")
    shown = [f"{op.verb} {op.service}: {op.cause}" for op in summed([*changed, *tags(1000), recreate], 30)]
    assert shown == [
        "build a: a/app.py changed",
        "build b: b/app.py changed",
        "tag s0, s1, s2 and 997 more: unchanged",
        "recreate a: unchanged",
    ]


def test_few_that_are_alike_are_all_named() -> None:
    (shown,) = summed(tags(MOST_NAMED), 1)
    assert shown.service == "s0, s1, s2"
