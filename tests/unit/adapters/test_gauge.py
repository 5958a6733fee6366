"""What a host has left: seen here, and told by the process that holds a lock on a VM."""

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.adapters import gauge
from tasks.core.measured import Sample

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc/meminfo is Linux's")


def shell(script: str, folder: Path) -> bytes:
    done = subprocess.run(
        ["sh", "-c", f"set -u\n{gauge.SHELL}\n{script}"], cwd=folder, capture_output=True, timeout=60, check=True
    )
    assert done.stderr == b""
    return done.stdout


@linux
def test_the_shell_function_tells_what_this_machine_sees(tmp_path: Path) -> None:
    (told,) = gauge.told(shell("gauge", tmp_path))
    with gauge.watching(tmp_path) as seen:
        found = seen.read()
    assert found
    assert told.memory == found.memory
    assert 0 < told.available < told.memory
    assert abs(told.disk_free - found.disk_free_before) < 5_000_000_000


def test_it_tells_only_when_less_is_left_than_ever(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("")
    script = f"""
    say() {{ printf 'MemTotal: 1000 kB\\nMemFree: 1 kB\\nMemAvailable: %s kB\\n' "$1" >{tmp_path}/meminfo; gauge; }}
    timeout() {{ echo head; echo "fs 1 1 $left 1% /"; }}
    left=70 say 500; left=70 say 600; left=70 say 400; left=60 say 450; left=60 say 450; left=65 say 399
    """
    text = gauge.SHELL.replace("/proc/meminfo", f"{tmp_path}/meminfo")
    done = subprocess.run(["sh", "-c", f"set -u\n{text}\n{script}"], capture_output=True, timeout=60, check=True)
    assert done.stderr == b""
    said = [(one.available // 1024, one.disk_free // 1024) for one in gauge.told(done.stdout)]
    assert said == [(500, 70), (400, 70), (450, 60), (399, 65)]


@pytest.mark.parametrize("meminfo", ["", "MemTotal: x\n", "MemTotal: 1 kB\nMemFree: 1 kB\n"])
def test_a_host_that_does_not_say_tells_nothing(tmp_path: Path, meminfo: str) -> None:
    (tmp_path / "meminfo").write_text(meminfo)
    text = gauge.SHELL.replace("/proc/meminfo", f"{tmp_path}/meminfo")
    done = subprocess.run(["sh", "-c", f"set -u\n{text}\ngauge; gauge"], capture_output=True, timeout=60, check=True)
    assert done.stdout == done.stderr == b""


def test_a_host_without_proc_tells_nothing(tmp_path: Path) -> None:
    text = gauge.SHELL.replace("/proc/meminfo", f"{tmp_path}/nowhere")
    done = subprocess.run(["sh", "-c", f"set -u\n{text}\ngauge; echo on"], capture_output=True, timeout=60, check=True)
    assert done.stdout == b"on\n"


def test_half_a_line_is_not_a_sample() -> None:
    assert gauge.told(b"TAKEN\nGAUGE 10 5 3\nGAUGE x\nGAUGE 10 4") == [Sample(10 * 1024, 5 * 1024, 3 * 1024)]


def test_who_sees_nothing_says_so() -> None:
    assert gauge.Blind().read() is None
