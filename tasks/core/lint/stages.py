"""A Dockerfile as stages of instructions with their lines, and which of them end up in the image."""

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct, field

from tasks.core.dockerfile import expand, numbered

_FROM = re.compile(r"(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
_PAIR = re.compile(r"(\w+)=(\"(?:\\.|[^\"])*\"|'[^']*'|\S*)")


class Instruction(Struct, frozen=True, kw_only=True):
    """One instruction: its line, its word in upper case, and the rest, heredocs included."""

    line: int
    word: str
    rest: str

    def flag(self, name: str) -> str:
        """Return the value of a flag `--name=value` in front, empty if it is not there."""
        found = re.match(rf"(?:--\S+\s+)*?--{name}=(\S+)", self.rest)
        return found[1] if found else ""


class Stage(Struct, frozen=True, kw_only=True):
    """One stage: the line of its FROM, its name in lower case, what it starts from, and what follows."""

    line: int
    name: str
    base: str
    instructions: tuple[Instruction, ...]


class Dockerfile(Struct, frozen=True, kw_only=True):
    """A Dockerfile, and what a service makes of it.

    Attributes:
        file: absolute path of the file it stands in.
        stages: in order.
        target: the stage that is built, None for the last one.
        args: the build args that are passed.
        first: the line of the file on which its text begins, less one (an inline one stands in a Compose file).
    """

    file: str
    stages: tuple[Stage, ...]
    target: str | None = None
    args: Mapping[str, str | None] = field(default_factory=dict)
    first: int = 0

    def runtime(self) -> list[Stage]:
        """Return the stages whose layers are in the image, the first one first."""
        return self.lineage(self.target or (str(len(self.stages) - 1) if self.stages else ""))

    def lineage(self, name: str) -> list[Stage]:
        """Return a stage, by name or number, after those that it starts from; nothing for an image from elsewhere."""
        found: list[Stage] = []
        stage = self._stage(name, len(self.stages))
        while stage:
            found.insert(0, stage)
            stage = self._stage(stage.base, self.stages.index(stage))
        return found

    def _stage(self, name: str, before: int) -> Stage | None:
        by_number = name.isdigit() and int(name) < before
        by_name = [stage for stage in self.stages[:before] if stage.name == name.lower()]
        return by_name[-1] if by_name else self.stages[int(name)] if by_number else None


def parse(text: str, args: Mapping[str, str | None]) -> tuple[Stage, ...]:
    """Return the stages of a Dockerfile; build args override the defaults of ARG lines before the first FROM."""
    stages: list[Stage] = []
    body: list[Instruction] = []
    values: dict[str, str] = {}
    for line, whole, inside in numbered(text):
        word, _, rest = whole.replace("\t", " ", 1).partition(" ")
        word, rest = word.upper(), f"{rest.strip()}\n{inside}".strip()
        if word == "FROM" and (found := _FROM.match(rest)):
            if stages:
                stages[-1] = _closed(stages[-1], body)
            base = expand(found[1], values)
            stages.append(Stage(line=line, name=(found[2] or "").lower(), base=base, instructions=()))
            body = []
        elif stages:
            body.append(Instruction(line=line, word=word, rest=rest))
        elif word == "ARG":
            name, _, default = rest.partition("=")
            given = args.get(name)
            values[name] = given if given is not None else expand(default, values)
    if stages:
        stages[-1] = _closed(stages[-1], body)
    return tuple(stages)


def _closed(stage: Stage, body: list[Instruction]) -> Stage:
    return Stage(line=stage.line, name=stage.name, base=stage.base, instructions=tuple(body))


def variables(instruction: Instruction) -> Iterator[tuple[str, str]]:
    """Yield names and values that an ENV or ARG instruction sets; an ARG without a default has an empty one."""
    pairs = [(name, value.strip("\"'")) for name, value in _PAIR.findall(instruction.rest)]
    if pairs:
        yield from pairs
    elif instruction.word == "ARG":
        yield from ((name, "") for name in instruction.rest.split())
    else:
        name, _, value = instruction.rest.partition(" ")
        yield name, value.strip()
