"""Waiting for health, as far as it can be said without an engine."""

from tasks.steps.wait import HEALTHY, Watch


def test_containers_became_healthy_if_that_is_the_last_that_happened_to_each_of_them() -> None:
    events = Watch()
    for action, container in [("start", "one"), ("start", "two"), (HEALTHY, "one")]:
        events.notice(action, "web", container)
    assert events.became_healthy(["one"])
    assert not events.became_healthy(["one", "two"])
    events.notice(HEALTHY, "web", "two")
    assert events.became_healthy(["one", "two"])
    events.notice("die", "web", "one")
    assert not events.became_healthy(["one", "two"])
    assert events.became_healthy(["two"])


def test_what_nothing_was_heard_of_did_not_become_healthy() -> None:
    events = Watch()
    events.notice("health_status: unhealthy", "web", "one")
    assert not events.became_healthy(["one"])
    assert not events.became_healthy(["other"])


def test_containers_that_started_are_a_services_until_they_are_gone() -> None:
    events = Watch()
    for action, service, container in [
        ("create", "web", "one"),
        ("start", "web", "one"),
        ("start", "web", "two"),
        ("start", "worker", "three"),
        (HEALTHY, "web", "two"),
        ("die", "web", "one"),
    ]:
        events.notice(action, service, container)
    assert events.started("web") == ("one", "two")
    events.notice("destroy", "web", "one")
    assert events.started("web") == ("two",)
    events.notice("start", "web", "two")
    assert events.started("web") == ("two",)
    assert events.started("other") == ()
