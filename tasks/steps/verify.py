"""Asking a deployed stack which commit it runs."""

import time
from typing import Any

from tasks.adapters.host import Reached
from tasks.core.errors import OnevmError
from tasks.core.model import Stack
from tasks.core.release import Release

ASK_SECONDS = 5.0
PAUSE_SECONDS = 0.2


def verify(stack: Stack, release: Release, host: Reached) -> None:
    """Ask the stack's verify address until it answers with a commit that this release's images were built from.

    Args:
        stack: the stack.
        release: what was deployed.
        host: where the address is meant: `127.0.0.1` is the host's own.

    Raises:
        OnevmError: it did not within the time limit; the last answer is the detail.
    """
    if stack.verify is None:
        return
    import requests

    from tasks.adapters.tunnel import session_to

    client = session_to(stack.verify.url, host)
    expected = {service.revision for service in release.services.values() if service.revision}
    deadline = time.monotonic() + stack.verify.timeout_seconds
    while True:
        try:
            answer = client.get(stack.verify.url, timeout=ASK_SECONDS)
            last = f"{answer.status_code} {answer.reason}: {answer.text[:300]}"
            if answer.ok and (not stack.verify.json or str(_at(answer.json(), stack.verify.json)) in expected):
                return
        except (requests.RequestException, ValueError, LookupError, TypeError) as error:
            last = f"{type(error).__name__}: {error}"
        if time.monotonic() >= deadline:
            what = f"{stack.name}: {stack.verify.url} did not answer with the new release"
            wanted = " or ".join(sorted(expected)) if stack.verify.json else "success"
            raise OnevmError(
                f"{what} within {stack.verify.timeout_seconds:g} s",
                detail=f"expected: {wanted}\nlast answer: {last}",
                next_step=f"see whether it is reachable, and stacks.{stack.name}.verify in services.toml",
            )
        time.sleep(PAUSE_SECONDS)


def _at(document: Any, path: str) -> Any:
    for part in path.split("."):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document
