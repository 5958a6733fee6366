"""Steps on this machine."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.adapters.process import CommandFailed
from tasks.adapters.transport import Local

ROOT = Path(__file__).parents[3]
STEP = "touch begun; until [ -e go ]; do sleep 0.02; done; echo one; echo two >&2; cat /proc/version; touch done"
RUN = f"from tasks.adapters.transport import Local; Local().run(['sh', '-c', {STEP!r}], timeout=60, survive=True)"


def until_there(path: Path) -> None:
    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, path
        time.sleep(0.02)


def test_a_step_that_speaks_to_nobody_any_more_is_finished_all_the_same(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, "-c", RUN], cwd=tmp_path, env=environment) as one:
        until_there(tmp_path / "begun")
        one.kill()
    assert list(temporary.iterdir()) == []  # whatever is killed from here on
    (tmp_path / "go").touch()
    until_there(tmp_path / "done")


def test_a_step_that_survives_says_what_it_says() -> None:
    done = Local().run(["sh", "-c", "cat; echo two >&2"], timeout=30, input=b"one", survive=True)
    assert (done.stdout, done.stderr, done.returncode) == ("one", "two\n", 0)
    with pytest.raises(CommandFailed) as failed:
        Local().run(["sh", "-c", "echo no >&2; exit 7"], timeout=30, survive=True)
    assert (failed.value.returncode, failed.value.stderr) == (7, "no\n")
