"""What one deployment has to do with, and how it ended."""

import getpass
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future

from msgspec import Struct, field

from tasks.adapters.host import Reached
from tasks.adapters.host_compose import Resolved
from tasks.adapters.release_folder import ReleaseFolder
from tasks.core.model import Stack
from tasks.core.plan import Plan
from tasks.core.release import Release
from tasks.steps.early import Coming
from tasks.steps.measuring import Measuring
from tasks.steps.output import Screen
from tasks.steps.remembered import Remembered
from tasks.steps.target import Observing
from tasks.steps.timings import Timings


class Deployment(Struct, frozen=True, kw_only=True):
    """One stack on its way to a candidate.

    Attributes:
        stack: the stack.
        folder: its folder on the host.
        host: the host.
        screen: where progress goes.
        login: gives the variables of the registry's login.
        published: called with the current release; returns when the candidate's images have their commit's names.
        before_change: called before anything of the host is changed; raises if it shall not be.
        waits: called when nothing is left to do but to wait for health.
        room: called with the images that the host lacks; raises if it has no room for them.
        measuring: where durations go, and what else is noted.
        resolving: what Compose there makes of the candidate's files, if it was asked already.
        observing: the snapshot, if it is being taken already.
        remembered: what is remembered of the plans of its host's stacks, by stack.
        coming: images that are on their way to the host already.
        keep: how many good releases the host keeps.
        kind: `deploy` or `rollback`.
        built: `on-host` if images were made by the host's engine.
        restores: the id of the release that a rollback goes back to.
    """

    stack: Stack
    folder: ReleaseFolder
    host: Reached
    screen: Screen
    login: Callable[[], Mapping[str, str]]
    room: Callable[[Iterable[str]], None]
    published: Callable[[Release | None], None] = lambda _: None
    before_change: Callable[[], None] = lambda: None
    waits: Callable[[], None] = lambda: None
    measuring: Measuring = field(default_factory=Measuring)
    resolving: Future[Resolved | None] | None = None
    observing: Observing | None = None
    remembered: Future[dict[str, Remembered]] | None = None
    coming: Mapping[str, Coming] = field(default_factory=dict)
    keep: int = 5
    kind: str = "deploy"
    built: str = ""
    restores: str = ""

    @property
    def timings(self) -> Timings:
        """Where durations go."""
        return self.measuring.timings


class Result(Struct, frozen=True, kw_only=True):
    """How a deployment ended well.

    Attributes:
        release: the release that is current now.
        plan: what was done.
        recorded: whether a new release was written.
    """

    release: Release
    plan: Plan
    recorded: bool


def performer() -> str:
    """Return `user@machine` of whoever runs this."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
