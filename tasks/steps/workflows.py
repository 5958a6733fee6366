"""Which repositories get workflow files, what these are about, and whether they are there."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from tasks.adapters import workflow_files
from tasks.adapters.git import Checkout
from tasks.core import forge, generated
from tasks.core.errors import OnevmError
from tasks.core.forge import Forge, Origin
from tasks.core.generated import Condition
from tasks.core.model import Stack
from tasks.core.reference import Reference
from tasks.core.values import replace
from tasks.core.workflow import workflows
from tasks.core.workflow_scope import Clone, Scope, demanded
from tasks.core.workspace import places
from tasks.steps.project import Project

GITHUB_REGISTRY = "ghcr.io"
ONEVM = Path(__file__).parents[2]


class File(Struct, frozen=True, kw_only=True):
    """A workflow file.

    Attributes:
        repository: top of the repository it stands in.
        path: where, relative to that.
        text: what Onevm would write.
        condition: what is there.
    """

    repository: Path
    path: str
    text: str
    condition: Condition

    def write(self) -> None:
        """Write it, whatever is there."""
        workflow_files.write(self.repository / self.path, self.text)


def files(project: Project, forges: Iterable[Forge], onevm: Path = ONEVM) -> list[File]:
    """Return every workflow file, as it should be and as it is.

    Raises:
        OnevmError: a repository has no commit, or does not come from a forge.
    """
    scopes = _Scopes(project, onevm)
    return [
        _file(top, f"{of.folder}/{name}", generated.marked(workflow_files.dump(document)))
        for top in scopes.repositories
        for of in forges
        for name, document in workflows(scopes.of(top), of).items()
    ]


def _file(top: Path, path: str, text: str) -> File:
    there = workflow_files.read(top / path)
    return File(repository=top, path=path, text=text, condition=generated.condition(there, text))


def used(found: Iterable[File]) -> list[File]:
    """Return the files of the forges of which there is at least one file."""
    known = list(found)
    there = {f.path.partition("/")[0] for f in known if f.condition not in {"missing", "foreign"}}
    return [f for f in known if f.path.partition("/")[0] in there]


class _Scopes:
    """What the workflow files of each repository are about.

    Args:
        project: services.toml and the Compose projects.
        onevm: a folder of Onevm's own clone.
    """

    def __init__(self, project: Project, onevm: Path) -> None:
        self._project = project
        self._onevm = Checkout(onevm)
        self._checkouts: dict[Path, Checkout] = {}
        self._own = self._top(project.configuration.path.parent)
        self._stacks = {name: self._top(stack.path) for name, stack in project.stacks.items()}

    @property
    def repositories(self) -> list[Path]:
        """The repositories that get files: that of services.toml first, then those of stacks that stand elsewhere."""
        return list(dict.fromkeys([self._own, *self._stacks.values()]))

    def of(self, top: Path) -> Scope:
        """Return what the files of a repository are about."""
        configuration = self._project.configuration
        stacks = [stack for name, stack in self._project.stacks.items() if top in (self._own, self._stacks[name])]
        hosts = [configuration.hosts[name] for name in sorted({stack.host for stack in stacks})]
        host = self._origin(top).host
        tool = self._onevm.top.resolve()
        needed = {self._own, *(needed for stack in stacks for needed in self._needed[stack.name])} - {top, tool}
        onevm = self._place_of_onevm
        clones = [self._clone(self._checkouts[other], host, self._places[other]) for other in sorted(needed)]
        if tool != top:
            # Where services.toml stands in it, the newest one counts.
            commit = "" if tool == self._own else self._onevm.head.sha
            clones.append(replace(self._clone(self._onevm, host, onevm), commit=commit))
        registry = configuration.registry
        file = configuration.path
        config = (file.parent.resolve() / file.name).relative_to(self._own).as_posix()
        return Scope(
            own=_whole(top, self._places[top]),
            clones=tuple(clones),
            onevm=onevm,
            config=f"{self._places[self._own]}/{config}",
            branch=self._checkouts[top].default_branch,
            stacks=tuple(stack.name for stack in stacks),
            only=len(stacks) < len(self._project.stacks),
            one_commit=all(Checkout(stack.path).top.resolve() == top for stack in stacks),
            password=registry.password_env or "",
            build_secrets=tuple(sorted(set(self._build_secrets(stacks)))),
            demanded=tuple(sorted(set(_demanded(stacks)))),
            environment="-".join(host.name for host in hosts),
            remote=not all(host.is_local for host in hosts),
            packages=Reference.parse(f"{registry.url}/x").registry == GITHUB_REGISTRY,
            builder="" if configuration.builder.name == "default" else configuration.builder.name,
            cache=configuration.builder.cache,
        )

    @cached_property
    def _needed(self) -> Mapping[str, set[Path]]:
        """The repositories that each stack's builds read."""
        return {name: {self._top(path) for path in self._read(stack)} for name, stack in self._project.stacks.items()}

    def _read(self, stack: Stack) -> Iterator[Path]:
        """Yield the paths on this machine that a stack's builds read."""
        yield stack.path
        for service in self._project.compose[stack.name].built().values():
            if service.build is None:
                continue
            build = service.build
            yield from (Path(value) for _, value in build.contexts if Path(value).is_absolute())
            yield from build.inputs
            if not build.is_remote:
                yield Path(build.context)

    @cached_property
    def _places(self) -> Mapping[Path, str]:
        others = sorted({top for needed in self._needed.values() for top in needed})
        return places(self._own, self._origin(self._own).name, others)

    @property
    def _place_of_onevm(self) -> str:
        place = self._places.get(self._onevm.top.resolve())
        if place is None:
            place = "onevm"
            while any(taken == place or taken.startswith(f"{place}/") for taken in self._places.values()):
                place += "_"
        return place

    def _top(self, path: Path) -> Path:
        """Return the top of the repository that a path is in; of the outermost, if that is a submodule."""
        checkout = Checkout(path if path.is_dir() else path.parent).outermost
        top = checkout.top.resolve()
        self._checkouts.setdefault(top, checkout)
        return top

    def _origin(self, top: Path) -> Origin:
        return _origin(self._checkouts[top])

    def _clone(self, checkout: Checkout, host: str, place: str) -> Clone:
        """Return how a repository is cloned by a workflow on a forge."""
        found = _origin(checkout)
        url = checkout.origin if checkout.origin.startswith("http") else f"https://{found.host}/{found.path}.git"
        clone = _whole(checkout.top, place)
        return replace(clone, repository=found.path) if found.host == host else replace(clone, url=url)

    def _build_secrets(self, stacks: Iterable[Stack]) -> Iterator[str]:
        for stack in stacks:
            for service in self._project.compose[stack.name].built().values():
                yield from (s.environment for s in service.build.secrets if s.environment) if service.build else ()


def _origin(checkout: Checkout) -> Origin:
    found = forge.origin(checkout.origin)
    if found is None:
        raise OnevmError(
            f"{checkout.top} has no remote `origin` on a forge, from which CI could clone it",
            next_step=f"git -C {checkout.top} remote add origin https://…/<owner>/<name>.git",
        )
    return found


def _whole(top: Path, place: str) -> Clone:
    """Return a clone with all that builds may read in the checkout, submodules and LFS files included."""
    attributes = top / ".gitattributes"
    lfs = attributes.is_file() and "filter=lfs" in attributes.read_text(encoding="utf-8", errors="replace")
    return Clone(place=place, submodules=(top / ".gitmodules").is_file(), lfs=lfs)


def _demanded(stacks: Iterable[Stack]) -> Iterator[str]:
    for stack in stacks:
        for name in stack.compose:
            yield from demanded((stack.path / name).read_text(encoding="utf-8", errors="replace"))
