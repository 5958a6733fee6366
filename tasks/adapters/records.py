"""Everything a host has on record of a stack, for those who must not overlook anything.

`ReleaseFolder.releases` leaves out what it cannot read, since a deploy goes on without. Here whatever is not clear is
a doubt, and only what certainly is not there counts as absent.
"""

from pathlib import PurePosixPath

from msgspec import Struct

from tasks.adapters.process import CommandFailed
from tasks.adapters.release_folder import FILES_SECONDS, ReleaseFolder
from tasks.adapters.transport import Transport
from tasks.core.errors import OnevmError
from tasks.core.release import Release, from_json

# That a path is not there can be told only by who may search the folder above it.
_UNLESS_ABSENT = """set -u
if [ ! -d "$place" ]; then
  above=$place
  while [ -n "$above" ] && [ ! -e "$above" ]; do above=${above%/*}; done
  above=${above:-/}
  if [ -d "$above" ] && [ -x "$above" ]; then echo absent; exit 0; fi
  echo "$above may not be searched" >&2; exit 1
fi
cd "$place" && ls >/dev/null || exit 1
echo there
"""
_STACKS = f"""place=$1
{_UNLESS_ABSENT}
for folder in *; do
  [ ! -d "$folder" ] || {{ [ -x "$folder" ] && [ ! -e "$folder/releases" ]; }} || printf '%s\\000' "$folder"
done
echo end
"""
_READ = f"""place=$1/releases
{_UNLESS_ABSENT}
echo "$(readlink ../current)"
echo "$(cat ../switching 2>/dev/null)"
for folder in *; do
  [ -d "$folder" ] || continue
  echo "$folder"
  if [ ! -x "$folder" ]; then echo unreadable
  elif [ -e "$folder/release.json" ]; then cat -- "$folder/release.json" 2>/dev/null || echo unreadable
  else echo unrecorded; fi
  printf '\\000'
done
echo end
"""


class Records(Struct, frozen=True, kw_only=True):
    """What a host has on record of a stack.

    Attributes:
        there: whether it has anything.
        releases: those that can be read, newest first.
        current: the one that runs; None if no deploy was ever good.
        switching: the id of the release that a run was on its way to when it was cut off, or that it left standing.
        doubts: what cannot be told, a sentence each.
    """

    there: bool = False
    releases: tuple[Release, ...] = ()
    current: Release | None = None
    switching: str = ""
    doubts: tuple[str, ...] = ()


def read(folder: ReleaseFolder) -> Records:
    """Return what a host has on record of a stack.

    Raises:
        OnevmError: the host cannot be asked, or does not let us look.
    """
    host = folder.transport.name
    out = _asked(folder.transport, _READ, str(folder.path))
    if out is None:
        return Records()
    link, _, out = out.partition("\n")
    switching, _, out = out.partition("\n")
    found: dict[str, Release] = {}
    doubts: list[str] = []
    for name, text in (part.split("\n", 1) for part in out.split("\0")[:-1]):
        where = f"{folder.path}/releases/{name}/release.json on host {host}"
        if text.strip() == "unrecorded":
            continue
        try:
            found[name] = from_json(text, where)
        except OnevmError:
            doubts.append(f"{where} cannot be read as a release")
    current = found.get(link.rpartition("/")[2])
    if link and current is None:
        doubts.append(f"{folder.path}/current on host {host} points to {link}, which is no readable release")
    if switching and switching not in found:
        doubts.append(f"a run was cut off on host {host} on its way to release {switching}")
    releases = tuple(sorted(found.values(), key=lambda r: r.id, reverse=True))
    return Records(there=True, releases=releases, current=current, switching=switching, doubts=tuple(doubts))


def stacks(transport: Transport, root: PurePosixPath) -> tuple[str, ...]:
    """Return the names of the folders in a host's root folder that may have releases.

    Raises:
        OnevmError: the host cannot be asked, or does not let us look.
    """
    out = _asked(transport, _STACKS, str(root))
    return tuple((out or "").split("\0")[:-1])


def _asked(transport: Transport, script: str, place: str) -> str | None:
    """Run a script that ends with a line `end`; returns its output without its first word, None for `absent`."""
    try:
        out = transport.run(["sh", "-c", script, "sh", place], timeout=FILES_SECONDS).stdout
    except CommandFailed as failed:
        raise OnevmError(
            f"host {transport.name}: it cannot be told what {place} holds",
            detail=failed.stderr.strip(),
            next_step="see its owner and mode, and `root` of the host in services.toml",
        ) from None
    word, _, out = out.partition("\n")
    if word == "absent":
        return None
    if word != "there" or out.rpartition("\0")[2].strip().rpartition("\n")[2] != "end":
        raise OnevmError(f"host {transport.name}: what {place} holds did not arrive whole", next_step="run it again")
    return out
