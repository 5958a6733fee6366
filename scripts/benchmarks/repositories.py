"""Some repositories, each a stack of small services, deployed to a VM of the lab: by Onevm, or by hand."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.benchmarks.figures import Link
from scripts.benchmarks.measure import CLONE, ENVIRONMENT, doit
from tests.e2e.vm import Vm, running_vm
from tests.integration.shop import lab_registry

REPOSITORIES = 4
FILES = 20
_WHO = {f"GIT_{role}_{what}": "bench@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_DOCKERFILE = """ARG REGISTRY
FROM ${REGISTRY}/base/busybox:1
COPY . /www/
RUN ls -R /www >/listing
USER 1000:1000
CMD ["sh", "-c", "trap 'exit 0' TERM; httpd -f -p 8000 -h /www & wait"]
"""
# Asked often while it starts, and seldom afterwards: what runs shall not disturb what is measured.
_HEALTH = {
    "test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/version"],
    "interval": "10m",
    "timeout": "5s",
    "retries": 3,
    "start_period": "20s",
    "start_interval": "200ms",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Repository:
    """A git work tree with a Compose file.

    Attributes:
        folder: the work tree.
        name: the stack's name.
        services: its services.
    """

    folder: Path
    name: str
    services: tuple[str, ...]

    def git(self, *words: str) -> None:
        """Run git in it."""
        subprocess.run(["git", "-C", str(self.folder), *words], check=True, env=os.environ | _WHO, capture_output=True)

    def change(self, service: str, text: str) -> None:
        """Change one file of a service."""
        (self.folder / service / "version").write_text(f"{text}\n")

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)


@dataclass(kw_only=True, slots=True)
class Street:
    """The repositories, and the VM they are deployed to.

    Attributes:
        folder: where they are, with a services.toml.
        vm: the VM.
        registry: where images go.
        team: the folder of the registry, and the beginning of every project's name.
        repositories: the repositories.
        count: how many changes were made.
        link: what the way to the VM is while something is measured.
    """

    folder: Path
    vm: Vm
    registry: str
    team: str
    repositories: list[Repository] = field(default_factory=list)
    count: int = 0
    link: Link = field(default_factory=Link)

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Make the link to the VM what it is to be, for as long as a block lasts."""
        if not self.link:
            yield
            return
        # In microseconds and bits: whole numbers.
        delay = f"{self.link.delay * 1e3:.0f}us" if self.link.delay else ""
        rate = f"{self.link.rate * 1e6:.0f}bit" if self.link.rate else ""
        self.vm.slow(delay=delay, rate=rate)
        try:
            yield
        finally:
            self.vm.fast()

    @property
    def busy(self) -> Repository:
        """The one in which something changes."""
        return self.repositories[1]

    def doit(self, *words: str) -> tuple[str, ...]:
        """Return the command `doit WORDS`."""
        return doit(*words, f"config={self.folder / 'services.toml'}")

    def change_one(self) -> str:
        """Change one service of one repository, and commit; returns the service."""
        self.count += 1
        service = self.busy.services[0]
        self.busy.change(service, f"version {self.count}")
        self.busy.commit(f"Change {service}")
        return service

    def change_all(self) -> None:
        """Change every service."""
        self.count += 1
        for repository in self.repositories:
            for service in repository.services:
                repository.change(service, f"version {self.count}")
            repository.commit("Change everything")

    def change_none(self) -> None:
        """Commit what no image is made from."""
        self.count += 1
        (self.busy.folder / "README").write_text(f"{self.count}\n")
        self.busy.commit("Write about it")

    def bring_sources(self) -> None:
        """Put the work trees on the VM, as `git pull` would; who builds there, or only runs, needs them."""
        there = self.vm.here(self.sources)
        shutil.rmtree(there, ignore_errors=True)
        for repository in self.repositories:
            shutil.copytree(repository.folder, there / repository.name, ignore=shutil.ignore_patterns(".git"))

    @property
    def sources(self) -> str:
        """Where the work trees are on the VM."""
        return "/srv/sources"


def shares(services: int) -> list[int]:
    """Return how many services each repository has."""
    whole, rest = divmod(services, REPOSITORIES)
    return [whole + (number < rest) for number in range(REPOSITORIES)]


def _write(folder: Path, name: str, services: Sequence[str], registry: str, team: str) -> Repository:
    compose: dict[str, object] = {}
    for service in services:
        (folder / service).mkdir(parents=True)
        for number in range(FILES):
            (folder / service / f"file{number}").write_text(f"{service} {number}\n" * 50)
        (folder / service / "Dockerfile").write_text(_DOCKERFILE)
        (folder / service / "version").write_text(f"{team}\n")
        compose[service] = {
            "image": f"{registry}/{team}/plain/{name}-{service}:latest",
            "build": {"context": service, "args": {"REGISTRY": registry}},
            "healthcheck": _HEALTH,
            "stop_grace_period": "2s",
            "mem_limit": "32m",
        }
    (folder / "docker-compose.yml").write_text(json.dumps({"services": compose}, indent=1))
    found = Repository(folder=folder, name=name, services=tuple(services))
    found.git("init", "-q", "-b", "main")
    found.commit("Begin")
    return found


@contextmanager
def street(services: int, team: str, link: Link) -> Iterator[Street]:
    """Make all of it, and take it away again.

    Args:
        services: how many services, over all repositories.
        team: a name that is found nowhere else.
        link: what the way to the VM is while something is measured.
    """
    with ExitStack() as closing:
        folder = Path(closing.enter_context(TemporaryDirectory(prefix="bench-")))
        vm = closing.enter_context(running_vm(f"bench{os.getpid()}"))
        found = Street(folder=folder, vm=vm, registry=lab_registry(), team=team, link=link)
        closing.callback(_forget, found)
        first = 0
        for number, share in enumerate(shares(services)):
            names = [f"s{index:02}" for index in range(first, first + share)]
            first += share
            name = f"{team}{'abcd'[number]}"
            found.repositories.append(_write(folder / name, name, names, found.registry, team))
        (folder / "services.toml").write_text(
            f'[registry]\nurl = "{found.registry}/{team}"\n'
            f'[hosts.prod]\naddress = "{vm.destination}"\nroot = "{vm.root}"\n'
            + "".join(f'[stacks.{r.name}]\npath = "{r.folder}"\nhost = "prod"\n' for r in found.repositories)
        )
        # Who builds on the VM has its base image.
        vm.docker("pull", "--quiet", f"{found.registry}/base/busybox:1")
        yield found


def _forget(found: Street) -> None:
    """Take away what is on this machine's engine."""
    where = [f"--filter=reference=*/{found.team}/{below}" for below in ("*", "*/*")]
    # What was pushed and then built anew has no tag any more, but a digest.
    both = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
    command = ["docker", "image", "ls", "--digests", "--format", both, *where]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    names = sorted({name for name in said if "<none>" not in name}, key=lambda name: "@" in name)
    if names:
        subprocess.run(["docker", "image", "rm", *names], capture_output=True, check=False)


def run(words: Sequence[str | Path], cwd: Path = CLONE, env: dict[str, str] | None = None) -> None:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed; the message has what it said.
    """
    done = subprocess.run(words, cwd=cwd, env=ENVIRONMENT | (env or {}), capture_output=True, text=True, check=False)
    if done.returncode:
        line = " ".join(map(str, words))
        raise RuntimeError(f"{line} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
