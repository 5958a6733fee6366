"""Excerpts of Compose files: what is cut out, what stays as it is, and when they are as good as the whole."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from tasks.core.excerpt import belonging, cut, same
from tests.unit.core.test_compose import project

FILE = """# The shop.
name: shop
x-all: &all
  restart: always
services:   # in order of age
  # The oldest.
  web: &web
    <<: *all
    image: "r/web"   # services:
    command: |
      services:
      # no comment
        api:
  'api':
    image: r/api

  "old.db":
    image: r/db
# At the end.
networks:
  default: {}
"""


def read(text: bytes) -> Any:
    return YAML(typ="safe").load(text.decode())


def test_a_block_of_services_loses_the_others_and_nothing_else() -> None:
    part = cut(FILE.encode(), {"web"})
    assert read(part) == {**read(FILE.encode()), "services": {"web": read(FILE.encode())["services"]["web"]}}
    assert b"r/api" not in part
    assert b"r/db" not in part


@pytest.mark.parametrize("name", ["api", "old.db"])
def test_names_may_be_quoted(name: str) -> None:
    assert list(read(cut(FILE.encode(), {name}))["services"]) == [name]


def test_of_a_file_without_any_of_the_services_the_rest_stays() -> None:
    assert read(cut(FILE.encode(), {"other"})) == {**read(FILE.encode()), "services": {}}


def test_lines_may_end_as_on_windows() -> None:
    part = cut(FILE.replace("\n", "\r\n").encode(), {"api"})
    assert list(read(part)["services"]) == ["api"]


def test_what_is_for_all_services_stays() -> None:
    text = b"services:\n  <<: *more\n  a: {image: a}\n  b: {image: b}\n"
    assert cut(text, {"b"}) == b"services:\n  <<: *more\n  b: {image: b}\n"


def test_json_is_cut_by_its_keys() -> None:
    services = {"a": {"image": "a"}, "b": {"image": "b"}}
    part = cut(json.dumps({"services": services, "volumes": {"v": None}}, indent=1).encode(), {"b"})
    assert json.loads(part) == {"services": {"b": {"image": "b"}}, "volumes": {"v": None}}


@pytest.mark.parametrize(
    "text",
    [
        b"networks: {a: {}}\n",
        b"services: {a: {image: a}, b: {image: b}}\n",
        b"{services: {a: {image: a}}}\n",
        b'{"services": []}',
        b'{"networks": {}}',
        b"services:\n  a: {image: a}\nservices:\n  b: {image: b}\n",
        b"services:\n    a: {image: a}\n  b: {image: b}\n",
        b"services:\n",
        b"\xff\xfeservices:\n",
    ],
    ids=lambda text: text.decode(errors="replace")[:20],
)
def test_what_is_not_plainly_laid_out_stays_as_it_is(text: bytes) -> None:
    assert cut(text, {"b"}) == text


NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,6}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30) | st.just("services:\n  a:\n# b\n"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, min_size=1, max_size=3), min_size=1, max_size=5),
    st.dictionaries(st.sampled_from(["x-a", "volumes", "networks"]), VALUES, max_size=2),
    st.data(),
)
def test_whatever_stands_in_a_file_only_services_are_cut(
    services: dict[str, Any], rest: dict[str, Any], data: st.DataObject
) -> None:
    some = data.draw(st.sets(st.sampled_from(sorted(services))))
    yaml, written = YAML(typ="rt"), io.BytesIO()
    yaml.default_flow_style = False
    yaml.dump({**rest, "services": services}, written)
    whole = read(written.getvalue())
    wanted = {name: spec for name, spec in whole["services"].items() if str(name) in some}
    assert read(cut(written.getvalue(), some)) == {**whole, "services": wanted}


def test_what_compose_looks_at_belongs_to_a_service() -> None:
    found = project(
        {
            "web": {"depends_on": {"api": {}}},
            "api": {"links": ["cache:c"]},
            "cache": {"volumes_from": ["data:ro"]},
            "data": {},
            "side": {"network_mode": "service:web"},
            "debug": {"pid": "service:data"},
            "other": {"depends_on": {"web": {}}},
        }
    )
    assert belonging(found, {"web"}) == {"web", "api", "cache", "data", "side", "debug"}
    assert belonging(found, {"debug"}) == {"data", "debug"} | belonging(found, {"data"})
    assert belonging(found, {"other"}) == set(found.services)
    assert belonging(found, {"gone"}) == frozenset()


WHOLE = {
    "name": "shop",
    "services": {"a": {"image": "a"}, "b": {"image": "b"}},
    "networks": {"default": {"name": "shop_default"}},
}


@pytest.mark.parametrize(
    ("part", "is_same"),
    [
        ({"name": "shop", "services": {"b": {"image": "b"}}, "networks": WHOLE["networks"]}, True),
        ({"name": "shop", "services": {"b": {"image": "b"}}}, True),
        ({"name": "shop", "services": {"b": {"image": "c"}}}, False),
        ({"name": "shop", "services": {"b": {"image": "b"}}, "networks": {"default": {"name": "x"}}}, False),
        ({"name": "shop", "services": {"b": {"image": "b"}}, "volumes": {"v": {}}}, False),
        ({"name": "else", "services": {"b": {"image": "b"}}}, False),
        ({"name": "shop", "services": {}}, False),
        (WHOLE, False),
    ],
)
def test_an_excerpt_is_as_good_as_the_whole_if_compose_makes_the_same_of_it(
    part: dict[str, Any], is_same: bool
) -> None:
    assert same(part, WHOLE, {"b"}) is is_same
