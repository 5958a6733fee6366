"""What the Caddyfiles of a stack lack for start-first rollouts (docs/rollouts.md): each finding with file and line."""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from tasks.core.rollout import UPSTREAMS

_DIRECT = re.compile(r"\b(?:reverse_proxy|to|dynamic\s+a(?:aaa)?)\s+(?P<rest>[^{#]*)")
_UPSTREAM = re.compile(r"(?:https?://|h2c://)?(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?::\d+|\s+\d+|\s*$)")
_READ = re.compile(rf"{{file\.(?P<folder>[^}}]*?)/?{UPSTREAMS}/(?P<name>[A-Za-z0-9._-]+)}}")


class Lack(Struct, frozen=True, kw_only=True):
    """Something that is missing: the rule, where, what comes of it, and what to write."""

    rule: str
    file: str
    line: int
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def lacks(contents: Mapping[str, bytes], services: frozenset[str], *, mounted: bool) -> tuple[Lack, ...]:
    """Return what is missing in a stack's travelling Caddyfiles.

    Args:
        contents: travelling files by path; those without a `reverse_proxy` are none of ours.
        services: the stack's services that could be replaced start-first.
        mounted: whether a service mounts the folder `upstreams`.
    """
    return tuple(
        lack
        for file, content in sorted(contents.items())
        if b"reverse_proxy" in content
        for lack in _of_file(file, content.decode(errors="replace"), services, mounted=mounted)
    )


def _of_file(file: str, text: str, services: frozenset[str], *, mounted: bool) -> Iterator[Lack]:
    lines = [line.partition(" #")[0] if not line.lstrip().startswith("#") else "" for line in text.splitlines()]
    reads = [(number, m["name"]) for number, line in enumerate(lines, 1) for m in _READ.finditer(line)]
    for number, line in enumerate(lines, 1):
        for name in _named(line):
            if name in services:
                what = f"asks {name} by its own name: while it is replaced, requests wait or fail"
                mend = f"dynamic a {{ name {{file./{UPSTREAMS}/{name}}}; port …; refresh 1s }}"
                yield Lack(rule="proxy-asks-service", file=file, line=number, what=what, mend=mend)
    if not reads:
        return
    first, name = reads[0]
    code = "\n".join(lines)
    if not mounted:
        what = f"reads {UPSTREAMS}/{name}, and no service mounts that folder"
        mend = f'volumes: ["./{UPSTREAMS}:/{UPSTREAMS}:ro"]   # of the proxy'
        yield Lack(rule="proxy-upstreams-not-mounted", file=file, line=first, what=what, mend=mend)
    if "lb_try_duration" not in code:
        what = "a refused connection is not tried again"
        mend = "lb_try_duration 10s   # in reverse_proxy"
        yield Lack(rule="proxy-no-retry", file=file, line=first, what=what, mend=mend)
    if not re.search(r"\brefresh\s+\d", code):
        what = "the addresses behind a name are kept for a minute"
        mend = "refresh 1s   # beside the name"
        yield Lack(rule="proxy-caches-addresses", file=file, line=first, what=what, mend=mend)


def _named(line: str) -> Iterator[str]:
    if found := _DIRECT.search(line):
        for word in re.finditer(r"\S+(?:\s+\d+\b)?", found["rest"]):
            if (match := _UPSTREAM.fullmatch(word[0])) is not None:
                yield match["name"]
