"""The RUN instructions of stages as the commands that they start. What one takes away again was never in the image."""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from tasks.core.lint.rule import Place
from tasks.core.lint.stages import Dockerfile, Instruction, Stage, variables

_MOUNT = re.compile(r"--mount=(\S+)")
_FLAGS = re.compile(r"^(?:--\S+\s+)+")
_SHELL = re.compile(r"^\s*(?:/bin/)?(?:ba|da|a)?sh\s+-\w*c\s+")
_BETWEEN = re.compile(r"&&|\|\||;|\n|\|")
_VARIABLES = re.compile(r"^(?:\w+=\S*\s+)+")
_TARGETS = ("target=", "dst=", "destination=")


class Step(Struct, frozen=True, kw_only=True):
    """One RUN: where it is, its commands, and the variables that hold there."""

    place: Place
    commands: tuple[str, ...]
    env: Mapping[str, str]
    mounts: tuple[str, ...]

    @property
    def text(self) -> str:
        """All commands, one on a line."""
        return "\n".join(self.commands)

    def mounted(self, *folders: str) -> bool:
        """Whether a mount keeps one of these folders out of the layer."""
        return any(folder in target for target in self.mounts for folder in folders)


def steps(stages: Sequence[Stage], dockerfile: Dockerfile) -> list[Step]:
    """Return every RUN of stages that start from each other."""
    env: dict[str, str] = {}
    found = []
    for stage in stages:
        args: dict[str, str] = {}
        for instruction in stage.instructions:
            if instruction.word == "ENV":
                env = env | dict(variables(instruction))
            elif instruction.word == "ARG":
                args |= {name: dockerfile.args.get(name) or value for name, value in variables(instruction)}
            elif instruction.word == "RUN":
                place = Place(dockerfile.file, dockerfile.first + instruction.line)
                known = {**args, **env}
                found.append(
                    Step(place=place, commands=_commands(instruction), env=known, mounts=_mounts(instruction.rest))
                )
    return found


def _commands(instruction: Instruction) -> tuple[str, ...]:
    text = _FLAGS.sub("", instruction.rest)
    if text.startswith("["):
        with contextlib.suppress(ValueError, TypeError):
            text = " ".join(json.loads(text))
    parts = (part.strip().strip("'\"") for part in _BETWEEN.split(_SHELL.sub("", text)))
    return tuple(part for part in parts if part)


def _mounts(rest: str) -> tuple[str, ...]:
    flags = _FLAGS.match(rest)
    parts = (part for mount in _MOUNT.findall(flags[0] if flags else "") for part in mount.split(","))
    return tuple(part.partition("=")[2] for part in parts if part.startswith(_TARGETS))


def short(command: str, most: int = 48) -> str:
    """Return a command on one line, without variables before it and logins in it, cut where it is long."""
    line = re.sub(r"://[^/\s@]*@", "://***@", _VARIABLES.sub("", " ".join(command.split())))
    return line if len(line) <= most else f"{line[: most - 1]}…"
