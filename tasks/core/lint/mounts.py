"""Rules on what is mounted into containers."""

import os.path
from collections.abc import Iterator

from tasks.core.lint.rule import Fault
from tasks.core.lint.subject import Service, Subject
from tasks.core.rollout import UPSTREAMS

_SOCKETS = ("/var/run/docker.sock", "/run/docker.sock")


def mounts(subject: Subject) -> Iterator[Fault]:
    """Yield mounts that will not be what they are in the checkout, and those that give away too much."""
    for service in subject.services():
        for volume in service.spec.get("volumes") or ():
            if volume.get("type") == "bind" and volume.get("source"):
                yield from _bind(service, str(volume["source"]), str(volume.get("target") or ""))


def _bind(service: Service, source: str, target: str) -> Iterator[Fault]:
    place = service.subject.places.mount(service.name, target)
    if os.path.normpath(source) in _SOCKETS:
        mend = "# take the mount away, or put a proxy between that lets few calls by"
        yield service.fault("docker-socket", place, "it can command the host's engine", mend)
        return
    stack = service.subject.stack
    root = str(stack.path)
    if not source.startswith("/") or not os.path.exists(source) or os.path.commonpath([root, source]) != root:  # noqa: PTH110 (a text of Compose's)
        return
    relative = os.path.relpath(source, root)
    travelling = [os.path.normpath(entry) for entry in (*stack.files, UPSTREAMS)]
    if not any(relative == entry or relative.startswith(f"{entry}/") for entry in travelling):
        what = f"{relative} is mounted from the checkout and does not travel with the release"
        more = ", ".join(f'"{entry}"' for entry in (*stack.files, relative))
        mend = f"[stacks.{stack.name}]   # services.toml\nfiles = [{more}]"
        if relative == ".":
            mend = "# take the mount away: the image has the sources"
        yield service.fault("mount-does-not-travel", place, what, mend)
    elif os.path.isfile(source):  # noqa: PTH113
        folder = os.path.dirname(relative) or service.name  # noqa: PTH120
        what = f"{relative} is mounted as a single file"
        mend = f'# mount its folder, with "{folder}" in files:\n- ./{folder}:{os.path.dirname(target)}:ro'  # noqa: PTH120
        if folder == service.name:
            mend = f"# mkdir {folder} && git mv {relative} {folder}/\n{mend}"
        yield service.fault("single-file-mount", place, what, mend)
