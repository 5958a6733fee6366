"""Repositories of every kind that get workflow files, and these files as text."""

from collections.abc import Mapping

from tasks.adapters.workflow_files import dump
from tasks.core import generated
from tasks.core.forge import FORGES
from tasks.core.values import replace
from tasks.core.workflow import workflows
from tasks.core.workflow_scope import Clone, Scope

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ALONE = Scope(
    own=Clone(place="notes"),
    clones=(Clone(place="onevm", repository="team/onevm", commit=COMMIT),),
    onevm="onevm",
    config="notes/services.toml",
    branch="main",
    stacks=("notes",),
)
SCOPES: Mapping[str, Scope] = {
    "alone": ALONE,
    "one of several": replace(
        ALONE,
        clones=(Clone(place="platform", repository="team/platform"), *ALONE.clones),
        config="platform/services.toml",
        only=True,
        password="REGISTRY_TOKEN",
        remote=True,
        environment="prod",
    ),
    "two in one repository": replace(ALONE, stacks=("notes", "clock"), remote=True, environment="prod"),
    "platform": Scope(
        own=Clone(place="platform", submodules=True),
        clones=(
            Clone(place="notes", repository="team/notes"),
            Clone(
                place="of others/it's theirs", url="https://git.example.org/them/theirs.git", submodules=True, lfs=True
            ),
            *ALONE.clones,
        ),
        onevm="onevm",
        config="platform/services.toml",
        branch="trunk",
        stacks=("notes", "clock"),
        one_commit=False,
        password="REGISTRY_TOKEN",
        build_secrets=("NPM_TOKEN",),
        demanded=("DATABASE",),
        environment="prod-staging",
        remote=True,
        packages=True,
        builder="farm",
        cache="gha",
    ),
}


def texts() -> dict[str, str]:
    """Return every file by `<scope>/<forge>/<name>`."""
    return {
        f"{kind}/{forge.name}/{name}": generated.marked(dump(document))
        for kind, scope in SCOPES.items()
        for forge in FORGES.values()
        for name, document in workflows(scope, forge).items()
    }
