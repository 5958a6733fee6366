"""Deploys are measured while they are done, and `doit report` says what they took and cost."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Ran, Shop, docker

pytestmark = pytest.mark.engine

BLOB = 300_000
HOST = {"load", "lock", "look", "start", "healthy", "record"}


@dataclass(frozen=True)
class Story:
    """A stack before its first deploy, after it, one change, nothing, a failure and a rollback; then the report."""

    shop: Shop
    empty: Ran
    first: Ran
    changed: Ran
    idle: Ran
    failed: Ran
    back: Ran
    report: Ran
    table: Ran
    page: Path

    @property
    def events(self) -> list[dict[str, Any]]:
        return events(self.shop)

    def stack_events(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] != "build"]


def events(shop: Shop) -> list[dict[str, Any]]:
    lines = (shop.folder / ".onevm" / "events.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def story(make_shared_shop: MakeShop) -> Story:
    shop = make_shared_shop("abe")
    empty = shop.doit("report", f"html={shop.folder / 'empty.html'}")
    first = shop.doit("deploy")
    # Nobody else has these bytes; the other layers of the image are there already.
    (shop.repo / "b" / "blob").write_bytes(os.urandom(BLOB))
    shop.dockerfile("b", "COPY blob /www/blob")
    shop.commit("Sell blobs")
    changed, idle = shop.doit("deploy"), shop.doit("deploy")
    shop.dockerfile("b", "COPY blob /www/blob", command=["sh", "-c", "exit 3"])
    shop.commit("Break it")
    failed = shop.doit("deploy")
    back = shop.doit("rollback")
    page = shop.folder / "page.html"
    report = shop.doit("report", "format=json", f"html={page}")
    table = shop.doit(f"report:{shop.name}")
    return Story(shop, empty, first, changed, idle, failed, back, report, table, page)


def test_before_the_first_deploy_the_report_says_so(story: Story) -> None:
    assert story.empty.code == 0, story.empty
    assert f"{story.shop.name}: no release yet" in story.empty.out
    assert "no data" in story.empty.out
    assert "No release yet." in (story.shop.folder / "empty.html").read_text()


def test_every_deploy_leaves_an_event_with_how_it_ended(story: Story) -> None:
    assert [ran.code for ran in (story.first, story.changed, story.idle, story.back)] == [0] * 4, story
    assert story.failed.code == 1, story.failed
    assert [(event["event"], event["outcome"]) for event in story.stack_events()] == [
        ("deploy", "good"),
        ("deploy", "good"),
        ("deploy", "unchanged"),
        ("deploy", "failed"),
        ("rollback", "good"),
    ]
    recorded = [event["release"] for event in story.stack_events() if event["release"]]
    assert recorded == [release["id"] for release in story.shop.releases()]
    assert len({event["run"] for event in story.stack_events()}) == 5


def test_what_was_built_is_an_event_of_the_same_run_and_what_was_fresh_is_none(story: Story) -> None:
    built = [event for event in story.events if event["event"] == "build"]
    deploys = story.stack_events()
    assert [event["run"] for event in built] == [deploys[number]["run"] for number in (0, 1, 3)]
    assert [len(event["services"]) for event in built] == [2, 1, 1]
    assert [event["fresh"] for event in built] == [0, 1, 1]
    (only,) = built[1]["services"].values()
    assert only["state"] == "built"
    assert {"key", "lookup", "bake", "push"} <= only["seconds"].keys()


def test_a_release_has_its_phases_as_a_whole_and_by_service(story: Story) -> None:
    first, changed, failed, back = story.shop.releases()
    assert {"key", "lookup", "bake", "push"} | (HOST - {"record"}) <= first["timings"].keys()
    assert set(first["measured"]["services"]) == {"a", "b", "e"}
    assert set(changed["measured"]["services"]) == {"b"}
    assert {"key", "lookup", "bake", "push", "start", "healthy"} <= changed["measured"]["services"]["b"].keys()
    assert "back" not in failed["timings"], "it is recorded before"
    assert not {"bake", "push"} & back["timings"].keys()
    events_ = story.stack_events()
    assert all(event["seconds"].keys() >= HOST for event in (events_[0], events_[1], events_[4]))
    assert "back" in events_[3]["seconds"]


def test_what_a_deploy_took_is_no_less_than_what_building_took(story: Story) -> None:
    for release in story.shop.releases():
        seconds = release["timings"]
        assert release["measured"]["took"] >= seconds["load"] + seconds.get("bake", 0) + seconds["start"]
    for event in story.events:
        assert event["took"] >= max(event["seconds"].values())


def test_what_was_built_and_replaced_is_named(story: Story) -> None:
    first, changed, failed, back = (release["measured"] for release in story.shop.releases())
    assert (first["built"], first["changed"]) == (["a", "b"], dict.fromkeys("abe", "create"))
    assert (changed["built"], changed["changed"]) == (["b"], {"b": "recreate"})
    assert failed["built"] == ["b"]
    assert (back["built"], back["changed"]) == ([], {"b": "recreate"})
    assert story.stack_events()[1]["why"]["b"].startswith("b/Dockerfile")


def test_pushed_bytes_are_those_of_the_layers_that_moved(story: Story) -> None:
    _, changed, _, back = (release["measured"] for release in story.shop.releases())
    # Random bytes do not get smaller; the base has 1.1 MB and was there.
    assert BLOB <= changed["pushed_bytes"] < BLOB + 20_000
    assert back["pushed_bytes"] == 0


def test_sizes_are_what_the_engine_says(story: Story) -> None:
    release = story.shop.releases()[-1]
    assert set(release["measured"]["sizes"]) == {"a", "b", "e"}
    for name, size in release["measured"]["sizes"].items():
        said = docker("image", "inspect", "--format", "{{.Size}}", release["services"][name]["image"])
        assert size == int(said)


def test_memory_and_disk_are_this_machines(story: Story) -> None:
    for release in story.shop.releases():
        host = release["measured"]["resources"]
        assert 0 < host["memory_before"] <= host["memory_peak"] < host["memory"]
        assert 0 < host["disk_free_lowest"] <= host["disk_free_before"]


def test_history_says_what_a_deploy_took_with_building(story: Story) -> None:
    shown = story.shop.doit("history", "format=json").ok().json["stacks"][0]["releases"]
    assert [release["measured"]["took"] for release in reversed(shown)] == [
        release["measured"]["took"] for release in story.shop.releases()
    ]


def test_the_report_has_the_targets_and_every_deploy(story: Story) -> None:
    document = story.report.ok().json
    assert [row["unit"] for row in document["targets"]] == ["seconds", "failed requests", "share of memory", "seconds"]
    warm, _, memory, rollback = document["targets"]
    _, changed, _, back = story.shop.releases()
    assert warm["values"] == [changed["measured"]["took"]]
    assert rollback["values"] == [back["measured"]["took"]]
    assert len(memory["values"]) == 3
    (stack,) = document["stacks"]
    assert stack["current"] == story.shop.current["id"]
    assert [one["outcome"] for one in stack["deploys"]] == ["good", "failed", "unchanged", "good", "good"]
    assert document["html"] == str(story.page)


def test_the_table_is_for_people(story: Story) -> None:
    out = story.table.ok().out
    for words in ("warm deploy, 1 service", "no build spike", "2-3 min", "rollback", "longest phase"):
        assert words in out
    assert f"page: {story.shop.folder / '.onevm' / 'report.html'}" in out
    rows = [line for line in out.splitlines() if line.startswith(("0", "1")) and " deploy " in line]
    assert len(rows) == 4


def test_the_page_has_the_releases_the_graph_and_nothing_from_elsewhere(story: Story) -> None:
    text = story.page.read_text()
    assert "http://" not in text.replace(f"http://{story.shop.registry}", "")
    assert "https://" not in text
    for release in story.shop.releases():
        assert release["sha"][:7] in text
    assert text.count('<li class="release">') == 4
    assert text.count('<g class="external">') == 1


def test_a_log_that_is_gone_leaves_the_hosts_releases(story: Story, tmp_path: Path) -> None:
    clone = story.shop.cloned(tmp_path)
    (stack,) = clone.doit("report", "format=json").ok().json["stacks"]
    assert [one["outcome"] for one in stack["deploys"]] == ["good", "failed", "good", "good"]


def test_a_log_that_cannot_be_written_is_a_warning(make_shop: MakeShop) -> None:
    shop = make_shop("e")
    log = shop.folder / ".onevm" / "events.jsonl"
    log.mkdir(parents=True)
    ran = shop.doit("deploy").ok()
    assert "events.jsonl cannot be written" in ran.out
    assert shop.current["outcome"] == "good"
    assert "good" in shop.doit("report").ok().out
