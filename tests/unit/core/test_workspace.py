"""Where repositories stand beside each other on a runner."""

from pathlib import Path

import pytest

from tasks.core.workspace import places

SRC = Path("/home/ann/src")


@pytest.mark.parametrize(
    ("own", "name", "others", "expected"),
    [
        ("plat", "platform", ["notes", "clock"], {"plat": "platform", "notes": "notes", "clock": "clock"}),
        ("plat", "", ["notes"], {"plat": "plat", "notes": "notes"}),
        ("plat", "platform", [], {"plat": "platform"}),
        ("plat", "platform", ["plat"], {"plat": "platform"}),
        # The name on the forge is the folder of another one here.
        ("plat", "notes", ["notes"], {"plat": "plat", "notes": "notes"}),
        # One inside it, as a submodule or ignored.
        ("plat", "platform", ["plat/stacks/notes"], {"plat": "platform", "plat/stacks/notes": "platform/stacks/notes"}),
        ("a/plat", "platform", ["b/notes"], {"a/plat": "a/platform", "b/notes": "b/notes"}),
        ("a/b/plat", "platform", ["notes"], {"a/b/plat": "a/b/platform", "notes": "notes"}),
    ],
)
def test_relative_paths_between_repositories_hold(
    own: str, name: str, others: list[str], expected: dict[str, str]
) -> None:
    found = places(SRC / own, name, [SRC / other for other in others])
    assert {str(top.relative_to(SRC)): place for top, place in found.items()} == expected
