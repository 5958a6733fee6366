"""A stack that was pushed and never deployed: what a plan of it asks."""

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.gate import running_wire

pytestmark = pytest.mark.engine


def test_a_first_plan_asks_the_registry_for_digests_alone(lab: str, make_shop: MakeShop) -> None:
    with running_wire(lab) as wire:
        shop = make_shop("ab", registry=wire.host)
        shop.doit("push").ok()
        before = len(wire.requests)
        (stack,) = shop.doit("plan", "format=json").ok().json["stacks"]
        assert {op["verb"] for op in stack["operations"]} <= {"pull", "create"}
        assert len(stack["operations"]) >= len("ab")
        asked = wire.requests[before:]
        assert {method for method, _ in asked} == {"HEAD"}
        assert len(asked) == 2 * len("ab")
