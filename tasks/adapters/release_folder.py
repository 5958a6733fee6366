"""A stack's folder on its host: releases/, current, project/, audit.jsonl.

Everything is done by short POSIX scripts through a transport, so that this machine and a VM behave alike.
Files appear whole: written beside, then renamed.
"""

import base64
import hashlib
import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from tasks.adapters import refusals
from tasks.adapters.process import CommandFailed
from tasks.adapters.transport import Transport
from tasks.core.errors import OnevmError
from tasks.core.release import Release, from_json

FILES_SECONDS = 60
OVERRIDE = "onevm.yaml"
# What a deploy keeps for itself until it is recorded. If the disk gets full when a container has just been stopped, it
# suffices to write down that the deploy failed, and to start the one before: a container takes less than 100 kB.
RESERVE_BYTES = 4 << 20
RESERVE = "onevm.reserve"
# The folder in a release with what of its Compose files is about the services that changed (steps/excerpted.py).
EXCERPT = "onevm.excerpt"

# $1 folder, $2 release, $3 the reserve's name, $4 its bytes, $5 `switching` if the host is on its way to it then.
_STAGE = """set -eu; umask 022
mkdir -p "$1/releases" "$1/project/upstreams"
trap 'rm -rf "$1/releases/.$2"' EXIT
rm -rf "$1/releases/.$2"; mkdir "$1/releases/.$2"
tar -xf - -C "$1/releases/.$2"
head -c "$4" /dev/zero > "$1/releases/.$2/$3"
rm -rf "$1/releases/$2"; mv "$1/releases/.$2" "$1/releases/$2"
[ "$5" = switching ] || exit 0
cd "$1"; switching "$2"
"""
# Notes that the host is on its way to a release.
_SWITCHING = """switching() { echo "$1" > .switching-new; mv -f .switching-new switching; }
"""
# In upstreams/: has a proxy ask the name $2 for the service $1.
_ASK = """ask() { printf %s "$2" > ".$1.new"; mv -f ".$1.new" "$1"; }
"""
# $1 folder, $2 release; on standard input, one a line: "+ path" to put in place, "- path" to take away,
# "= service name" to have a proxy ask that name.
_PLACE = """set -eu; umask 022; cd "$1"; switching "$2"; cd project
while IFS= read -r line; do
  mark=${line%% *}; path=${line#* }
  if [ "$mark" = - ]; then rm -f -- "$path"; continue; fi
  if [ "$mark" = = ]; then
    mkdir -p upstreams; cd upstreams; ask "${path%% *}" "${path#* }"; cd ..; continue
  fi
  case "$path" in */*) mkdir -p -- "${path%/*}";; esac
  if [ -d "$path" ] && [ ! -L "$path" ]; then rmdir -- "$path"; fi
  cp -p -- "../releases/$2/$path" "$path.onevm-new"; mv -f -- "$path.onevm-new" "$path"
done
"""
# "service name" on standard input, one a line; says what each file held before, empty if there was none.
_POINT = """set -eu; umask 022; mkdir -p "$1/project/upstreams"; cd "$1/project/upstreams"
while read -r service name; do
  echo "$service $(cat "$service" 2>/dev/null)"
  if [ -n "$name" ]; then ask "$service" "$name"; fi
done
"""
_FETCH = """set -eu; cd "$1/releases/$2"; shift 2; tar -cf - -- "$@" | base64
"""
# $1 folder, $2 release, $3 bytes of its record, $4 the reserve's name, $5 `current` if it shall be that, then the
# releases to remove; on standard input a line for the audit log, empty for none, then the record.
_RECORD = """set -eu; umask 022; cd "$1"; id=$2; size=$3; reserve=$4; next=$5; shift 5
IFS= read -r event
rm -f "releases/$id/$reserve"
cat > "releases/$id/.release.json"
# A connection that breaks ends the input early, and says nothing.
[ "$(wc -c < "releases/$id/.release.json")" -eq "$size" ] || { echo "the record did not arrive whole" >&2; exit 1; }
sync "releases/$id/.release.json" 2>/dev/null || sync
mv -f "releases/$id/.release.json" "releases/$id/release.json"
if [ -n "$event" ]; then
  if [ -s audit.jsonl ] && [ -n "$(tail -c 1 audit.jsonl)" ]; then echo >> audit.jsonl; fi
  printf '%s\\n' "$event" >> audit.jsonl; sync audit.jsonl 2>/dev/null || sync
fi
[ "$next" = current ] || exit 0
"""
_ACTIVATE = """set -eu; cd "$1"; id=$2
"""
_POINT_CURRENT = """ln -sfn "releases/$id" .current-new
mv -fT .current-new current 2>/dev/null || mv -fh .current-new current
rm -f switching; sync . 2>/dev/null || sync
"""
_REMOVE = """cd releases; for id in "$@"; do rm -rf -- "$id" ".$id"; done
"""
_DROP = """cd "$1" && [ -d releases ] || exit 0; shift
"""
# The folders without a record, then of how many releases there is one, then the current one's name and record.
CURRENT = """cd "$1" 2>/dev/null || exit 0
echo "$(cat switching 2>/dev/null)"
recorded=0
for folder in releases/* releases/.[!.]*; do
  if [ -e "$folder/release.json" ]; then recorded=$((recorded + 1));
  elif [ -d "$folder" ]; then printf '%s ' "${folder#releases/}"; fi
done; echo; echo "$recorded"
readlink current || exit 0
cat current/release.json 2>/dev/null || exit 0
"""
# One program for all of them, which heads each with its name.
_HISTORY = """cd "$1/releases" 2>/dev/null || exit 0
tail -v -n +1 -- */release.json 2>/dev/null
exit 0
"""
_HEADING = re.compile(r"^==> (.+)/release\.json <==\n", re.MULTILINE)


class Current(Struct, frozen=True, kw_only=True):
    """The release that `current` points to, or why there is none.

    `switching` is the release that a deploy was on its way to when it was killed, empty if none was; `unrecorded` are
    folders of releases without a record, which nobody needs unless a deploy is under way; `recorded` is how many
    releases have one.
    """

    release: Release | None
    note: str = ""
    switching: str = ""
    unrecorded: tuple[str, ...] = ()
    recorded: int = 0


class ReleaseFolder:
    """One stack's folder.

    Args:
        transport: the way to the host.
        root: the host's root folder.
        stack: the stack's name.
    """

    def __init__(self, transport: Transport, root: PurePosixPath, stack: str) -> None:
        self.transport = transport
        self.path = root / stack
        self.project = self.path / "project"
        self.stack = stack

    def _script(self, text: str, *args: str, data: bytes | None = None, timeout: float = FILES_SECONDS) -> str:
        command = ["sh", "-c", text, "sh", str(self.path), *args]
        try:
            return self.transport.run(command, timeout=timeout, input=data).stdout
        except CommandFailed as failed:
            if refused := refusals.known(failed.stderr):
                refused.what = f"host {self.transport.name}, {self.path}: {refused.what}"
                raise refused from None
            raise OnevmError(
                f"host {self.transport.name}: the stack's folder {self.path} cannot be used",
                detail=failed.stderr,
                next_step="see its owner and mode, and `root` of the host in services.toml",
            ) from None

    def current(self) -> Current:
        """Return the current release, or a note on what is wrong with it."""
        return self.told(self._script(CURRENT))

    def told(self, text: str) -> Current:
        """Return what the script `CURRENT` has said, wherever it ran."""
        switching, _, text = text.partition("\n")
        names, _, text = text.partition("\n")
        recorded, _, text = text.partition("\n")
        link, _, document = text.partition("\n")
        unrecorded = tuple(name for name in names.split() if name != PurePosixPath(link).name)
        note, release = "", None
        if link and not document.strip():
            note = f"{self.path}/current points to {link}, which has no release.json"
        elif link:
            try:
                release = from_json(document, f"{self.path}/{link}/release.json")
            except OnevmError as error:
                note = str(error)
        return Current(
            release=release, note=note, switching=switching, unrecorded=unrecorded, recorded=int(recorded or 0)
        )

    def releases(self) -> tuple[tuple[Release, ...], tuple[str, ...]]:
        """Return all recorded releases, newest first, and a note for each record that cannot be read."""
        found, notes = [], []
        _, *parts = _HEADING.split(self._script(_HISTORY))
        for identity, document in zip(parts[::2], parts[1::2], strict=True):
            if document.strip():
                try:
                    found.append(from_json(document, f"{self.path}/releases/{identity}/release.json"))
                except OnevmError as error:
                    notes.append(str(error))
        return tuple(sorted(found, key=lambda r: r.id, reverse=True)), tuple(notes)

    def folder_of(self, release_id: str) -> PurePosixPath:
        """Return the folder of a release."""
        return self.path / "releases" / release_id

    def stage(self, release_id: str, files: Mapping[str, bytes], *, switching: bool = False) -> PurePosixPath:
        """Put a release's files on the host; it counts only once it is recorded.

        Args:
            release_id: the release.
            files: its files by path.
            switching: whether to note that the host is on its way to it, as `place` does where there is more to do.

        Raises:
            OnevmError: the folder cannot be used, or the disk has no room even for what a deploy keeps for itself.
        """
        follows = "switching" if switching else ""
        self._script(_SWITCHING + _STAGE, release_id, RESERVE, str(RESERVE_BYTES), follows, data=archive(files))
        return self.folder_of(release_id)

    def fetch(self, release: Release) -> dict[str, bytes]:
        """Return the files of a recorded release as they stand on the host, Compose files and travelling ones.

        Raises:
            OnevmError: a file is missing or was changed since.
        """
        import tarfile

        expected = {**release.compose, **release.files}
        try:
            text = self._script(_FETCH, release.id, *expected)
            with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as tar:
                read = {m: file.read() for m in tar.getmembers() if (file := tar.extractfile(m))}
                found = {m.name: Executable(data) if m.mode & 0o100 else data for m, data in read.items()}
        except (OnevmError, tarfile.TarError, ValueError):
            found = {}
        wrong = sorted(
            name for name, sha in expected.items() if hashlib.sha256(found.get(name, b"\0")).hexdigest() != sha
        )
        if wrong:
            raise OnevmError(
                f"release {release.id} is damaged on the host: {', '.join(wrong[:5])} in {self.folder_of(release.id)}",
                next_step="choose another release (`doit history`), or deploy its commit anew: `doit deploy sha=…`",
            )
        return found

    def place(
        self, release_id: str, files: Sequence[str], gone: Sequence[str], asked: Mapping[str, str] | None = None
    ) -> None:
        """Note that the host is on its way to a release, and put its travelling files into the project folder.

        Each file gets there by a rename. The note goes away when a release is activated.

        Args:
            release_id: the release.
            files: what to put there.
            gone: what to take away.
            asked: the names that proxies ask from now on, by service.
        """
        marks = [f"+ {path}\n" for path in files] + [f"- {path}\n" for path in gone]
        marks += [f"= {service} {name}\n" for service, name in sorted((asked or {}).items())]
        self._script(_SWITCHING + _ASK + _PLACE, release_id, data="".join(marks).encode())

    def point(self, names: Mapping[str, str]) -> dict[str, str]:
        """Tell proxies which name to ask for each service, by renames; returns what they asked before.

        Args:
            names: the name by service; an empty one changes nothing, and only asks.
        """
        if not names:
            return {}
        said = self._script(_ASK + _POINT, data="".join(f"{s} {n}\n" for s, n in sorted(names.items())).encode())
        return {service: name.strip() for service, _, name in (line.partition(" ") for line in said.splitlines())}

    def record(
        self,
        release: Release,
        event: Mapping[str, object] | None = None,
        *,
        activate: bool = False,
        drop: Sequence[str] = (),
    ) -> None:
        """Write release.json beside, sync it, rename it into place; then, in the same breath, what follows from it.

        Args:
            release: the release.
            event: what to append to audit.jsonl, synced; a torn last line of a crash is closed first.
            activate: whether `current` shall point to it.
            drop: ids of releases to remove from the host's records then.
        """
        data = release.to_json().encode()
        line = json.dumps(event, sort_keys=True) if event else ""
        script = _RECORD + _POINT_CURRENT + _REMOVE
        follows = "current" if activate else ""
        self._script(script, release.id, str(len(data)), RESERVE, follows, *drop, data=f"{line}\n".encode() + data)

    def activate(self, release_id: str) -> None:
        """Let `current` point to a release."""
        self._script(_ACTIVATE + _POINT_CURRENT, release_id)

    def drop(self, release_ids: Sequence[str]) -> None:
        """Remove releases from the host's records."""
        if release_ids:
            self._script(_DROP + _REMOVE, *release_ids)

    def compose(self, folder: PurePosixPath, files: Sequence[str]) -> list[str]:
        """Return the `docker compose` command for a release's files on the host."""
        flags = [part for name in (*files, OVERRIDE) for part in ("-f", str(folder / name))]
        return ["docker", "compose", "-p", self.stack, "--project-directory", str(self.project), *flags]

    def operator_line(self, files: Sequence[str]) -> str:
        """Return the line that starts the current release without Onevm."""
        return shlex.join([*self.compose(self.path / "current", files), "up", "-d"])


class Executable(bytes):
    """The content of a file that keeps its executable bit when it travels."""


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of files."""
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if isinstance(content, Executable) else 0o644
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
