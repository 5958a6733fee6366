"""A snapshot of a stack's containers, taken once per run."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

CONFIG_LABEL = "dev.onevm.config-hash"
# What `docker compose run` makes.
ONE_OFF_LABEL = "com.docker.compose.oneoff"
_HALF_RECREATED = re.compile(r"^/?[0-9a-f]{12}_")


class Container(Struct, frozen=True, kw_only=True):
    """One container of the stack as the engine describes it."""

    id: str
    name: str
    service: str
    image: str
    config_hash: str
    state: str
    health: str
    exit_code: int
    restarts: int
    started: str
    created: str = ""
    one_off: bool = False
    aliases: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()

    @property
    def is_leftover(self) -> bool:
        """Whether a killed `compose up` left it between creating and renaming."""
        return bool(_HALF_RECREATED.match(self.name))

    @property
    def condition(self) -> str:
        """The state as people say it: `healthy`, `running`, `exited (1)`, `restarting`."""
        if self.state == "running":
            return self.health or "running"
        return f"exited ({self.exit_code})" if self.state == "exited" else self.state


def container(inspected: Mapping[str, Any]) -> Container:
    """Return the container that one entry of `docker inspect` describes."""
    labels = inspected["Config"].get("Labels") or {}
    state = inspected["State"]
    networks = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=inspected["Id"],
        name=inspected["Name"].lstrip("/"),
        service=labels.get("com.docker.compose.service", ""),
        image=inspected["Config"]["Image"],
        config_hash=labels.get(CONFIG_LABEL, ""),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        exit_code=state.get("ExitCode", 0),
        restarts=inspected.get("RestartCount", 0),
        started=state.get("StartedAt", ""),
        created=inspected.get("Created", ""),
        one_off=labels.get(ONE_OFF_LABEL, "False") == "True",
        aliases=frozenset(name for network in networks.values() for name in network.get("Aliases") or ()),
        networks=frozenset(networks),
        volumes=frozenset(m["Name"] for m in inspected.get("Mounts") or () if m.get("Type") == "volume"),
    )


class Network(Struct, frozen=True, kw_only=True):
    """A network that the engine has.

    Attributes:
        name: its name.
        project: the Compose project that it was made for; empty if for none.
        definition_hash: the hash of the definition that it was made from; empty if nobody wrote that on it.
        inspected: what `docker network inspect` says of it.
    """

    name: str
    project: str = ""
    definition_hash: str = ""
    inspected: Mapping[str, Any] = field(default_factory=dict)


class Volume(Struct, frozen=True, kw_only=True):
    """A volume that the engine has."""

    name: str
    driver: str = "local"
    options: Mapping[str, str] = field(default_factory=dict)


class Observed(Struct, frozen=True, kw_only=True):
    """What the host has of one stack: its containers, the digests it need not pull, its volumes; all networks.

    `stamp` is another whenever containers, images or volumes may lead to another plan; empty if that is not known.
    """

    containers: tuple[Container, ...] = ()
    images: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()
    volumes: tuple[Volume, ...] = ()
    stamp: str = ""

    def of(self, service: str) -> tuple[Container, ...]:
        """Return the service's own containers, without one-off runs and leftovers."""
        return tuple(c for c in self.containers if c.service == service and not c.one_off and not c.is_leftover)

    @property
    def starting(self) -> frozenset[str]:
        """The services of which a container has started, and its health is not known yet."""
        return frozenset(c.service for c in self.containers if c.health == "starting" and not c.one_off)

    @property
    def unhealthy(self) -> frozenset[str]:
        """The services of which a container runs and is unhealthy."""
        return frozenset(c.service for c in self.containers if c.condition == "unhealthy" and not c.one_off)
