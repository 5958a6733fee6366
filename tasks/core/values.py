"""Values: what most classes of Onevm are, as `msgspec.Struct`.

A dataclass is made by running code that it writes when its module is loaded, a millisecond each. For the hundred that a
deploy needs that was half of the time in which Onevm is loaded. A few are dataclasses nevertheless: those with a field
that is not compared, not shown, or computed once.
"""

import dataclasses
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def replace(value: T, /, **changes: Any) -> T:
    """Return a copy of a value with some of its fields changed (`copy.replace` of Python 3.13)."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **changes)
    return dataclasses.replace(value, **changes)  # type: ignore[type-var]


def plain(value: object) -> dict[str, Any]:
    """Return a value, and all values in it, as JSON has them."""
    found: dict[str, Any] = msgspec.to_builtins(value, enc_hook=str)
    return found
