"""What Compose makes once and leaves as it is: networks, which a deploy makes anew, and volumes, which nobody does."""

from collections.abc import Mapping
from typing import Any

from tasks.adapters.engine import Engine
from tasks.core import networks, volumes
from tasks.core.errors import OnevmError
from tasks.core.networks import Renewal
from tasks.core.observed import Observed
from tasks.core.plurals import counted

KEPT = "made anew it would be empty, so it stays as it is"


def renewals(
    stack: str,
    definitions: Mapping[str, Mapping[str, Any]],
    observed: Observed,
    engine: Engine,
    *,
    only: frozenset[str] | None,
) -> dict[str, Renewal]:
    """Return the networks that must be made anew, as the Compose files call them.

    Args:
        stack: the stack's name.
        definitions: its own networks that the services named are in.
        observed: the snapshot of the host.
        engine: the host's engine.
        only: services to touch; None for all.

    Raises:
        OnevmError: somebody is in one of them who does not go with it.
    """
    found = networks.renewals(stack, definitions, observed)
    own = {c.id for c in observed.containers if not c.one_off}
    for name, why in found.values():
        if only is not None:
            raise OnevmError(
                f"{stack}: network {name} must be made anew, with all services in it: {why}",
                next_step=f"nothing was touched; `doit deploy:{stack}` does it",
            )
        if others := sorted(c for i, c in engine.inside(name).items() if i not in own):
            raise OnevmError(
                f"{stack}: network {name} must be made anew ({why}), and {', '.join(others)} of elsewhere is in it",
                next_step=f"nothing was touched; `docker network disconnect {name} {others[0]}`, and connect it again"
                " after the deploy",
            )
    return found


def refuse_volumes(stack: str, project: Mapping[str, Any], observed: Observed) -> None:
    """Stop where Compose files say of a volume what it is not.

    Raises:
        OnevmError: they do.
    """
    found = _volumes(project, observed)
    if found:
        name = next(iter(volumes.differences(project, observed)))
        raise OnevmError(
            f"{stack}: Compose would silently ignore what the Compose files say of {counted(len(found), 'volume')}",
            detail="\n".join(found),
            next_step=f"nothing was touched; take the change back, or give it another `name:` than {name}: a new, empty"
            " volume, for data that is copied by hand",
        )


def notes(stack: str, project: Mapping[str, Any], observed: Observed) -> tuple[str, ...]:
    """Return what of a recorded release's volumes is not as it was then."""
    return tuple(f"{stack}: {text}" for text in _volumes(project, observed))


def _volumes(project: Mapping[str, Any], observed: Observed) -> list[str]:
    found = volumes.differences(project, observed)
    return [f"volume {name}: {how}; {KEPT}" for name, how in found.items()]
