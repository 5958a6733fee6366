"""Where in several files something stands, whatever the way it got into a service."""

from pathlib import Path

import pytest

from tasks.adapters import yaml_tree
from tasks.core.errors import OnevmError
from tasks.core.lint import tree
from tasks.core.lint.places import Places
from tasks.core.model import Stack


def places(folder: Path, **files: str) -> Places:
    """Read Compose files a.yml, b.yml, … in this order, and whatever they extend or include."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    order = [name for name in ("a.yml", "b.yml") if (folder / name).exists()]
    stack = Stack(name="shop", path=folder, compose=tuple(order), host="local")
    return Places(yaml_tree.read(stack), [str(folder / name) for name in order])


def at(found: Places, *path: str) -> str:
    place = found.find("web", *path)
    return f"{Path(place.file).name}:{place.line}"


def test_the_last_file_that_says_it(tmp_path: Path) -> None:
    a = "services:\n  web:\n    image: x\n    mem_limit: 1\n"
    b = "services:\n  web:\n\n    mem_limit: 2\n"
    found = places(tmp_path, a_yml=a, b_yml=b)
    assert [at(found, "mem_limit"), at(found, "image"), at(found, "restart")] == ["b.yml:4", "a.yml:3", "a.yml:2"]


def test_the_last_document_of_a_file(tmp_path: Path) -> None:
    found = places(tmp_path, a_yml="services: {web: {image: x}}\n---\nservices:\n  web: {image: y}\n")
    assert at(found, "image") == "a.yml:4"


def test_an_anchor_and_merge_keys(tmp_path: Path) -> None:
    text = """x-a: &a
  <<: {restart: no}
  mem_limit: 1
  image: a
x-b: &b {mem_limit: 2, init: true}
services:
  web:
    <<: [*a, *b]
    image: own
"""
    found = places(tmp_path, a_yml=text)
    keys = ("restart", "mem_limit", "init", "image")
    assert [at(found, key) for key in keys] == ["a.yml:2", "a.yml:3", "a.yml:5", "a.yml:9"]


def test_an_alias_is_where_it_is_used_by_its_key_and_where_it_was_written_below(tmp_path: Path) -> None:
    text = "x-h: &h\n  interval: 1m\nservices:\n  web:\n    healthcheck: *h\n"
    found = places(tmp_path, a_yml=text)
    assert [at(found, "healthcheck"), at(found, "healthcheck", "interval")] == ["a.yml:5", "a.yml:2"]


def test_what_a_service_extends_here_and_elsewhere(tmp_path: Path) -> None:
    a = "services:\n  base: {init: true, extends: {file: more/c.yml, service: deep}}\n  web:\n    extends: base\n"
    found = places(
        tmp_path, a_yml=a, more__c_yml="services:\n  deep:\n    extends: {service: deeper}\n  deeper: {tty: true}\n"
    )
    assert [at(found, "init"), at(found, "tty"), at(found, "image")] == ["a.yml:2", "c.yml:4", "a.yml:3"]


def test_services_that_extend_each_other_end(tmp_path: Path) -> None:
    found = places(tmp_path, a_yml="services:\n  web: {extends: api}\n  api: {extends: web}\n")
    assert at(found, "image") == "a.yml:2"


def test_an_included_file(tmp_path: Path) -> None:
    a = "include:\n  - b/c.yml\n  - path: [d/e.yml]\nservices: {}\n"
    text = "services:\n  {}: {{image: x}}\n"
    found = places(tmp_path, a_yml=a, b__c_yml=text.format("web"), d__e_yml=text.format("api"))
    assert at(found, "image") == "c.yml:2"
    assert Path(found.service("api").file).name == "e.yml"


def test_names_of_mappings_and_lists_with_what_is_written(tmp_path: Path) -> None:
    a = "services:\n  web:\n    environment:\n      - A=1\n      - B\n      - C=x=y\n"
    b = "services:\n  web:\n    environment: {A: '', D: null,\n      E: '${F:-g}', G: 5}\n"
    found = {
        name: (p.line, raw) for name, (p, raw) in places(tmp_path, a_yml=a, b_yml=b).names("web", "environment").items()
    }
    assert found == {
        "A": (3, ""),
        "B": (5, None),
        "C": (6, "x=y"),
        "D": (3, None),
        "E": (4, "${F:-g}"),
        "G": (4, "5"),
    }


def test_mounts_and_ports_in_every_form(tmp_path: Path) -> None:
    text = """services:
  web:
    volumes:
    - ./a:/a:ro
    - ${B:-./b}:/b
    - /c
    - {type: bind, source: ./d,
       target: /d/}
    ports: ["127.0.0.1:1:80/tcp", 81,
      "82", {published: 9, target: 83}]
"""
    found = places(tmp_path, a_yml=text)
    assert [found.mount("web", target).line for target in ("/a", "/b", "/c", "/d", "/e")] == [4, 5, 6, 7, 3]
    assert [found.port("web", port).line for port in (80, 81, 82, 83, 84)] == [9, 9, 10, 10, 9]


def test_tags_and_blocks_are_kept(tmp_path: Path) -> None:
    text = "services:\n  web:\n    environment: !reset []\n    command: |\n      one\n"
    yaml = yaml_tree.parse(text, str(tmp_path))[0].root
    assert getattr(tree.at(yaml, "services", "web", "environment"), "tag", None) == "!reset"
    command = tree.at(yaml, "services", "web", "command")
    assert isinstance(command, tree.Scalar)
    assert (command.block, command.line, command.text) == (True, 4, "one\n")


@pytest.mark.parametrize("text", ["a: [", "a: *nobody", "\t- x", "a: b: c", "a: &a\n  b: *a\n  c: x: y"])
def test_no_yaml_is_said_and_a_stack_goes_on_without_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(OnevmError, match="is no YAML"):
        yaml_tree.parse(text, "a.yml")
    found = places(tmp_path, a_yml=text)
    assert at(found, "image") == "a.yml:1"


def test_an_alias_inside_of_what_it_names_ends(tmp_path: Path) -> None:
    found = places(tmp_path, a_yml="services:\n  web: &w\n    x-again: *w\n    image: y\n")
    assert at(found, "image") == "a.yml:4"


def test_a_thousand_aliases_of_aliases_take_no_time(tmp_path: Path) -> None:
    rows = ["x0: &x0 [a, a]"] + [f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]" for i in range(1, 60)]
    text = "\n".join(rows) + "\nservices: {web: {image: y, command: *x59}}\n"
    assert at(places(tmp_path, a_yml=text), "image") == "a.yml:61"
