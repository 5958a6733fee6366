"""What sessions of a VM are told to be: its sshd starts a program for each that listens, and becomes the command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.vm import Vm

# Where the notes are on the VM: a file for each session, with its command.
NOTES = "/srv/notes"
_PROGRAM = "/srv/listening"
# Sessions may wait for the command that their input begins with (tasks/adapters/spare.py); what no command came to is
# not noted.
_LISTENING = f"""#!/bin/sh
{{
  c=
  while IFS= read -r l; do
    case $l in "end of a command in "*) break;; esac
    c="$c$l
"
  done
  [ -z "$c" ] || printf %s "${{c#exec }}" >{NOTES}/$$
  printf '%s%s\\n' "$c" "$l"
  exec cat
}} | sh -c "$SSH_ORIGINAL_COMMAND"
"""


@contextmanager
def listening(vm: Vm, log_level: str = "VERBOSE") -> Iterator[Path]:
    """Note what every session is told to be, until the end of the block; yields the folder of the notes, from here."""
    notes, program = vm.here(NOTES), vm.here(_PROGRAM)
    notes.mkdir(exist_ok=True)
    notes.chmod(0o777)
    program.write_text(_LISTENING)
    program.chmod(0o755)
    with vm.sshd_with(f"ForceCommand {_PROGRAM}", f"LogLevel {log_level}"):
        yield notes
