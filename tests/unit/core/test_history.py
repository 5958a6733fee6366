"""Which recorded release a rollback or a commit means."""

import pytest

from tasks.core.errors import UsageError
from tasks.core.history import before, candidates, named
from tasks.core.release import Release, ReleasedService
from tasks.core.values import replace


def release(number: int, image: str = "", **more: object) -> Release:
    made = Release(
        id=f"2026010{number}T000000.000Z-{number:07x}",
        stack="shop",
        sha=f"{number:040x}"[::-1],
        dirty=False,
        created=f"2026-01-0{number}T00:00:00Z",
        performer="ana@laptop",
        previous=None,
        services={"web": ReleasedService(image=f"r/web@{image or number}")},
        compose={"compose.yaml": "1"},
    )
    return replace(made, **more)


def test_a_rollback_means_the_newest_good_release_before() -> None:
    one, two, failed, now = release(1), release(2), release(3, outcome="failed"), release(4)
    assert before(now, [one, two, failed, now]) is two


def test_a_release_with_the_same_bytes_is_nothing_to_go_back_to() -> None:
    one, same, now = release(1), release(2, "x"), release(3, "x")
    assert before(now, [one, same, now]) is one


def test_a_release_that_differs_in_its_compose_file_only_is_one_to_go_back_to() -> None:
    one, two, now = release(1), release(2, "x", compose={"compose.yaml": "0"}), release(3, "x")
    assert before(now, [one, two, now]) is two


def test_rolling_back_twice_goes_two_back_and_never_to_what_was_left() -> None:
    one, two, three = release(1), release(2), release(3)
    back = release(4, "2", restores=two.id)
    assert before(back, [one, two, three, back]) is one


def test_without_an_earlier_good_release_it_says_so() -> None:
    with pytest.raises(UsageError, match="no good release before"):
        before(release(2), [release(1, outcome="failed"), release(2)])


def test_a_commit_means_its_newest_good_whole_clean_release() -> None:
    whole = release(1)
    others = [
        release(2, sha=whole.sha, scope=("web",)),
        release(3, sha=whole.sha, dirty=True),
        release(4, sha=whole.sha, outcome="failed"),
    ]
    assert named("shop", whole.sha[:7], [whole, *others]) is whole


def test_an_id_means_exactly_that_release() -> None:
    one, partial = release(1), release(2, scope=("web",))
    assert named("shop", partial.id, [one, partial]) is partial


def test_an_unknown_commit_is_no_release() -> None:
    assert named("shop", "beef", [release(1)]) is None


def test_an_abbreviation_of_two_commits_is_refused_with_both() -> None:
    one, two = release(1, sha="abcd" + "0" * 36), release(2, sha="abcd" + "1" * 36)
    with pytest.raises(UsageError, match="ambiguous") as caught:
        named("shop", "abcd", [one, two])
    assert one.sha in str(caught.value)
    assert two.sha in str(caught.value)


def test_an_abbreviation_that_is_too_short_is_refused() -> None:
    with pytest.raises(UsageError, match="too short"):
        named("shop", "abc", [release(1)])


def test_candidates_name_each_commit_once_newest_first() -> None:
    one, two = release(1), release(2)
    again = release(3, sha=one.sha)
    assert candidates([one, two, again]) == f"{one.sha[:7]} ({again.created}), {two.sha[:7]} ({two.created})"
