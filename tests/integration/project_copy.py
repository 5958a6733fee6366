"""Onevm in a repository of its own, as a user has cloned it from a forge."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.integration.shop import PROJECT

WHO = {f"GIT_{role}_{what}": "a@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
PARTS = ("tasks", "dodo.py", "pyproject.toml")


def git(folder: Path, *args: str) -> str:
    """Run git in a folder, with nobody's settings; what it says."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", *args], cwd=folder, env=kept | own | WHO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
    return done.stdout.strip()


def repository(folder: Path, origin: str) -> Path:
    """Make a repository of a folder, with one commit of all that is there, and a remote."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", origin)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", "Begin")
    return folder


def project_copy(folder: Path, origin: str) -> Path:
    """Copy what runs of Onevm into a repository with this remote."""
    folder.mkdir(parents=True)
    for name in PARTS:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, folder)
    return repository(folder, origin)
