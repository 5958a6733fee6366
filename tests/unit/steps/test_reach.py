"""What a command line can reach, and what is left out."""

import pytest

from tasks.steps.reach import Reach, of

SERVICES = {"notes": ("backend", "web"), "shop": ("api", "web")}
ALL = frozenset({"notes.backend", "notes.web", "shop.api", "shop.web"})
EVERYTHING = Reach()


def reach(line: str) -> Reach:
    arguments = line.split()
    words = [word for word in arguments if not word.startswith("-") and "=" not in word]
    return of(words, [word for word in arguments if word.startswith("-")], SERVICES)


@pytest.mark.parametrize(
    ("line", "verbs", "services", "stacks"),
    [
        ("build", {"build"}, ALL, {"notes", "shop"}),
        ("run build", {"build"}, ALL, {"notes", "shop"}),
        ("push", {"push", "build"}, ALL, {"notes", "shop"}),
        ("deploy", {"deploy", "push", "build"}, ALL, {"notes", "shop"}),
        ("", {"plan"}, set(), {"notes", "shop"}),
        ("plan format=json", {"plan"}, set(), {"notes", "shop"}),
        ("plan:shop", {"plan"}, set(), {"shop"}),
        ("plan:shop plan:notes.web", {"plan"}, {"notes.web"}, {"shop"}),
        ("rollback", {"rollback"}, set(), {"notes", "shop"}),
        ("plan build", {"plan", "build"}, ALL, {"notes", "shop"}),
        ("info plan", {"plan"}, ALL, {"notes", "shop"}),
        ("build:notes", {"build"}, {"notes.backend", "notes.web"}, {"notes"}),
        ("build:notes.web", {"build"}, {"notes.web"}, set()),
        ("build:backend", {"build"}, {"notes.backend"}, set()),
        ("build:web", {"build"}, {"notes.web", "shop.web"}, set()),
        ("info build:backend", {"build"}, {"notes.backend"}, set()),
        (
            "build:backend deploy:shop",
            {"build", "push", "deploy"},
            {"notes.backend", "shop.api", "shop.web"},
            {"shop"},
        ),
    ],
)
def test_what_is_named_is_reached_with_what_it_needs(
    line: str, verbs: set[str], services: set[str], stacks: set[str]
) -> None:
    found = reach(line)
    assert (found.verbs, found.services, found.stacks) == tuple(map(frozenset, (verbs, services, stacks)))


@pytest.mark.parametrize(
    "line", ["-n 4 build", "build:*", "build mine", "mine", "build:nobody", "strace build", "info"]
)
def test_where_it_is_in_doubt_everything_is_reached(line: str) -> None:
    assert reach(line) == EVERYTHING


@pytest.mark.parametrize(("line", "status"), [("list --all", False), ("list -s", True), ("list --status", True)])
def test_a_list_of_all_tasks_reaches_everything(line: str, status: bool) -> None:
    assert reach(line) == Reach(status=status)


def test_a_plain_list_needs_no_sub_task_and_no_file() -> None:
    found = reach("list")
    assert not found.verb("build")
    assert not found.status


@pytest.mark.parametrize("line", ["plan", "", "status:shop", "help build"])
def test_what_builds_nothing_asks_for_no_file(line: str) -> None:
    assert not reach(line).status


@pytest.mark.parametrize("line", ["build:web", "info build:api", "deploy", "forget build:web", "list -s --all"])
def test_what_may_build_or_tell_of_it_asks_for_files(line: str) -> None:
    assert reach(line).status


def test_a_short_name_is_made_only_where_it_is_named_or_all_are() -> None:
    assert reach("build:api").alias("build:api")
    assert not reach("build").alias("build:api")
    assert not reach("push:api").alias("build:api")
    assert reach("list --all").alias("build:api")


def test_freshness_is_shown_by_commands_that_only_look() -> None:
    assert reach("list -s").shown
    assert reach("info build:api").shown
    assert not reach("build").shown
