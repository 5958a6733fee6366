"""What the users of an address noticed of a replacement, from requests made all the while."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct


class Request(NamedTuple):
    """One request: when it was made and answered, in seconds of one clock, and whether the answer was a good one."""

    began: float
    ended: float
    answered: bool


class Outage(Struct, frozen=True, kw_only=True):
    """What was noticed.

    Attributes:
        requests: how many were made.
        failed: how many of them had no answer, or one of 500 and above.
        longest_gap: the longest time between two answers, in seconds; what is asked every tenth of a second has at
            least that.
    """

    requests: int
    failed: int
    longest_gap: float

    @property
    def words(self) -> str:
        """As people say it."""
        return f"{self.failed} of {self.requests} failed, longest gap {self.longest_gap:.1f} s"


def outage(requests: Sequence[Request]) -> Outage:
    """Return what was noticed by requests made one after the other."""
    failed = sum(not request.answered for request in requests)
    ends = [request.ended for request in requests if request.answered]
    if not ends:
        gap = requests[-1].ended - requests[0].began if requests else 0.0
    else:
        edges = [requests[0].began, *ends, max(ends[-1], requests[-1].ended)]
        gap = max(after - before for before, after in itertools.pairwise(edges))
    return Outage(requests=len(requests), failed=failed, longest_gap=round(gap, 3))
