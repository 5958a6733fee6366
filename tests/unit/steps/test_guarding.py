"""How the engine's own check is called."""

import pytest

from tasks.steps.guarding import _without_config_file


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ([], []),
        (["-H", "fd://", "--config-file", "/etc/d.json", "--debug"], ["-H", "fd://", "--debug"]),
        (["--config-file=/etc/d.json", "--cgroup-parent", "/x"], ["--cgroup-parent", "/x"]),
    ],
)
def test_the_check_sees_the_engines_options_and_another_file(words: list[str], kept: list[str]) -> None:
    assert _without_config_file(words) == kept
