"""What Compose on a host reads besides a release's own files.

As long as all of it is as it was, Compose makes of the same files what it made of them before: its variables (`.env`,
the environment), the `env_file`s, and Compose itself. Hashes of them are compared, never they themselves.
"""

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from tasks.adapters.plugin_program import PLACES
from tasks.adapters.process import CommandFailed
from tasks.adapters.transport import Transport

READ_SECONDS = 20
END = "-- end of what Compose reads --\n"
_FURTHER_FILES = re.compile(rb"\b(?:include|extends|env_file|label_file)\b")
# Variables that are others in every session, so they are left out; a file that names one cannot be remembered.
_OF_THE_SESSION = "SSH_[A-Z_]*|XDG_[A-Z_]*|SHLVL|PWD|OLDPWD"
_NAMES_ONE = re.compile(rf"\b(?:{_OF_THE_SESSION})\b".encode())
_ABSENT = "absent"
_HASH = re.compile(r"[0-9a-f]{64}\b.*")
# An sshd that forces a command hands ours over in a variable, of several lines. stat(1) of GNU and BusyBox.
_COMPOSE = """(unset SSH_ORIGINAL_COMMAND; env) | LC_ALL=C grep -Ev '^({of_the_session}|_)=' | LC_ALL=C sort | sha256sum
for place in {places}; do stat -L -c '%i %s %Y %n' "$place/cli-plugins/docker-compose" 2>/dev/null || :; done
if [ -n "${{COMPOSE_ENV_FILES:-}}" ]; then echo; fi
printf '%s\\n' {end}
"""
_FILES = """for path in {paths}; do
  if [ -e "$path" ]; then sha256sum < "$path" || echo; else echo {absent}; fi
done
if grep -Eqsw '{of_the_session}' -- {paths}; then echo; fi
printf '%s\\n' {end}
"""


def read_there(files: Mapping[str, bytes], compose: Sequence[str], project: PurePosixPath) -> tuple[str, ...]:
    """Return the files that Compose reads on the host to make sense of its files there; none if that cannot be told.

    Args:
        files: the release's files by path.
        compose: which of them are the Compose files.
        project: the project folder on the host.
    """
    found = [str(project / ".env")]
    for name in compose:
        words = frozenset(_FURTHER_FILES.findall(files[name]))
        if words & {b"include", b"extends"} or _NAMES_ONE.search(files[name]):
            return ()
        if words:
            named = _named(files[name].decode(errors="replace"), name)
            if any("$" in path or path.startswith("~") for path in named) or not named:
                return ()
            found += [str(project / path) for path in named]
    return tuple(dict.fromkeys(found))


def _named(text: str, file: str) -> list[str]:
    """Return the `env_file`s and `label_file`s of a Compose file; none if one of them cannot be made out."""
    from tasks.adapters import yaml_tree
    from tasks.core.errors import OnevmError
    from tasks.core.lint import tree

    try:
        documents = yaml_tree.parse(text, file)
    except OnevmError:
        return []
    found = []
    for document in documents:
        for service in tree.entries(tree.at(document.root, "services")).values():
            for node in (tree.at(service.value, "env_file"), tree.at(service.value, "label_file")):
                found += [tree.text(tree.at(item, "path") or item) for item in tree.items(node) or (node,) if item]
    return found if all(found) else []


def script(*stacks: Sequence[str]) -> str:
    """Return what says on the host how Compose is there, and then, for each stack, how the files are that it reads."""
    end = shlex.quote(END.strip())
    return _COMPOSE.format(of_the_session=_OF_THE_SESSION, end=end, places=PLACES) + "".join(
        _FILES.format(of_the_session=_OF_THE_SESSION, end=end, absent=_ABSENT, paths=shlex.join(paths))
        for paths in stacks
    )


def stamps(told: str, *stacks: Sequence[str]) -> list[str]:
    """Return, for each stack, a hash of what the script said; empty if it could not see all of it."""
    compose, *parts = told.split(END)
    # The environment, and a program.
    whole = len(parts) == len(stacks) + 1 and _HASH.fullmatch(compose.partition("\n")[0]) and compose.count("\n") > 1
    if not whole or "\n\n" in compose:
        return [""] * len(stacks)
    return [_stamp(compose, said, paths) for paths, said in zip(stacks, parts, strict=False)]


def _stamp(compose: str, said: str, paths: Sequence[str]) -> str:
    rows = said.splitlines()
    if len(rows) != len(paths) or not all(row == _ABSENT or _HASH.fullmatch(row) for row in rows):
        return ""
    return hashlib.sha256("\0".join((*paths, compose, said)).encode()).hexdigest()


def ask(transport: Transport, *stacks: Sequence[str]) -> list[str]:
    """Return, for each stack, the hash of what Compose on a host goes by; empty if it cannot be told.

    Args:
        transport: the way to the host.
        stacks: the files that are read for each.
    """
    try:
        return stamps(transport.run(["sh", "-c", script(*stacks)], timeout=READ_SECONDS).stdout, *stacks)
    except CommandFailed:
        return [""] * len(stacks)
