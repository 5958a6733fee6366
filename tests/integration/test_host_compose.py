"""Compose on a host when the one who asked is gone."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from subprocess import PIPE, run

import pytest

from tasks.adapters import host_compose
from tasks.adapters.process import CommandFailed, Completed
from tasks.adapters.release_folder import ReleaseFolder
from tasks.adapters.transport import Local
from tasks.core.errors import OnevmError
from tasks.core.secret import Secret

pytestmark = pytest.mark.engine

FILES = {"compose.yaml": b"services: {web: {image: busybox, profiles: [rare]}}\n"}


class Gone(Local):
    """Nobody reads what a command says: its first word ends it (signal(7), SIGPIPE)."""

    def run(
        self,
        args: Sequence[str],
        *,
        timeout: float,
        input: bytes | Secret | None = None,  # noqa: A002
        env: Mapping[str, str | Secret] | None = None,
        check: bool = True,
        survive: bool = False,
    ) -> Completed:
        """Run a command whose standard output nobody reads."""
        assert isinstance(input, bytes)
        assert (env, check, survive) == (None, True, False)
        reader, writer = os.pipe()
        os.close(reader)
        try:
            done = run(args, input=input, stdout=writer, stderr=PIPE, timeout=timeout, check=False)
        finally:
            os.close(writer)
        raise CommandFailed(args, returncode=done.returncode, stderr=done.stderr.decode(), limit=timeout)


def test_what_it_reads_leaves_nothing_behind(lab: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del lab
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with pytest.raises(OnevmError):
        host_compose.resolve(ReleaseFolder(Gone(), PurePosixPath(tmp_path), "shop"), FILES, ["compose.yaml"])
    assert list(temporary.iterdir()) == []
    found = host_compose.resolve(ReleaseFolder(Local(), PurePosixPath(tmp_path), "shop"), FILES, ["compose.yaml"])
    assert found.active == {"web"}
    assert list(temporary.iterdir()) == []
