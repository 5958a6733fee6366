"""daemon.json gets what it lacks, and keeps every other character."""

import json
from difflib import SequenceMatcher
from typing import Any

import pytest

from tasks.core.daemon_json import Merged, flag_names, merge
from tasks.core.errors import OnevmError

WANTED = {"log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}, "live-restore": True}
ODD = (
    '\ufeff{\r\n\t\t"insecure-registries" : [ "a:5000",\r\n "b:5000" ]\r\n , "log-opts":{   "labels"\n'
    ':"x,}{\\"" } ,"data-root" :"/data\\/docker",\r\n\r\n'
    '"default-address-pools":[{"base":"10.0.0.0/8","size":24}]  }\r\n\n'
)


def merged(text: str, *, flags: tuple[str, ...] = (), swarm: bool = False) -> Merged:
    return merge(text, size="10m", files=3, flags=flags, swarm=swarm)


def read(text: str) -> Any:
    return json.loads(text.removeprefix("\ufeff"))


@pytest.mark.parametrize(
    "text", ["", "\n", "{}", "{ }\n", "{\n}\n", '{"debug": true}', '{\n    "debug": true\n}\n', ODD]
)
def test_what_is_missing_is_put_in_and_all_else_stays(text: str) -> None:
    before = read(text) if text.strip() else {}
    after = merged(text)
    wanted = {**before, **WANTED}
    if "log-opts" in before:
        wanted["log-opts"] = before["log-opts"] | WANTED["log-opts"]
        del wanted["log-driver"]  # it is the engine's own choice
    assert read(after.text) == wanted
    assert len(after.changes) == 2
    assert after.restart


@pytest.mark.parametrize("text", ["", "{}", '{"debug": true}', ODD])
def test_the_second_time_nothing_changes(text: str) -> None:
    once = merged(text)
    assert merged(once.text) == Merged(text=once.text, changes=(), notes=(), restart=False, live_restore=True)


def test_the_layout_of_what_was_there_stays() -> None:
    steps = SequenceMatcher(None, ODD, merged(ODD).text, autojunk=False).get_opcodes()
    assert [step[0] for step in steps if step[0] != "equal"] == ["insert", "insert"]
    assert merged('{\n    "debug": true\n}\n').text == (
        '{\n    "debug": true,\n    "log-driver": "json-file",\n'
        '    "log-opts": {"max-size": "10m", "max-file": "3"},\n    "live-restore": true\n}\n'
    )
    assert merged('{"debug": true}').text.startswith('{"debug": true, "log-driver": ')


@pytest.mark.parametrize(
    ("text", "added"),
    [
        ('{"log-driver": "local", "live-restore": true}', {}),
        ('{"log-driver": "journald", "live-restore": true}', {}),
        ('{"log-opts": {"max-size": "1g"}, "live-restore": true}', {}),
        ('{"log-driver": "json-file", "log-opts": {"max-size": "1g", "max-file": "9"}, "live-restore": false}', {}),
        ('{"log-opts": {"max-file": "9"}, "live-restore": true}', {"log-opts": {"max-file": "9", "max-size": "10m"}}),
        ('{"log-driver": "json-file", "live-restore": true}', {"log-opts": {"max-size": "10m", "max-file": "3"}}),
        ('{"log-opts": {}, "live-restore": true}', {"log-opts": {"max-size": "10m", "max-file": "3"}}),
    ],
)
def test_what_is_set_there_already_counts(text: str, added: dict[str, Any]) -> None:
    after = merged(text)
    assert read(after.text) == read(text) | added
    assert bool(after.changes) == bool(added)


def test_of_a_name_that_stands_twice_the_last_counts_as_it_does_for_the_engine() -> None:
    after = read(merged('{"log-opts": {"max-size": "1m"}, "log-opts": {"a": "{b}"}, "live-restore": true}').text)
    assert after["log-opts"] == {"a": "{b}", "max-size": "10m", "max-file": "3"}


def test_what_stands_on_the_command_line_is_left_out() -> None:
    words = ["/usr/bin/dockerd", "-H", "fd://", "--log-opt", "max-size=5m", "--live-restore=false"]
    after = merged("", flags=tuple(flag_names(words)))
    assert (after.text, after.changes, len(after.notes)) == ("", (), 2)


def test_an_engine_in_a_swarm_gets_no_live_restore() -> None:
    after = merged("", swarm=True)
    assert "live-restore" not in read(after.text)
    assert "swarm" in after.notes[0]


@pytest.mark.parametrize(
    "text", ['{"debug": true,}', "[]", '{"a": 1} x', "{'a': 1}", '{"a": 1 // b\n}', "null", '{"log-opts": 3}']
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(OnevmError, match=r"daemon\.json") as caught:
        merged(text)
    assert caught.value.next_step
