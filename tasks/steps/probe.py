"""Asking a stack's addresses while its containers are replaced: what its users notice is measured, not claimed."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import Struct, field

from tasks.adapters.host import Reached
from tasks.core.model import Stack
from tasks.core.outage import Outage, Request, outage
from tasks.core.plan import Plan

if TYPE_CHECKING:
    from requests import Session

ASK_SECONDS = 10.0
PAUSE_SECONDS = 0.1
SERVER_ERROR = 500
WHOLE_STACK = "verify"


class Probes(Struct):
    """The requests of each address, by the name of the service; `verify` is the stack's own address."""

    requests: dict[str, list[Request]] = field(default_factory=dict)

    def outages(self) -> dict[str, Outage]:
        """Return what was noticed so far, by address."""
        return {name: outage(requests) for name, requests in sorted(self.requests.items()) if requests}


@contextmanager
def probing(stack: Stack, host: Reached, plan: Plan) -> Iterator[Probes]:
    """Ask the addresses of a stack until the end of the block, if the plan replaces anything.

    Args:
        stack: its `verify` address, and the `probe` addresses of services that are replaced.
        host: where the addresses are meant.
        plan: what is about to be done.
    """
    replaced = plan.services("recreate", "start")
    addresses = {name: s.probe for name, s in stack.services.items() if s.probe and name in replaced}
    if stack.verify and replaced:
        addresses[WHOLE_STACK] = stack.verify.url
    if not addresses:
        yield Probes()
        return
    # Only a run that replaces something imports it.
    from tasks.adapters.tunnel import session_to

    found, over = Probes(), threading.Event()
    asking = []
    for name, url in addresses.items():
        requests = found.requests[name] = []
        asking.append(threading.Thread(target=_ask, args=(url, session_to(url, host), requests, over), daemon=True))
    for thread in asking:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in asking:
            thread.join(ASK_SECONDS)


def _ask(url: str, client: "Session", requests: list[Request], over: threading.Event) -> None:
    from requests import RequestException

    with client:
        while not over.is_set():
            began = time.monotonic()
            try:
                answered = client.get(url, timeout=ASK_SECONDS).status_code < SERVER_ERROR
            except RequestException:
                answered = False
            requests.append(Request(began, time.monotonic(), answered))
            over.wait(PAUSE_SECONDS)
