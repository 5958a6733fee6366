"""Read a parsed document by its schema: every value is checked, and only good ones come out."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from tasks.core import hints
from tasks.core.schema import Key, Named, Table
from tasks.core.source import Source, dotted
from tasks.core.toml_lines import KeyPath

if TYPE_CHECKING:
    from tasks.core.errors import Problem

_EXPECTED = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "strings": "an array of strings",
}


class Fields:
    """Reads tables and collects every mistake.

    Args:
        source: where lines are found.
        data: the whole document.
    """

    def __init__(self, source: Source, data: Mapping[str, Any]) -> None:
        self.source = source
        self.data = data
        self.problems: list[Problem] = []

    def has(self, key: KeyPath) -> bool:
        """Whether the document has something at `key`, good or not."""
        place: Any = self.data
        for part in key:
            if not isinstance(place, dict) or part not in place:
                return False
            place = place[part]
        return True

    def report(self, key: KeyPath, message: str) -> None:
        """Note a mistake at `key`."""
        self.problems.append(self.source.problem(key, message))

    def table(self, data: Any, schema: Table, key: KeyPath = ()) -> dict[str, Any]:
        """Read a table with fixed keys; what is missing or wrong is not in the result.

        In an array of strings, None stands in the place of each bad one.
        """
        if not isinstance(data, dict):
            self.report(key, f"needs a table, like {_name(key)} = {{ … }}, not {type_name(data)}")
            return {}
        for name in data:
            if name not in schema.keys:
                self.report((*key, name), hints.unknown_key(name, (*key, name), schema))
        values: dict[str, Any] = {}
        for name, item in schema.keys.items():
            if name in data:
                value = self._item(data[name], item, (*key, name))
                if value is not None:
                    values[name] = value
            elif item.required:
                self.report((*key, name), _missing(name, item, key))
        return values

    def _item(self, data: Any, item: Key | Table | Named, key: KeyPath) -> Any:
        if isinstance(item, Table):
            return self.table(data, item, key)
        if isinstance(item, Named):
            return self._named(data, item, key)
        if item.kind == "strings":
            return self._strings(data, item, key)
        if item.kind == "reasons":
            return self._reasons(data, item, key)
        message = _complaint(data, item)
        if message:
            self.report(key, message)
            return None
        return data

    def _named(self, data: Any, schema: Named, key: KeyPath) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.report(key, f"needs tables, each as [{_name(key)}.NAME], not {type_name(data)}")
            return {}
        if schema.required and not data:
            self.report(key, f"has no {schema.noun}; write [{_name(key)}.NAME]")
        for name in data:
            message = "a name must not be empty" if not name else schema.check(name) if schema.check else None
            if message:
                self.report((*key, name), message)
        return {name: self.table(value, schema.item, (*key, name)) for name, value in data.items()}

    def _strings(self, data: Any, item: Key, key: KeyPath) -> tuple[str | None, ...] | None:
        """Return the strings, with None in the place of each bad one."""
        if isinstance(data, str):
            self.report(key, f"needs an array of strings, not a string; write {_name(key)} = [ … ]")
            return None
        if not isinstance(data, list):
            self.report(key, f"needs an array of strings, not {type_name(data)}")
            return None
        good: list[str | None] = []
        for index, value in enumerate(data):
            message = _complaint(value, Key(kind="string", check=item.check))
            if not message and value in good:
                message = f'"{value}" is there twice'
            if message:
                self.report((*key, index), message)
            good.append(None if message else value)
        return tuple(good)

    def _reasons(self, data: Any, item: Key, key: KeyPath) -> dict[str, str]:
        """Return a table with a reason for each name."""
        if not isinstance(data, dict):
            self.report(key, f'needs a table, like {_name(key)} = {{ {item.names[0]} = "why" }}, not {type_name(data)}')
            return {}
        for name, reason in data.items():
            if name not in item.names:
                near = hints.did_you_mean(name, item.names)
                self.report(
                    (*key, name), f"there is no such rule{near if 'did you mean' in near else '; see docs/rules'}"
                )
            elif not isinstance(reason, str) or not reason.strip():
                self.report((*key, name), "needs the reason, as a string")
        return {name: reason for name, reason in data.items() if name in item.names and isinstance(reason, str)}


def type_name(value: Any) -> str:
    """Name the TOML type of a value, without showing the value."""
    names: Mapping[type, str] = {
        bool: "a boolean",
        int: "an integer",
        float: "a float",
        str: "a string",
        list: "an array",
        dict: "a table",
        datetime: "a date",
        date: "a date",
        time: "a time",
    }
    return names[type(value)]


def _missing(name: str, item: Key | Table | Named, key: KeyPath) -> str:
    header = dotted((*key, name))
    if isinstance(item, Named):
        return f"is missing; write [{header}.NAME] for each {item.noun}"
    if isinstance(item, Table):
        needed = ", ".join(inner for inner, value in item.keys.items() if value.required)
        return f"is missing; write [{header}] with {needed}"
    return f"is missing; write {name} = …"


def _name(key: KeyPath) -> str:
    return str(key[-1]) if key else "services.toml"


def _complaint(value: Any, item: Key) -> str | None:
    types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "boolean": (bool,),
    }
    if type(value) not in types[item.kind]:
        return f"needs {_EXPECTED[item.kind]}, not {type_name(value)}"
    if isinstance(value, str):
        return _text_complaint(value, item)
    if item.kind != "boolean" and not item.least <= value <= item.most:
        shown = value if not isinstance(value, float) or math.isfinite(value) else "infinity or nan"
        limit = f"at least {item.least}" if value < item.least else f"at most {item.most}"
        return f"must be {limit}, not {shown}"
    return None


def _text_complaint(value: str, item: Key) -> str | None:
    if not value.strip():
        return "must not be empty"
    if "\0" in value or ("\n" in value and not item.command):
        return "must be one line"
    if item.choices and value not in item.choices:
        choices = ", ".join(f'"{choice}"' for choice in item.choices)
        near = hints.did_you_mean(value, item.choices)
        return f'"{value}" is none of {choices}{near if "did you mean" in near else ""}'
    if "${" in value and not item.command:
        return "${…} is not replaced in this file; write the value itself"
    return item.check(value) if item.check else None
