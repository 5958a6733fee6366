"""The reference page and the commented example know every key, and say of it what the code does."""

import json
import os
import re
from pathlib import Path

import msgspec
import pytest
import tomli

from tasks.core.config import load
from tasks.core.fields import Fields
from tasks.core.model import Builder, Hooks, Host, Registry, ServiceSettings, Stack, Verify, VmSettings
from tasks.core.schema import SCHEMA, Key, walk
from tasks.core.source import Source

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "services-toml.md").read_text()
EXAMPLE = (ROOT / "services.toml").read_text()
MESSAGES = ROOT / "tests" / "data" / "config"

KINDS = {
    "string": "String",
    "integer": "Integer",
    "number": "Number",
    "boolean": "Boolean",
    "strings": "Array of strings",
    "reasons": "Table of strings",
}
MODELS: dict[str, type[msgspec.Struct]] = {
    "registry": Registry,
    "builder": Builder,
    "hosts.NAME": Host,
    "hosts.NAME.vm": VmSettings,
    "stacks.NAME": Stack,
    "stacks.NAME.verify": Verify,
    "stacks.NAME.hooks": Hooks,
    "stacks.NAME.services.NAME": ServiceSettings,
}
DERIVED = {"hosts.NAME.address"}  # a default of the model for this machine alone; others must say it
RENAMED = {"timeout": "timeout_seconds", "drain": "drain_seconds"}


def entry(path: str) -> str:
    """Return what the reference page says about a key."""
    _, _, rest = PAGE.partition(f"\n### `{path}`\n")
    return re.split(r"\n##+ ", rest)[0].strip()


def uncommented() -> str:
    """The example with every commented key and header made real, and headers that then stand twice removed."""
    rows, headers = [], set()
    for row in re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", EXAMPLE).splitlines():
        if not row.startswith("[") or row.split("#")[0].strip() not in headers:
            rows.append(row)
        headers.add(row.split("#")[0].strip())
    return "\n".join(rows)


def flat(data: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(data, dict) or prefix.endswith(".ignore") or prefix == "ignore":
        return {prefix: data}
    found: dict[str, object] = {}
    for name, value in data.items():
        shown = "NAME" if re.fullmatch(r"hosts|stacks|stacks\.NAME\.services", prefix) else name
        found |= flat(value, f"{prefix}.{shown}" if prefix else shown)
    return found


@pytest.mark.parametrize(("path", "key"), walk(), ids=[path for path, _ in walk()])
def test_the_reference_has_every_key_with_its_type_and_default(path: str, key: Key) -> None:
    text = entry(path)
    assert text.startswith(f"{KINDS[key.kind]}, "), text
    for choice in key.choices:
        assert f'`"{choice}"`' in text
    table, _, name = path.rpartition(".")
    fields = {field.name: field for field in msgspec.structs.fields(MODELS[table])}
    default = fields[RENAMED.get(name, name)].default
    head = text.split(".")[0]
    if key.required or path in DERIVED:
        assert ", required" in head
    elif default in (None, (), msgspec.NODEFAULT):
        assert ", default: " in text.splitlines()[0]
    else:
        assert f", default `{json.dumps(default)}`" in head


def test_the_reference_has_no_key_that_is_none() -> None:
    assert re.findall(r"(?m)^### `([^`]+)`$", PAGE) == [path for path, _ in walk()]


def test_every_model_field_can_be_configured_or_is_made_by_the_loader() -> None:
    made = {"name", "source"}
    for table, model in MODELS.items():
        names = {path.rpartition(".")[2] for path, _ in walk() if path.rpartition(".")[0] == table}
        subtables = {other.removeprefix(f"{table}.").split(".")[0] for other in MODELS if other.startswith(table)}
        known = {RENAMED.get(name, name) for name in names} | subtables | made
        assert {field.name for field in msgspec.structs.fields(model)} <= known, table


def test_every_message_of_the_reference_is_one_that_the_loader_gives() -> None:
    given = "\n".join(file.read_text() for file in MESSAGES.glob("*.txt")).replace("<here>", "/home/ann")
    real = {row.partition(":")[2] for row in given.splitlines()}
    shown = re.findall(r"(?m)^services\.toml:(\d+: .*)$", PAGE)
    assert len(shown) > 40
    assert [message for message in shown if message not in real] == []


def test_the_complete_examples_of_the_reference_have_no_mistake(tmp_path: Path) -> None:
    section = PAGE.partition("\n## Examples\n")[2].partition("\n## ")[0]
    examples = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)
    for folder in ("here/notes", "notes/caddy", "notes", "trading", "shop", "site", "packages/shared"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for file in ("docker-compose.yml", "docker-compose.prod.yml"):
            (tmp_path / folder / file).touch()
    stacks = []
    for text in examples:
        (tmp_path / "here" / "services.toml").write_text(text)
        stacks.append(set(load(tmp_path / "here" / "services.toml", {"HOME": "/home/ann"}).stacks))
    assert stacks == [{"notes"}, {"notes", "trading", "shop", "site"}]


def test_every_example_of_a_key_is_good_toml_for_that_key() -> None:
    keys = dict(walk())
    for path, key in keys.items():
        for block in re.findall(r"```toml\n(.*?)```", entry(path), re.DOTALL):
            name = path.rpartition(".")[2]
            found = flat(tomli.loads(block))
            assert any(shown.rpartition(".")[2] == name for shown in found), path
            value = next(value for shown, value in found.items() if shown.rpartition(".")[2] == name)
            texts = value if isinstance(value, list) else [value]
            assert all(key.check is None or key.check(str(text)) is None for text in texts), path


def test_the_example_shows_every_key() -> None:
    shown = flat(tomli.loads(uncommented()))
    assert {path for path, _ in walk()} <= set(shown)


def test_the_example_with_every_comment_made_real_has_no_mistake() -> None:
    text = uncommented()
    fields = Fields(Source("services.toml", text), tomli.loads(text))
    fields.table(fields.data, SCHEMA)
    assert list(map(str, fields.problems)) == []


def test_what_the_example_comments_out_is_the_default() -> None:
    commented = flat(tomli.loads(uncommented()))
    for path, key in walk():
        table, _, name = path.rpartition(".")
        fields = {field.name: field for field in msgspec.structs.fields(MODELS[table])}
        default = fields[RENAMED.get(name, name)].default
        if not key.required and path not in DERIVED and isinstance(default, (str, bool, int, float)):
            assert commented[path] == default, path


def test_the_example_is_safe_to_run_anywhere() -> None:
    """As shipped it touches this machine and a loopback registry, and needs no secret."""
    shipped = tomli.loads(EXAMPLE)
    assert set(shipped) == {"registry", "stacks"}
    assert shipped["registry"] == {"url": "127.0.0.1:5055/onevm"}
    assert shipped["stacks"]["shop"]["host"] == "local"
    assert os.fspath(ROOT) not in EXAMPLE
