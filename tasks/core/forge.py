"""GitHub Actions and Gitea Actions: where their workflow files stand, and what differs between the two."""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

_SCP = re.compile(r"(?:[^/@:]+@)?(?P<host>[^/@:]+):(?P<path>[^/].*)")


class Action(Struct, frozen=True, kw_only=True):
    """An action, pinned to a commit; `version` is the tag on that commit, for people."""

    name: str
    commit: str
    version: str


class Forge(Struct, frozen=True, kw_only=True):
    """What a workflow file must know about the forge that runs it.

    Attributes:
        name: as in `doit ci:<name>`.
        folder: where its workflow files stand, from the top of a repository.
        runner: the label of a runner with Docker, unless the repository's variable ONEVM_RUNNER names another.
        checkout: the action that clones.
        python: the action that installs Python.
        script: the action that runs a script beside the runner; None where it is not needed.
    """

    name: str
    folder: str
    runner: str
    checkout: Action
    python: Action
    script: Action | None = None


FORGES: Mapping[str, Forge] = {
    "github": Forge(
        name="github",
        folder=".github/workflows",
        runner="ubuntu-24.04",
        checkout=Action(name="actions/checkout", commit="3d3c42e5aac5ba805825da76410c181273ba90b1", version="v7.0.1"),
        python=Action(name="actions/setup-python", commit="5fda3b95a4ea91299a34e894583c3862153e4b97", version="v7.0.0"),
        script=Action(
            name="actions/github-script", commit="ed597411d8f924073f98dfc5c65a23a2325f34cd", version="v8.0.0"
        ),
    ),
    # Newer ones want Node 24, which older runners of Gitea refuse.
    "gitea": Forge(
        name="gitea",
        folder=".gitea/workflows",
        runner="ubuntu-latest",
        checkout=Action(name="actions/checkout", commit="11d5960a326750d5838078e36cf38b85af677262", version="v4.4.0"),
        python=Action(name="actions/setup-python", commit="a26af69be951a213d495a4c3e4e4022e16d87065", version="v5.6.0"),
    ),
}


class Origin(Struct, frozen=True, kw_only=True):
    """Where a repository comes from: the forge's host without a port, and `owner/name` there."""

    host: str
    path: str

    @property
    def name(self) -> str:
        """The repository's own name."""
        return self.path.rpartition("/")[2]


def origin(url: str) -> Origin | None:
    """Read the URL of a remote: `https://host/owner/name.git`, `ssh://…` or `git@host:owner/name`.

    Returns:
        None for anything that is no repository on a forge, such as a folder.
    """
    match = None if "://" in url else _SCP.fullmatch(url)
    if match:
        host, path = match["host"], match["path"]
    else:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https", "ssh", "git"}:
            return None
        host, path = parts.hostname or "", parts.path
    path = path.strip("/").removesuffix(".git")
    return Origin(host=host.lower(), path=path) if host and "/" in path else None
