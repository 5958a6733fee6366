"""A snapshot of a stack's containers, taken once per run."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONFIG_LABEL = "dev.onevm.config-hash"
_HALF_RECREATED = re.compile(r"^/?[0-9a-f]{12}_")


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
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
        one_off=labels.get("com.docker.compose.oneoff", "False") == "True",
        aliases=frozenset(
            name
            for network in ((inspected.get("NetworkSettings") or {}).get("Networks") or {}).values()
            for name in network.get("Aliases") or ()
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What the host has of one stack: its containers, and the digests it need not pull."""

    containers: tuple[Container, ...] = ()
    images: frozenset[str] = frozenset()

    def of(self, service: str) -> tuple[Container, ...]:
        """Return the service's own containers, without one-off runs and leftovers."""
        return tuple(c for c in self.containers if c.service == service and not c.one_off and not c.is_leftover)
