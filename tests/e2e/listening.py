"""An `ssh` that is found before the real one, and writes down what each session is told to be."""

import shlex
import shutil
from pathlib import Path

# The connection itself, and what forwards a socket, have no command, and become what they are called. Sessions may wait
# for the command that their input begins with (tasks/adapters/spare.py); what no command came to is not noted.
_SSH = """#!/bin/sh
case " $* " in *" -- "*) ;; *) : >{notes}/$$; exec {real} "$@";; esac
{{
  c=
  while IFS= read -r l; do
    case $l in "end of a command in "*) break;; esac
    c="$c$l
"
  done
  [ -z "$c" ] || printf 'ssh\\0%s' "${{c#exec }}" >{notes}/$$
  printf '%s%s\\n' "$c" "$l"
  exec cat
}} | {real} "$@"
"""


def listening_ssh(folder: Path, notes: Path) -> None:
    """Write the program.

    Args:
        folder: where it goes.
        notes: the folder of its notes, a file for each start of it: `ssh`, NUL and the command, or nothing.
    """
    program = folder / "ssh"
    program.write_text(_SSH.format(notes=shlex.quote(str(notes)), real=shlex.quote(shutil.which("ssh") or "ssh")))
    program.chmod(0o755)
