"""Expressions of workflow files, as far as ours need them. What is not known is a failure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_TOKEN = re.compile(r"\s*('(?:[^']|'')*'|==|!=|&&|\|\||[()]|[A-Za-z_][\w.-]*)")


class Expression:
    """An expression of a workflow: names, strings, `==`, `!=`, `&&`, `||`, parentheses and `always()`.

    Args:
        text: what stands between the braces.
        contexts: `github`, `secrets` and so on.
    """

    def __init__(self, text: str, contexts: Mapping[str, Mapping[str, Any]]) -> None:
        self._words = list(_words(text))
        self._contexts = contexts

    def value(self) -> Any:
        found = self._either()
        assert not self._words, f"not understood: {self._words}"
        return found

    def _next(self, *words: str) -> str:
        return self._words.pop(0) if self._words and self._words[0] in words else ""

    def _either(self) -> Any:
        found = self._both()
        while self._next("||"):
            other = self._both()
            found = found or other
        return found

    def _both(self) -> Any:
        found = self._compared()
        while self._next("&&"):
            other = self._compared()
            found = found and other
        return found

    def _compared(self) -> Any:
        found = self._one()
        if sign := self._next("==", "!="):
            return (str(found).lower() == str(self._one()).lower()) is (sign == "==")
        return found

    def _one(self) -> Any:
        word = self._words.pop(0)
        if word == "(":
            found = self._either()
            assert self._next(")")
            return found
        if word.startswith("'"):
            return word[1:-1].replace("''", "'")
        if self._next("("):
            assert word == "always", f"{word}() is not known"
            assert self._next(")")
            return True
        context, _, name = word.partition(".")
        # What nobody has set is empty on a forge; of the others everything that is asked for has to be there.
        return (
            self._contexts[context].get(name, "") if context in {"secrets", "vars"} else self._contexts[context][name]
        )


def _words(text: str) -> Iterator[str]:
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        assert match, f"not understood: {text[place:]}"
        yield match[1]
        place = match.end()


def filled(value: Any, contexts: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return a step with the values of its expressions."""
    if isinstance(value, dict):
        return {key: filled(item, contexts) for key, item in value.items()}
    if isinstance(value, str):
        return re.sub(r"\$\{\{(.*?)\}\}", lambda match: str(Expression(match[1], contexts).value()), value)
    return value
