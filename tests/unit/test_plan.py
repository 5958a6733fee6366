"""What a plan says of the commits between what runs and what is checked out."""

from tasks.plan import _since
from tasks.steps.commits import Commits


def test_commits_are_said_with_their_number_in_both_directions() -> None:
    found = Commits(new=("aaaaaaa Two", "bbbbbbb One"), new_count=22, undone=("ccccccc Gone",), undone_count=1)
    assert list(_since(found)) == [
        "  22 commits since then:",
        "    aaaaaaa Two",
        "    bbbbbbb One",
        "    and 20 more",
        "  1 commit would be undone:",
        "    ccccccc Gone",
    ]


def test_nothing_is_said_of_the_commit_that_runs() -> None:
    assert list(_since(Commits())) == []


def test_what_is_unknown_is_said_to_be() -> None:
    assert list(_since(Commits(unknown="it is gone"))) == ["  commits since then unknown: it is gone"]
