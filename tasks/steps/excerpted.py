"""The excerpt of a large stack that Compose on the host is given, once it has made of it what it makes of the whole."""

from collections.abc import Collection, Mapping
from concurrent.futures import Future
from pathlib import PurePosixPath

from msgspec import Struct, field

from tasks.adapters import host_compose, later
from tasks.adapters.release_folder import EXCERPT, OVERRIDE, ReleaseFolder
from tasks.core import desired, excerpt
from tasks.core.errors import OnevmError
from tasks.steps.candidate import Candidate
from tasks.steps.target import Target


class Excerpt(Struct, frozen=True, kw_only=True):
    """What of a release's Compose files is about the services that change.

    Attributes:
        files: what is to be staged with the release, by path; nothing if Compose is given the whole.
        stands: whether Compose makes the same of it; None without files.
    """

    files: Mapping[str, bytes] = field(default_factory=dict)
    stands: Future[bool] | None = None

    def below(self, release: PurePosixPath) -> PurePosixPath:
        """Return the folder of a staged release whose Compose files are to be used; waits until that is known."""
        return release / EXCERPT if self.stands and self.stands.result() else release


def begin(folder: ReleaseFolder, candidate: Candidate, aim: Target) -> Excerpt:
    """Cut an excerpt out of a large stack's Compose files, and begin to let Compose on the host compare.

    Args:
        folder: the stack's folder on its host.
        candidate: what is to run.
        aim: what is to be done for it.
    """
    changing = aim.plan.services("create", "recreate", "start")
    names = excerpt.belonging(aim.project, changing)
    spared = len(aim.project.services) - len(names)
    # A network that is made anew has to do with all that is in it.
    if not changing or spared < excerpt.WORTH or aim.plan.of("renew"):
        return Excerpt()
    parts = {name: excerpt.cut(candidate.contents[name], names) for name in candidate.compose}
    pins = {name: image for name, image in candidate.pins().items() if name in names}
    aliases = {name: alias for name, alias in aim.aliases().items() if name in pins}
    override = desired.override(pins, aim.hashes, aliases, aim.networks)
    return Excerpt(
        files={f"{EXCERPT}/{name}": text for name, text in {**parts, OVERRIDE: override.encode()}.items()},
        stands=later.begun(lambda: _stands(folder, {**candidate.contents, **parts}, candidate, aim, names)),
    )


def _stands(
    folder: ReleaseFolder, files: Mapping[str, bytes], candidate: Candidate, aim: Target, names: Collection[str]
) -> bool:
    try:
        part = host_compose.resolve(folder, files, candidate.compose)
    except OnevmError:
        # It needs what was left out. If something else is amiss, whoever reads the whole comes to it.
        return False
    return excerpt.same(part.pinned(candidate.pins()), aim.project.definition, names)
