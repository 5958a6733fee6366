"""The table of targets, from given deploys."""

from tasks.core.deploys import Deploy
from tasks.core.measured import Measured, Resources
from tasks.core.outage import Outage
from tasks.core.targets import Row, table
from tasks.core.values import replace


def deploy(number: int, took: float = 10.0, **more: object) -> Deploy:
    one = Deploy(
        stack="notes",
        kind="deploy",
        outcome="good",
        when=f"2026-03-{number + 1:02}T08:00:00Z",
        measured=Measured(took=took, changed={"web": "recreate"}),
    )
    return replace(one, **more)


def used(rise: int, took: float = 10.0) -> Measured:
    host = Resources(memory=1000, memory_before=400, memory_peak=400 + rise, disk_free_before=9, disk_free_lowest=9)
    return Measured(took=took, changed={"web": "recreate"}, resources=host)


def row(deploys: list[Deploy], number: int) -> Row:
    return table(deploys)[number]


WARM, GAP, MEMORY, ROLLBACK = range(4)


def test_without_deploys_every_target_is_there_and_none_is_judged() -> None:
    rows = table([])
    assert [(one.target, one.verdict, one.now, one.trend) for one in rows] == [
        ("< 30 s", "no data", "", ""),
        ("~0", "no data", "", ""),
        ("no build spike", "no data", "", ""),
        ("< 30 s", "no data", "", ""),
    ]
    assert all(one.before for one in rows)


def test_now_is_the_median_of_the_last_five() -> None:
    found = row([deploy(n, took) for n, took in enumerate([90, 10, 12, 14, 11, 50])], WARM)
    assert (found.value, found.now, found.verdict, found.basis) == (12, "12 s", "met", "median of the last 5")
    assert found.values == (90, 10, 12, 14, 11, 50)


def test_half_a_minute_is_missed() -> None:
    assert row([deploy(1, 30.0)], WARM).verdict == "missed"
    assert row([deploy(1, 29.9)], WARM).verdict == "met"


def test_the_trend_compares_with_the_five_before_and_needs_them() -> None:
    assert row([deploy(n) for n in range(5)], WARM).trend == ""
    assert row([deploy(n, 20.0 if n < 5 else 15.0) for n in range(10)], WARM).trend == "25% faster"
    assert row([deploy(n, 20.0 if n < 5 else 30.0) for n in range(10)], WARM).trend == "50% slower"
    assert row([deploy(n, 20.0 if n < 5 else 20.9) for n in range(10)], WARM).trend == "steady"


def test_a_warm_deploy_is_a_good_one_of_one_service_after_the_first() -> None:
    others = [
        deploy(1, first=True),
        deploy(2, outcome="failed"),
        deploy(3, kind="rollback"),
        deploy(4, outcome="unchanged", measured=Measured(took=1.0)),
        deploy(5, measured=Measured(took=1.0, changed={"web": "recreate", "api": "recreate"})),
        deploy(6, measured=None),
        deploy(7, measured=Measured(took=1.0, changed={"web": "remove"})),
    ]
    assert row(others, WARM).verdict == "no data"
    assert (
        row([*others, deploy(8, measured=Measured(took=3.0, changed={"web": "create", "x": "remove"}))], WARM).value
        == 3
    )


def test_one_failed_request_misses_the_target() -> None:
    clean, broken = (Outage(requests=50, failed=failed, longest_gap=0.2 + failed) for failed in (0, 1))
    good = [deploy(n, outage={"verify": clean}) for n in range(6)]
    assert row(good, GAP).now == "0 of 250 failed, gap 0.2 s"
    assert row(good, GAP).verdict == "met"
    found = row([*good, deploy(7, outage={"web": broken})], GAP)
    assert (found.now, found.verdict, found.figure) == ("1 of 250 failed, gap 1.2 s", "missed", "1 failed")
    assert row([deploy(1)], GAP).verdict == "no data"


def test_a_build_spike_is_more_than_a_tenth_of_the_memory() -> None:
    assert row([deploy(1, measured=used(100))], MEMORY).verdict == "met"
    found = row([deploy(1, measured=used(101)), deploy(2, measured=used(5))], MEMORY)
    assert (found.verdict, found.figure, found.detail) == ("missed", "+101 B", "10.1% of the host's 1 kB")


def test_deploys_that_replaced_nothing_say_nothing_of_memory() -> None:
    idle = replace(used(500), changed={})
    assert row([deploy(1, measured=idle)], MEMORY).verdict == "no data"


def test_rollbacks_are_measured_apart() -> None:
    found = row([deploy(1, 20.0), deploy(2, 4.0, kind="rollback")], ROLLBACK)
    assert (found.value, found.basis, found.verdict) == (4.0, "the last one", "met")


def test_stacks_are_put_in_the_order_of_time() -> None:
    later, earlier = deploy(9, 9.0), deploy(1, 1.0)
    assert row([later, earlier], WARM).values == (1.0, 9.0)
