"""A private copy of tests/stacks/tiny, deployed on the real engine through the real registry, and gone afterwards.

Calls of `docker` are recorded by a program of that name which comes first on PATH, writes down its arguments and
becomes the real one.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import requests
from ruamel.yaml import YAML

PROJECT = Path(__file__).resolve().parents[2]
TINY = PROJECT / "tests" / "stacks" / "tiny"
COMPOSE = "docker-compose.yml"
EXTERNAL = "e"
LONGEST_RUN = 150
# What doit itself calls commands; anything else is a task.
DOIT_COMMANDS = {"list", "info", "forget"}
_OCI, _DOCKER = "application/vnd.oci.image", "application/vnd.docker.distribution"
MANIFESTS = (
    f"{_OCI}.manifest.v1+json, {_OCI}.index.v1+json, {_DOCKER}.manifest.v2+json, {_DOCKER}.manifest.list.v2+json"
)
SERVE = ["sh", "-c", "trap 'exit 0' TERM; httpd -f -p 8000 -h /www & wait"]
_END = "<end of call>"
# A variable of the session, as Onevm sees it: to be another in every run means nothing to Compose.
_CALLS = "XDG_ONEVM_CALLS"
_RECORDER = f"""#!/bin/sh
printf '%s\\037' "$@" '{_END}' >>"${_CALLS}"
exec {{docker}} "$@"
"""


def lab_registry() -> str:
    return os.environ.get("ONEVM_LAB_REGISTRY", "127.0.0.1:5055")


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait until a condition holds; fail with `what` was waited for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"in {seconds:g} s it did not come to this: {what}"
        time.sleep(0.02)


def docker(*args: str, check: bool = True) -> str:
    """Run the real docker; what it says."""
    done = subprocess.run(["docker", *args], capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(args)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Container:
    """A container of the stack."""

    id: str
    name: str
    service: str
    image: str
    started: str
    state: str


@dataclass(frozen=True)
class Ran:
    """A command that ended: `calls` are the arguments of every call of docker."""

    code: int
    out: str
    err: str
    calls: tuple[tuple[str, ...], ...]

    @property
    def bakes(self) -> list[list[str]]:
        """The targets of each bake."""
        return [_targets(call) for call in self.calls if call[:2] == ("buildx", "bake")]

    @property
    def ups(self) -> list[set[str]]:
        """The services of each `docker compose up`."""
        ups = [call[call.index("up") + 1 :] for call in self.calls if call[:1] == ("compose",) and "up" in call]
        return [{word for word in call if not word.startswith("-")} for call in ups]

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def ok(self) -> "Ran":
        """Fail unless it ended well."""
        assert self.code == 0, self
        return self

    def __str__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def _targets(call: tuple[str, ...]) -> list[str]:
    words = iter(call[2:])
    targets = []
    for word in words:
        if word.startswith("--"):
            assert "=" not in word, call
            next(words)
        else:
            targets.append(word)
    return sorted(targets)


@dataclass
class Running:
    """A command that still runs."""

    process: subprocess.Popen[bytes]
    files: Path

    @property
    def out(self) -> str:
        return self.files.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self.files.with_suffix(".err").read_text()

    @property
    def calls(self) -> tuple[tuple[str, ...], ...]:
        """The calls of docker so far."""
        file = self.files.with_suffix(".calls")
        words = file.read_text().split("\037") if file.exists() else []
        calls: list[tuple[str, ...]] = []
        call: list[str] = []
        for word in words:
            if word == _END:
                calls.append(tuple(call))
                call = []
            else:
                call.append(word)
        return tuple(calls)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> Ran:
        try:
            code = self.process.wait(LONGEST_RUN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it did not end within {LONGEST_RUN} s\n{self.out}\n{self.err}") from None
        return Ran(code, self.out, self.err, self.calls)


@dataclass
class Shop:
    """One stack with its checkout, its services.toml, its place in the registry and its root folder on the host.

    Attributes:
        folder: where everything of it is.
        services: which of the services of tests/stacks/tiny it has.
        registry: host of the registry.
        name: name of the stack, found nowhere else on this machine.
        root: the root folder of the host.
        team: the folder of the registry in which its images are.
    """

    folder: Path
    services: str = "abcde"
    host: ClassVar[str] = "here"
    registry: str = field(default_factory=lab_registry)
    name: str = field(default_factory=lambda: f"tiny{uuid.uuid4().hex[:10]}")
    root: Path = Path()
    team: str = ""
    env: dict[str, str] = field(default_factory=dict)
    _runs: int = 0
    _started: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.folder / self.name
        self.team = self.team or self.name
        if self.root == Path():
            self.root = self.folder / "root"
        for name in ("bin", "tmp", "runs"):
            (self.folder / name).mkdir(parents=True)
        recorder = self.folder / "bin" / "docker"
        recorder.write_text(_RECORDER.format(docker=shutil.which("docker")))
        recorder.chmod(0o755)

    # The checkout

    @property
    def repo(self) -> Path:
        return self.folder / "repo"

    def create(self) -> "Shop":
        """Copy the stack, commit it and write services.toml."""
        shutil.copytree(TINY, self.repo)
        with self.compose() as compose:
            for service in set(compose["services"]) - set(self.services):
                del compose["services"][service]
        for service in self.built:
            # In the context, so in the content key: no other shop's image will do.
            self.write(f"{service}/shop", self.name)
        self.git("init", "-q", "-b", "main")
        # The name makes the commit, and so the images, like no other shop's.
        self.commit(f"Open the shop {self.name}")
        self.configure()
        return self

    def cloned(self, folder: Path, *how: str, registry: str = "", hub: Path | None = None) -> "Shop":
        """Return the same stack in a fresh clone elsewhere; `how` are git's options, `hub` another repository of it."""
        other = Shop(
            folder,
            services=self.services,
            registry=registry or self.registry,
            name=self.name,
            root=self.root,
            team=self.team,
            env=dict(self.env),
        )
        subprocess.run(["git", "clone", "-q", *how, f"file://{hub or self.repo}", str(other.repo)], check=True)
        other.configure()
        return other

    def configure(self, stack: str = "", more: str = "", name: str = "services.toml") -> Path:
        """Write services.toml; `stack` is more for the stack's section, `more` comes after it."""
        file = self.folder / name
        file.write_text(
            f'[registry]\nurl = "{self.registry}/{self.team}"\n'
            f'[hosts.{self.host}]\naddress = "local"\nroot = "{self.root}"\n'
            f'[stacks.{self.name}]\npath = "repo"\nhost = "{self.host}"\n{stack}\n{more}\n'
        )
        return file

    def git(self, *args: str) -> str:
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in _WHO.items()}
        env = os.environ | who
        done = subprocess.run(["git", "-C", str(self.repo), *args], check=True, capture_output=True, text=True, env=env)
        return done.stdout.strip()

    @property
    def sha(self) -> str:
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, text: str) -> Path:
        file = self.repo / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def dockerfile(self, service: str, lines: str = "", command: list[str] = SERVE) -> None:
        """Replace a Dockerfile: `lines` stand after the version was copied."""
        start = "ARG REGISTRY=127.0.0.1:5055\nFROM ${REGISTRY}/base/busybox:1\nCOPY version /www/version\n"
        self.write(f"{service}/Dockerfile", f"{start}{lines}\nUSER 1000:1000\nCMD {json.dumps(command)}\n")

    def commit(self, message: str = "Change something") -> str:
        """Commit everything; the commit's sha."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.sha

    @contextmanager
    def compose(self) -> Iterator[Any]:
        """Edit the Compose file as a document."""
        yaml = YAML(typ="rt")
        document = yaml.load((self.repo / COMPOSE).read_text())
        yield document
        with (self.repo / COMPOSE).open("w") as file:
            yaml.dump(document, file)

    # Running Onevm

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> Running:
        """Start `doit ARGS`, in a session of its own."""
        self._runs += 1
        files = self.folder / "runs" / f"{self._runs:03}"
        command, rest = ([args[0]], args[1:]) if args and args[0] in DOIT_COMMANDS else ([], args)
        words = [sys.executable, "-m", "doit", *command, "-f", str(PROJECT / "dodo.py"), *rest]
        if not any(word.startswith("config=") for word in rest):
            words.append(f"config={self.folder / 'services.toml'}")
        others = ("ONEVM_", "COMPOSE_", "PYTEST_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        own = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "TMPDIR": str(self.folder / "tmp"),
            "ONEVM_LAB_REGISTRY": lab_registry(),
            _CALLS: str(files.with_suffix(".calls")),
        }
        with files.with_suffix(".out").open("wb") as out, files.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.folder,
                env=kept | own | self.env | dict(env or {}),
                start_new_session=True,
            )
        running = Running(process, files)
        self._started.append(running)
        return running

    def doit(self, *args: str, env: Mapping[str, str] | None = None) -> Ran:
        """Run `doit ARGS` to its end."""
        return self.start(*args, env=env).wait()

    def processes(self) -> dict[int, str]:
        """Return the processes of this shop's runs, and the build steps that name it, by id."""
        mark = self.name.encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    line = (entry / "cmdline").read_bytes()
                    if mark in line or mark in (entry / "environ").read_bytes():
                        found[int(entry.name)] = line.replace(b"\0", b" ").decode(errors="replace")
                except OSError:
                    continue
        return found

    # What is there

    def engine(self, *args: str) -> str:
        """Ask the engine of the stack's host."""
        return docker(*args)

    def _ids(self) -> list[str]:
        return self.engine("ps", "--all", "--quiet", "--filter", f"label={_PROJECT}={self.name}").split()

    def _inspected(self) -> list[dict[str, Any]]:
        while ids := self._ids():
            try:
                found: list[dict[str, Any]] = json.loads(self.engine("inspect", *ids))
            except AssertionError:
                # One that vanished between the two questions is an error of the second.
                if ids == self._ids():
                    raise
            else:
                return found
        return []

    def containers(self) -> list[Container]:
        """Return all containers of the stack, stopped and left-over ones included."""
        return [
            Container(
                id=entry["Id"],
                name=entry["Name"].lstrip("/"),
                service=entry["Config"]["Labels"]["com.docker.compose.service"],
                image=entry["Config"]["Image"],
                started=entry["State"]["StartedAt"],
                state=(entry["State"].get("Health") or {}).get("Status", "")
                if entry["State"]["Status"] == "running"
                else entry["State"]["Status"],
            )
            for entry in self._inspected()
        ]

    def running(self) -> dict[str, Container]:
        """Return the one container of each service; fail if there are leftovers or doubles."""
        found = self.containers()
        assert not [c.name for c in found if re.match("^[0-9a-f]{12}_", c.name)], found
        assert len({c.service for c in found}) == len(found), found
        return {c.service: c for c in found}

    def inside(self, service: str, *command: str) -> str:
        """Run a command in a service's container."""
        return self.engine("exec", self.running()[service].id, *command)

    def version(self, service: str) -> str:
        """Return what a service serves as its version."""
        return self.inside(service, "cat", "/www/version")

    def repository(self, service: str) -> str:
        return f"{self.registry}/{self.team}/{self.name}-{service}"

    def tags(self, service: str) -> dict[str, str]:
        """Return the digests in the registry by tag."""
        base = f"http://{lab_registry()}/v2/{self.team}/{self.name}-{service}"
        listed = requests.get(f"{base}/tags/list", timeout=10)
        names = (listed.json().get("tags") or []) if listed.ok else []
        digests = {}
        for tag in names:
            answer = requests.head(f"{base}/manifests/{tag}", headers={"Accept": MANIFESTS}, timeout=10)
            if answer.ok:
                digests[tag] = answer.headers["Docker-Content-Digest"]
        return digests

    def forget_images(self, service: str) -> None:
        """Delete what the registry has of a service."""
        base = f"http://{lab_registry()}/v2/{self.team}/{self.name}-{service}"
        for digest in set(self.tags(service).values()):
            requests.delete(f"{base}/manifests/{digest}", timeout=10).raise_for_status()

    def keys(self, service: str) -> dict[str, str]:
        """Return the digests in the registry by content key."""
        return {tag: digest for tag, digest in self.tags(service).items() if tag.startswith("key-")}

    def all_tags(self) -> dict[str, dict[str, str]]:
        """Return the digests in the registry by built service and tag."""
        return {service: self.tags(service) for service in self.built}

    @property
    def built(self) -> list[str]:
        return [service for service in self.services if service != EXTERNAL]

    @property
    def home(self) -> Path:
        """The stack's folder on the host."""
        return self.root / self.name

    @property
    def current(self) -> dict[str, Any]:
        """The release that `current` points to."""
        found: dict[str, Any] = json.loads((self.home / "current" / "release.json").read_text())
        return found

    def releases(self) -> list[dict[str, Any]]:
        """Return every recorded release, oldest first."""
        return [json.loads(file.read_text()) for file in sorted(self.home.glob("releases/*/release.json"))]

    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.home / "audit.jsonl").read_text().splitlines()]

    def host_files(self) -> dict[str, object]:
        """Return everything under the host's root folder: times, kinds and contents."""
        return {
            str(path.relative_to(self.root)): (path.lstat().st_mtime_ns, path.lstat().st_mode, _content(path))
            for path in sorted(self.root.rglob("*"))
        }

    # Afterwards

    def close(self) -> None:
        """Take away everything this shop left on the engine and in the registry."""
        for running in self._started:
            if running.process.poll() is None:
                running.process.kill()
                running.process.wait()
        until(lambda: not self.processes(), f"no process of {self.name} is left", 120)
        label = f"label={_PROJECT}={self.name}"
        if ids := self.engine("ps", "--all", "--quiet", "--filter", label).split():
            self.engine("rm", "--force", "--volumes", *ids)
        for kind in ("network", "volume"):
            if names := self.engine(kind, "ls", "--quiet", "--filter", label).split():
                self.engine(kind, "rm", *names)
        images = f"reference={self.registry}/{self.team}/{self.name}-*"
        form = "{{.Repository}}:{{.Tag}} {{.Repository}}@{{.Digest}}"
        listed = docker("image", "ls", "--digests", "--format", form, "--filter", images).split()
        if names := sorted({name for name in listed if not name.endswith("<none>")}):
            docker("image", "rm", *names, check=False)
        for service in self.built:
            self.forget_images(service)


_PROJECT = "com.docker.compose.project"
_WHO = {"NAME": "Shopkeeper", "EMAIL": "shopkeeper@example.com"}


def _content(path: Path) -> str:
    if path.is_symlink():
        return str(path.readlink())
    return path.read_text(errors="replace") if path.is_file() else ""
