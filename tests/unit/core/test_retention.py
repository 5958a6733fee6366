"""Which releases a host keeps."""

from tasks.core.release import Release, ReleasedService
from tasks.core.retention import superfluous, unused_images
from tasks.core.values import replace


def release(number: int, image: str = "", **more: object) -> Release:
    made = Release(
        id=f"{number:03}",
        stack="shop",
        sha="1" * 40,
        dirty=False,
        created="2026-01-01T00:00:00Z",
        performer="ana@laptop",
        previous=f"{number - 1:03}",
        services={
            "web": ReleasedService(image=f"r/web@{image or number}"),
            "db": ReleasedService(image=f"r/db@{image or number}", external=True),
        },
        compose={"compose.yaml": "1"},
    )
    return replace(made, **more)


def test_as_many_good_releases_as_asked_for_are_kept() -> None:
    all_of = [release(n) for n in range(1, 8)]
    assert [r.id for r in superfluous(all_of, "007", 3)] == ["004", "003", "002", "001"]


def test_nothing_goes_while_there_are_few() -> None:
    assert superfluous([release(1), release(2)], "002", 5) == ()


def test_releases_with_the_same_bytes_count_once() -> None:
    all_of = [release(1), release(2), *(release(n, "x") for n in range(3, 9))]
    assert superfluous(all_of, "008", 3) == ()


def test_failed_ones_stay_as_long_as_the_good_ones_around_them() -> None:
    all_of = [release(1), release(2), release(3, outcome="failed"), release(4)]
    assert [r.id for r in superfluous(all_of, "004", 2)] == ["001"]


def test_the_current_one_and_the_one_before_it_stay_whatever_their_age() -> None:
    all_of = [release(n) for n in range(1, 8)]
    assert [r.id for r in superfluous(all_of, "003", 2)] == ["001"]


def test_images_that_a_kept_release_names_and_external_ones_are_not_unused() -> None:
    dropped, kept = [release(1), release(2, "x")], [release(3, "x")]
    assert unused_images(dropped, kept) == {"r/web@1"}
