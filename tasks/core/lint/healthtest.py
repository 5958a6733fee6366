"""The test of a health check: as a command, as text, as the programs it starts, and as YAML to paste."""

import re
import shlex
from collections.abc import Callable, Sequence

from tasks.core.lint import tree
from tasks.core.lint.subject import Service

_LOCALHOST = re.compile(r"(?<![\w.-])localhost(?![\w.-])", re.IGNORECASE)
_SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "busybox"})
_BETWEEN = re.compile(r"\|\||&&|[|;&\n]")
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\$])*\"")
_SUBSTITUTION = re.compile(r"\$\([^()]*\)|`[^`]*`")
# `redis-cli -a PASSWORD`, `sqlcmd -P PASSWORD`, `mysql -pPASSWORD`, `curl -u USER:PASSWORD`, and what is called so.
_SECRET = re.compile(
    r"(?:^|\s)-(?:a|P|u|p\S+)(?=\s|$)|(?i:pass|secret|token|api.?key|authorization)|://[^/\s]*:[^/@\s]*@"
)
_PLAIN = re.compile(r"[A-Za-z_./-][\w./-]*")
_BEFORE = frozenset({"!", "exec", "if", "then", "else", "do", "while", "until", "time", "command", "{", "("})
_BUILT_IN = frozenset(
    {
        "exit", "test", "[", "[[", "true", "false", ":", "echo", "cd", "set", "export", "kill", "fi", "done", "for",
        "case", "esac", "printf", "read", "}", ")", "trap", "ulimit", "unset", "wait", "return",
    }
)  # fmt: skip


def command(service: Service) -> list[str]:
    """Return the test of a service's health check as `[CMD, …]` or `[CMD-SHELL, …]`, empty if there is none."""
    test = (service.spec.get("healthcheck") or {}).get("test") or []
    words = ["CMD-SHELL", test] if isinstance(test, str) else [str(word) for word in test]
    return words if words[:1] in (["CMD"], ["CMD-SHELL"]) and len(words) > 1 else []


def text(test: Sequence[str]) -> str:
    """Return a test as the text that it is."""
    return test[1] if test[0] == "CMD-SHELL" else " ".join(test[1:])


def programs(test: Sequence[str]) -> list[str]:
    """Return the programs that a test starts, as written; what a shell has built in is left out."""
    if starts_shell(test):
        return [program for part in _parts(test[1] if test[0] == "CMD-SHELL" else test[-1]) for program in _first(part)]
    return list(test[1:2])


def starts_shell(test: Sequence[str]) -> bool:
    """Whether a shell reads the test."""
    return test[0] == "CMD-SHELL" or (basename(test[1]) in _SHELLS and "-c" in test)


def basename(program: str) -> str:
    """Return a program's name without its folder."""
    return program.rpartition("/")[2]


def words(line: str) -> list[str]:
    """Return the words of a command, without quotes as far as they are closed."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def asks_localhost(line: str) -> bool:
    """Whether a test asks the name localhost."""
    return _LOCALHOST.search(line) is not None


def mend_of(service: Service, change: Callable[[Sequence[str]], Sequence[str]]) -> str:
    """Return a changed test as YAML to paste: from what is written, variables and all, not from their values.

    Where it looks as if a secret stood in it, only what to do is said.
    """
    for _, node in service.subject.places.written(service.name, "healthcheck", "test"):
        raw = [tree.text(item) for item in tree.items(node)] or ["CMD-SHELL", tree.text(node)]
        if len(raw) > 1 and not _SECRET.search(" ".join(raw)):
            changed = change(raw)
            return f"test: [{', '.join([changed[0], *map(_item, changed[1:])])}]"
        break
    return "# see this rule's page; the test may hold a secret and is not shown"


def on_ipv4(test: Sequence[str]) -> list[str]:
    """Return a test with 127.0.0.1 for localhost."""
    return [test[0], *(_LOCALHOST.sub("127.0.0.1", word).replace("[::1]", "127.0.0.1") for word in test[1:])]


def edited(test: Sequence[str], pattern: re.Pattern[str], replacement: str) -> list[str]:
    """Return a test in its own form, with the first match of a pattern replaced."""
    line = pattern.sub(replacement, text(test), count=1).strip()
    return ["CMD", *words(line)] if test[0] == "CMD" else ["CMD-SHELL", line]


def _item(word: str) -> str:
    return word if _PLAIN.fullmatch(word) else "'" + word.replace("'", "''") + "'"


def _parts(line: str) -> list[str]:
    """Split a line where a command ends; what is quoted or substituted is none of its own."""
    plain = _QUOTED.sub(lambda m: re.sub(r"[|;&\n]", " ", m[0]), line)
    return _BETWEEN.split(_SUBSTITUTION.sub("X", plain))


def _first(part: str) -> list[str]:
    found = words(part)
    while found and (found[0] in _BEFORE or re.match(r"\w+=", found[0])):
        found.pop(0)
    named = found[:1] if found and found[0] not in _BUILT_IN else []
    return [name for name in named if re.fullmatch(r"[\w./+-]+", name)]
