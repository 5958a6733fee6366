"""Our list of a build context against what an engine really delivers to `COPY . /`.

BuildKit is right by definition. ONEVM_CONTEXT_CASES=2000 compares more cases, with new random ones each time.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tasks.core.context import Entry, ignore_rules, list_context
from tasks.core.errors import ConfigurationError

pytestmark = [pytest.mark.engine, pytest.mark.timeout(7200)]

BATCH = 10
CASES = int(os.environ.get("ONEVM_CONTEXT_CASES", "0"))

# The last: what is left of the reason where BuildKit finds a pattern wrong only when it comes to use it.
REFUSAL = re.compile(
    "syntax error in pattern|illegal exclusion pattern|non-printable ASCII characters|Canceled: context canceled"
)

Seen = dict[str, tuple[str, bool, str]]

FOLDERS = ["a", "a/b", "a/b/c", "b", "foo", "foo/bar", ".d", "a b", "A", "b/a"]
NAMES = [
    "a", "b", "c", "aa", "ab", "ba", "foo", "bar", "a.txt", "b.md", "a.md", ".env", "x", "1", "-", "é", "ñb", "#c",
    "!a", "a*b", "[a]", "a]", "\\d", "a\\b", "{a}", "a{2}", "a|b", "a+", "(a)", "$a", "^a", "a b", " a", "a ",
    "new\nline", "t\tb", "\udcff.txt", "Dockerfile", "dockerfile", ".dockerignore", "A",
]  # fmt: skip
PIECES = [
    *NAMES[:12], *NAMES[:12], "*", "*", "**", "**", "?", "*.md", "*.txt", "a*", "*b", "?b", "[ab]", "[^a]",
    "[a-c]*", "[!a]", "**a", "a**", "***", "\\*", "a\\*b", "\\a", "\\d", "\\d*", "\\[a\\]", "[[]a]", "[\\]]",
    "[a*]", "[?]", "[a-]", "]", "a]", "{a}", "a{2}", "a{2}*", "a|b", "a|b*", "*{2}", "a{1,2}?", "a+*", "(a)*",
    "$a*", "^a", "^a*", "!a", "#c", "é", "?b", "[é]", ".", "..", "...", ".*", "..*", "", "a b", " a", "a ", "\\ a",
    "[[:alpha:]]*", "[[:^alpha:]]*", "[[:foo:]]*", "\\pL*", "\\p{Lu}*", "\\w*", "\\W*", "\\s*", "\\b*", "\\x61*",
    "\\141*", "\\Qa*", "\\Qa\\Eb*", "\\A*", "\\L*", "\\", "[", "[-]", "[]", "[^", "[z-a]*", "[a|b]", "*|b", "\\n*",
    "new*", "*line", "\udcff*", "*.txt", "Dockerfile", "Dockerfile*", ".dockerignore", "foo", "bar",
]  # fmt: skip
ODD_LINES = [
    "", " ", "#", "# a", " # a", "!", "! ", "!!a", "!/", "/", ".", "!.", "./", "..", "!..", "/..", "!../../a",
    "//a", "/!a", "./!a", "/#c", "**", "!**", "**/", "!**/*", "*/*", "*/**", "\ufeffa", "\ufeff*", "\u3000a\u3000",
    "\x1ca", "\x85a", "\xa0a\xa0", "a\r", "a\x00b",
]  # fmt: skip
BROAD_LINES = ["*", "**", "*/*", "**/*", "a", "**/a", "a*", "*/b", "foo", ".*", "b/**", "a/*", "foo/**"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One context: things in it by path, its ignore files, and where its Dockerfile stands."""

    things: dict[str, str]
    ignore: str | None = None
    own_ignore: str | None = None
    dockerfile: str = "Dockerfile"
    linked_ignore: bool = False

    def make(self, root: Path) -> tuple[Path, Path]:
        """Write the case below `root`; return its context and its Dockerfile."""
        context = root / "context"
        dockerfile = Path(os.path.normpath(context / self.dockerfile))
        for folder in (context, dockerfile.parent):
            folder.mkdir(parents=True, exist_ok=True)
        for path, kind in self.things.items():
            _make(context / path, kind)
        if self.ignore is not None:
            place = context / ".dockerignore"
            _remove(place)
            if self.linked_ignore:
                place.symlink_to("/rules/there")
                place = context / "rules" / "there"
                place.parent.mkdir()
            place.write_bytes(_bytes(self.ignore))
        _remove(dockerfile)
        dockerfile.write_text("FROM scratch\nCOPY . /\n")
        if self.own_ignore is not None:
            own = dockerfile.with_name(dockerfile.name + ".dockerignore")
            _remove(own)
            own.write_bytes(_bytes(self.own_ignore))
        return context, dockerfile


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _make(path: Path, kind: str) -> None:
    """Make one thing; nothing where another one is in the way."""
    if kind == "pipe" and path.name.endswith(".dockerignore"):
        return  # BuildKit would wait for it without end; test_context.py has our answer
    if os.path.lexists(path):
        return
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(path.parent):
                server.bind(os.fsencode(path.name))
        elif kind.startswith("->"):
            path.symlink_to(kind[2:])
        else:
            path.write_bytes(os.fsencode(path.name))
            path.chmod(0o755 if kind == "program" else 0o644)


def lines(paths: list[str]) -> st.SearchStrategy[str]:
    """Lines of an ignore file: some fit the paths, some are anything, some are odd."""
    piece = st.sampled_from(PIECES)
    free = st.lists(piece, min_size=1, max_size=3).map("/".join)
    fitting = st.builds(_blur, st.sampled_from(paths), st.lists(st.integers(0, 11), min_size=4, max_size=4), piece)
    before = st.sampled_from([""] * 6 + ["!"] * 6 + ["/", "./", "! ", "!/", "../", " ", "**/", "!**/", "a/", "!a/"])
    after = st.sampled_from([""] * 8 + ["/", "/**", "/*", "*", " ", "\t", "\r", "/.", "/.."])
    written = st.builds("{}{}{}".format, before, fitting | fitting | fitting | free, after)
    return written | written | written | st.sampled_from(BROAD_LINES) | st.sampled_from(ODD_LINES)


def _blur(path: str, choices: list[int], piece: str) -> str:
    """Return a pattern made of a path, with some of its parts replaced by wildcards."""
    parts = path.split("/")
    for place, choice in enumerate(choices[: len(parts)]):
        part = parts[place]
        parts[place] = {
            0: "*",
            1: "**",
            2: "?" + part[1:],
            3: part[0] + "*",
            4: "*" + part[-1],
            5: f"[{part[0]}]{part[1:]}",
            6: piece,
        }.get(choice, part)
    return "/".join(parts[: 1 + choices[-1]])


def ignore_files(paths: list[str]) -> st.SearchStrategy[str]:
    broad = st.sampled_from([*BROAD_LINES, ""])
    return st.builds(
        "{}{}\n{}{}".format,
        st.sampled_from(["", "", "", "", "\ufeff"]),
        broad,
        st.lists(lines(paths), min_size=1, max_size=8).map("\n".join),
        st.sampled_from(["", "\n"]),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    path = st.builds(
        lambda folder, name: f"{folder}/{name}".removeprefix("/"),
        st.sampled_from(["", "", *FOLDERS]),
        st.sampled_from(NAMES),
    )
    kind = st.sampled_from(
        ["file"] * 8 + ["program", "folder", "folder", "->a", "->../b", "->/nowhere", "->.", "pipe", "socket"]
    )
    things = draw(st.dictionaries(path, kind, min_size=4, max_size=25))
    rules = ignore_files(sorted(things))
    return Case(
        things=things,
        ignore=draw(rules | rules | rules | st.none()),
        own_ignore=draw(st.none() | st.none() | st.none() | rules),
        dockerfile=draw(
            st.sampled_from(["Dockerfile", "Dockerfile", "Dockerfile.x", "a/Dockerfile", "../else/Dockerfile"])
        ),
        linked_ignore=draw(st.sampled_from([False] * 9 + [True])),
    )


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["docker", "buildx", *arguments], capture_output=True, text=True, errors="replace", check=False, timeout=600
    )


def build(context: Path, dockerfile: Path, *options: str) -> Seen | str:
    """Build alone; return what arrived, or what was said if the build failed."""
    tar = context.parent / "out.tar"
    done = docker(
        "build", "--progress=plain", "-f", str(dockerfile), f"--output=type=tar,dest={tar}", *options, str(context)
    )
    return done.stderr if done.returncode else arrived(tar)


def bake(made: list[tuple[Path, Path]]) -> list[Seen | str]:
    """Build many at once, each alone again if one of them fails."""
    targets = {
        f"t{number}": {
            "context": str(context),
            "dockerfile": str(dockerfile),
            "output": [f"type=tar,dest={context.parent / 'out.tar'}"],
        }
        for number, (context, dockerfile) in enumerate(made)
    }
    file = made[0][0].parent.parent / "bake.json"
    file.write_text(json.dumps({"target": targets}))
    if docker("bake", "-f", str(file), "--progress=quiet", *targets).returncode == 0:
        return [arrived(context.parent / "out.tar") for context, _ in made]
    return [build(context, dockerfile) for context, dockerfile in made]


def arrived(tar: Path) -> Seen:
    seen: Seen = {}
    with tarfile.open(tar, errors="surrogateescape") as archive:
        for member in archive:
            name = member.name.rstrip("/")
            if member.isdir():
                seen[name] = ("directory", False, "")
            elif member.issym():
                seen[name] = ("symlink", False, member.linkname)
            elif member.islnk():
                seen[name] = seen[member.linkname]
            elif member.isfile():
                content = archive.extractfile(member)
                assert content
                seen[name] = ("file", bool(member.mode & 0o111), hashlib.sha256(content.read()).hexdigest())
            else:
                seen[name] = ("other", False, "pipe" if member.isfifo() else "device")
    return seen


def expected(entries: list[Entry]) -> Seen:
    """What our list says must arrive."""
    seen: Seen = {}
    for entry in entries:
        detail = entry.target
        kind: str = entry.kind
        executable = entry.executable
        if entry.kind == "other" and entry.target in {"socket", "empty file"}:
            kind, detail = "file", hashlib.sha256().hexdigest()
        elif entry.kind == "other":
            executable = False
        elif kind == "file":
            detail = hashlib.sha256(Path(entry.location).read_bytes()).hexdigest()
        seen[entry.path] = (kind, executable, detail)
    return seen


def ours(context: Path, dockerfile: Path) -> Seen | ConfigurationError:
    try:
        return expected(list_context(str(context), ignore_rules(str(context), str(dockerfile))))
    except ConfigurationError as error:
        return error


def _is_utf8(path: str) -> bool:
    return "\udcff" not in path


def disagreement(case: Case, mine: Seen | ConfigurationError, theirs: Seen | str) -> str:
    if isinstance(theirs, str) and "invalid UTF-8" in theirs:
        # A newer BuildKit cannot take such a name at all.
        return "" if any(not _is_utf8(path) for path in case.things) else f"{case}\n{theirs=!s}"
    if isinstance(mine, ConfigurationError) or isinstance(theirs, str):
        both = isinstance(mine, ConfigurationError) and isinstance(theirs, str) and REFUSAL.search(theirs)
        return "" if both else f"{case}\n{mine=!s}\n{theirs=!s}"
    missing = {path: theirs[path] for path in theirs if theirs[path] != mine.get(path)}
    too_many = {path: mine[path] for path in mine if mine[path] != theirs.get(path)}
    return f"{case}\nonly BuildKit: {missing}\nonly ours: {too_many}" if missing or too_many else ""


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("contexts")
    yield path
    shutil.rmtree(path)


KNOWN = {
    "an exception with a space": Case(things={"a": "file", "b": "file"}, ignore="*\n! a"),
    "an exception below an excluded folder": Case(things={"a/b/c": "file", "a/x": "file"}, ignore="a\n!a/b/c"),
    "the Dockerfile's own file wins": Case(things={"a": "file", "b": "file"}, ignore="a", own_ignore="b"),
    "it wins even if it is empty": Case(things={"a": "file"}, ignore="a", own_ignore=""),
    "beside a Dockerfile elsewhere": Case(
        things={"a": "file", "b": "file"}, ignore="a", own_ignore="b", dockerfile="../else/Dockerfile"
    ),
    "both files are delivered": Case(things={"a": "file"}, ignore="a"),
    "neither is": Case(things={"a": "file"}, ignore="Dockerfile\n.dockerignore"),
    "a linked ignore file": Case(things={"a": "file", "b": "file"}, ignore="a", linked_ignore=True),
    "listed, but sent empty": Case(things={"a/b": "file", "a/c": "file"}, ignore="*\n!a/b\na"),
    "a class matches a slash": Case(things={"a/b": "file", "axb": "file"}, ignore="a[^c]b"),
    "braces and bars mean something": Case(things={"aa": "file", "b": "file", "c": "file"}, ignore="a{2}*\nb|x*"),
    "escapes mean something": Case(things={"5": "file", "d": "file"}, ignore="\\d*"),
    "a line break is no character": Case(things={"x\ny/a.b": "file", "x/a.b": "file"}, ignore="**/x*/**/*.b"),
    "a wrong pattern that is never reached": Case(things={"a": "file"}, ignore="**\n[z-a]"),
    "a wrong pattern that is": Case(things={"a": "file"}, ignore="b\n[z-a]"),
    "a lone exclamation mark": Case(things={"a": "file"}, ignore="!"),
    "an open bracket": Case(things={"a": "file"}, ignore="["),
    "an open bracket behind a star": Case(things={"a": "file"}, ignore="b*["),
    "a control character": Case(things={"a": "file"}, ignore="a\tb"),
    "a control character beside another alphabet": Case(things={"a": "file"}, ignore="a\tb\né"),
    "everything": Case(things={"a": "file", "b/c": "file"}, ignore="**"),
    "special files": Case(things={"a": "pipe", "b": "socket", "c": "folder", "d": "->/etc/passwd", "e": "program"}),
}


def compare(room: Path, batch: list[Case]) -> list[str]:
    """Return where our lists and the engine's differ."""
    root = room / "batch"
    try:
        made = [case.make(root / str(number)) for number, case in enumerate(batch)]
        mine = [ours(*place) for place in made]
        good = [place for place, result in zip(made, mine, strict=True) if not isinstance(result, ConfigurationError)]
        theirs = dict(zip(good, bake(good), strict=True)) if good else {}
        theirs |= {place: build(*place) for place in made if place not in theirs}
        found = (
            disagreement(case, result, theirs[place]) for case, place, result in zip(batch, made, mine, strict=True)
        )
        return [text for text in found if text]
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_known_oddities_are_as_buildkit_has_them(room: Path) -> None:
    assert not compare(room, list(KNOWN.values()))


@settings(
    max_examples=(CASES or 60) // BATCH,
    derandomize=not CASES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(batch=st.lists(cases(), min_size=BATCH, max_size=BATCH))
def test_what_we_list_is_what_arrives(room: Path, batch: list[Case]) -> None:
    assert not compare(room, batch)


def test_a_named_context_has_its_own_ignore_file_and_no_other(room: Path) -> None:
    main = Case(things={"unused": "file"}, own_ignore="a").make(room / "main")
    named, _ = Case(things={"a": "file", "b": "file"}, ignore="b").make(room / "named")
    main[1].write_text("FROM scratch\nCOPY --from=named . /\n")
    theirs = build(*main, f"--build-context=named={named}")
    assert theirs == expected(list_context(str(named), ignore_rules(str(named), None)))
    assert {"a", "b"} & set(theirs) == {"a"}


TRIES = 10


def test_the_text_of_a_refusal_names_the_pattern_that_buildkit_names(room: Path) -> None:
    place = Case(things={}, ignore="fine\nnot[").make(room / "refused")
    # Its refusal stops everything else of the build, and now and then it names only what was stopped.
    said = next((text for text in (build(*place) for _ in range(TRIES)) if "context canceled" not in text), "")
    assert isinstance(said, str)
    # A newer BuildKit says no more than that one of them is wrong.
    assert "not[" in said or "syntax error in pattern" in said
    assert "2: not[: " in str(ours(*place))
