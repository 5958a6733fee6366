"""Where a repository comes from."""

import pytest

from tasks.core.forge import Origin, origin

NOTES = Origin(host="git.example.com", path="team/notes")


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/team/notes.git",
        "https://git.example.com/team/notes",
        "https://git.example.com:3000/team/notes/",
        "https://ann:token@Git.Example.com/team/notes.git",
        "http://git.example.com/team/notes.git",
        "ssh://git@git.example.com:2222/team/notes.git",
        "git@git.example.com:team/notes.git",
        "git.example.com:team/notes",
    ],
)
def test_every_way_to_write_it_is_the_same_place(url: str) -> None:
    assert origin(url) == NOTES
    assert NOTES.name == "notes"


@pytest.mark.parametrize(
    "url", ["", "/srv/git/notes.git", "../notes", "file:///srv/git/notes", "https://x/notes", "x:y"]
)
def test_what_is_on_no_forge_is_none(url: str) -> None:
    assert origin(url) is None
