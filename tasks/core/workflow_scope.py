"""What the workflow files of one repository are about."""

import re

from msgspec import Struct

# https://docs.docker.com/reference/compose-file/interpolation/: `${NAME:?…}` and `${NAME?…}`; `$$` is no variable.
_DEMANDED = re.compile(r"(?<!\$)(?:\$\$)*\$\{([A-Za-z_][A-Za-z0-9_]*):?\?")


class Clone(Struct, frozen=True, kw_only=True):
    """A repository on the runner.

    Attributes:
        place: its folder, relative to the workspace.
        repository: `owner/name` on the forge that runs the workflow; empty for the workflow's own repository.
        url: where it is cloned from, if it is on another forge.
        commit: the commit to check out; empty for the newest of its default branch.
        submodules: whether it has some.
        lfs: whether it keeps files in LFS.
    """

    place: str
    repository: str = ""
    url: str = ""
    commit: str = ""
    submodules: bool = False
    lfs: bool = False


class Scope(Struct, frozen=True, kw_only=True):
    """What the workflow files of one repository do.

    Attributes:
        own: the repository itself.
        clones: what else is cloned.
        onevm: the folder of Onevm's clone, relative to the workspace.
        config: services.toml, relative to the workspace.
        branch: the default branch.
        stacks: the stacks it builds and deploys.
        only: whether services.toml has others, whose checkouts are not there.
        one_commit: whether all stacks are in the repository itself, so that its commit names their releases.
        password: the variable with the registry's password; empty for none.
        build_secrets: the variables that build secrets come from.
        demanded: the variables without which the Compose files cannot be read.
        environment: the forge's environment that deploys belong to.
        remote: whether a host is reached over SSH.
        packages: whether the registry is GitHub's, whose token needs rights to packages.
        builder: the buildx builder; empty for the engine's own.
        cache: where the build cache is.
    """

    own: Clone
    clones: tuple[Clone, ...] = ()
    onevm: str
    config: str
    branch: str
    stacks: tuple[str, ...]
    only: bool = False
    one_commit: bool = True
    password: str = ""
    build_secrets: tuple[str, ...] = ()
    demanded: tuple[str, ...] = ()
    environment: str = "local"
    remote: bool = False
    packages: bool = False
    builder: str = ""
    cache: str = "inline"


def demanded(text: str) -> set[str]:
    """Return the variables without which a Compose file cannot be read."""
    return set(_DEMANDED.findall(text))
