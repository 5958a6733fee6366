"""The words of services.toml as values. What Compose already says is in `compose.py`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from tasks.core.errors import Problem
from tasks.core.source import Source
from tasks.core.toml_lines import KeyPath

CacheKind = Literal["none", "inline", "registry", "gha"]
RolloutKind = Literal["auto", "start-first", "recreate"]
OnFailure = Literal["rollback", "keep"]


class Registry(Struct, frozen=True, kw_only=True):
    """Where images are pushed to.

    `url` is `host[:port][/path]`, with no scheme; images are `<url>/<stack>-<service>`.
    `password_env` names the environment variable that holds the password.
    """

    url: str
    username: str | None = None
    password_env: str | None = None
    insecure: bool = False


class Builder(Struct, frozen=True, kw_only=True):
    """Which buildx builder bakes, and where it keeps its cache."""

    name: str = "default"
    cache: CacheKind = "inline"


class VmSettings(Struct, frozen=True, kw_only=True):
    """What `doit vm` gives a host.

    `log_size`, `builder_cache` and `swap` are sizes like `10m`; the latter two may be `none`, and `swap` `auto`.
    `disk_alert` is in percent; `alert_webhook_env` names the environment variable that holds the webhook's address.
    """

    log_size: str = "10m"
    log_files: int = 3
    builder_cache: str = "5g"
    swap: str = "auto"
    swap_file: str = "/swapfile"
    swappiness: int = 10
    disk_alert: int = 80
    alert_command: str | None = None
    alert_webhook_env: str | None = None


class Host(Struct, frozen=True, kw_only=True):
    """A machine that stacks run on. `address` is `local` or `ssh://[user@]host[:port]`."""

    name: str
    address: str = "local"
    root: Path
    keep_releases: int = 5
    vm: VmSettings = field(default_factory=VmSettings)

    @property
    def is_local(self) -> bool:
        """Whether the host is this machine's own engine."""
        return self.address == "local"


class Verify(Struct, frozen=True, kw_only=True):
    """An address to ask after a deploy; `json` is the dotted path of the commit in the answer."""

    url: str
    json: str | None = None
    timeout_seconds: float = 30


class Hooks(Struct, frozen=True, kw_only=True):
    """Commands run on the host around a deploy."""

    before_deploy: str | None = None
    after_deploy: str | None = None
    on_failure: str | None = None


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """What services.toml adds to a Compose service.

    `drain_seconds` is how long an old copy goes on with the requests it has, before it is told to stop;
    `probe` is an address that is asked while the service is replaced; `ignore` has a reason for each rule of
    `doit check` that shall say nothing.
    """

    rollout: RolloutKind = "auto"
    drain_seconds: float = 5
    probe: str | None = None
    volatile_args: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    ignore: Mapping[str, str] = field(default_factory=dict)


class Stack(Struct, frozen=True, kw_only=True):
    """One Compose project in a git checkout. `path` is absolute; `compose` and `files` are relative to it."""

    name: str
    path: Path
    compose: tuple[str, ...]
    host: str
    on_failure: OnFailure = "rollback"
    files: tuple[str, ...] = ()
    verify: Verify | None = None
    hooks: Hooks = field(default_factory=Hooks)
    ignore: Mapping[str, str] = field(default_factory=dict)
    services: dict[str, ServiceSettings] = field(default_factory=dict)
    source: Source = field(default_factory=Source)

    def settings(self, service: str) -> ServiceSettings:
        """Return what services.toml says of a service; the defaults if it says nothing."""
        return self.services.get(service, ServiceSettings())

    @property
    def line(self) -> int:
        """Line of the stack's section in the file it came from."""
        return self.source.line(("stacks", self.name))

    def problem(self, key: KeyPath, message: str) -> Problem:
        """Return a mistake at a key of this stack's section, for example `("services", "web", "rollout")`."""
        return self.source.problem(("stacks", self.name, *key), message)


class Configuration(Struct, frozen=True, kw_only=True):
    """services.toml, read and checked. `path` is absolute; `source` knows the line of every key."""

    path: Path
    registry: Registry
    builder: Builder
    hosts: dict[str, Host]
    stacks: dict[str, Stack]
    source: Source = field(default_factory=Source)
