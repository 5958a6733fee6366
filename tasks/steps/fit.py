"""Whether two copies of a service can stand side by side on the host as it is now; if not, in-place replacement."""

from collections.abc import Mapping

from tasks.adapters.engine import Engine
from tasks.adapters.transport import Transport
from tasks.core import rollout
from tasks.core.compose import ComposeProject, ComposeService
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.core.observed import Observed
from tasks.core.plan import Operation, Plan
from tasks.core.values import replace

READ_SECONDS = 10
MEGABYTE = 1_000_000


def fit(
    plan: Plan, stack: Stack, project: ComposeProject, observed: Observed, *, transport: Transport, engine: Engine
) -> Plan:
    """Return the plan with the start-first operations that cannot be done on this host now replaced by `recreate`.

    Args:
        plan: the plan as the files say it.
        stack: its stack.
        project: its Compose project.
        observed: the snapshot of the host.
        transport: the way to the host.
        engine: its engine.

    Raises:
        OnevmError: the memory does not suffice for a start-first that services.toml asks for.
    """
    wanted = [op for op in plan.of("recreate") if op.rollout == "start-first"]
    if not wanted:
        return plan
    free = available_bytes(transport)
    instead: dict[str, str] = {}
    for op in wanted:
        service = project.services[op.service]
        missing = _missing(service, observed)
        need = missing * (rollout.memory_bytes(service) or _in_use(service, observed, engine)) if missing else 0
        if _nameless(op.service, observed, stack):
            instead[op.service] = "its container has no name of its own yet; from the next time on it is start-first"
        elif free is not None and need > free:
            figures = f"a copy beside it may take {need // MEGABYTE} MB, and the host has {free // MEGABYTE} MB free"
            if stack.settings(op.service).rollout == "start-first":
                raise OnevmError(
                    f"{stack.name}.{op.service}: {figures}",
                    next_step='nothing was touched; free memory, lower its limit, or take rollout = "auto"',
                )
            instead[op.service] = figures
        elif free is not None:
            free -= need
    return replace(plan, operations=tuple(_changed(op, instead) for op in plan.operations))


def _changed(op: Operation, instead: Mapping[str, str]) -> Operation:
    if op.verb != "recreate" or op.service not in instead:
        return op
    return replace(op, rollout="recreate", reason=instead[op.service])


def available_bytes(transport: Transport) -> int | None:
    """Return the memory that a host can give without swapping; None if it does not say (proc_meminfo(5))."""
    said = transport.run(["cat", "/proc/meminfo"], timeout=READ_SECONDS, check=False).stdout
    for line in said.splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return None


def _missing(service: ComposeService, observed: Observed) -> int:
    # Copies that a killed deploy left are there already; which they are, the config hash would say, if it is known.
    return max(service.replicas * 2 - len(observed.of(service.name)), 0)


def _in_use(service: ComposeService, observed: Observed, engine: Engine) -> int:
    running = [c.id for c in observed.of(service.name) if c.state == "running"]
    return max((engine.memory_bytes(i) for i in running), default=0)


def _nameless(name: str, observed: Observed, stack: Stack) -> bool:
    """Whether a proxy that is to be switched could not be told to ask the old copies only."""
    if stack.settings(name).rollout == "start-first":
        return False
    running = [c for c in observed.of(name) if c.state == "running"]
    return bool(running) and not any(rollout.is_alias(name, alias) for c in running for alias in c.aliases)
