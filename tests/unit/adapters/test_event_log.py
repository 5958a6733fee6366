"""The log of events stays readable whatever befalls its writers."""

import json
import threading
from pathlib import Path

import pytest

from tasks.adapters import event_log

EVENT = {"schema": 1, "run": "r"}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def numbers(log: Path) -> list[int]:
    return [event["number"] for event in event_log.read(log)]


def test_events_are_read_in_the_order_in_which_they_were_written(log: Path) -> None:
    event_log.append(log, [{**EVENT, "number": 1}, {**EVENT, "number": 2}])
    event_log.append(log, [{**EVENT, "number": 3}])
    assert numbers(log) == [1, 2, 3]
    assert all(json.loads(line) for line in log.read_text().splitlines())


def test_no_log_is_no_events(log: Path) -> None:
    assert event_log.read(log) == []


@pytest.mark.parametrize("torn", [b'{"schema":1,"numb', b"\xff\xfe", b"[1]\n", b'{"schema":2,"number":9}\n', b"\n\n"])
def test_what_is_no_event_is_left_out_and_the_next_one_begins_a_line(log: Path, torn: bytes) -> None:
    event_log.append(log, [{**EVENT, "number": 1}])
    with log.open("ab") as file:
        file.write(torn)
    event_log.append(log, [{**EVENT, "number": 2}])
    assert numbers(log) == [1, 2]


def test_a_long_log_loses_its_older_half_and_no_part_of_a_line(log: Path) -> None:
    most = 4000
    for number in range(300):
        event_log.append(log, [{**EVENT, "number": number}], most)
        assert log.stat().st_size <= most
    found = numbers(log)
    assert found == list(range(300 - len(found), 300))
    assert len(found) > 30
    assert [path.name for path in log.parent.iterdir()] == [log.name]


def test_writers_side_by_side_lose_nothing(log: Path) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 40):
            event_log.append(log, [{**EVENT, "number": number}])

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(numbers(log)) == [n for first in (0, 100, 200) for n in range(first, first + 40)]


def test_a_writer_that_finds_the_file_replaced_writes_to_the_new_one(log: Path) -> None:
    def write(first: int) -> None:
        for number in range(first, first + 150):
            event_log.append(log, [{**EVENT, "number": number}], 1500)

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = numbers(log)
    # Whoever came last is there, and nobody's events are out of order.
    assert {149, 1149} & set(found)
    for low, high in ((0, 999), (1000, 2000)):
        own = [number for number in found if low <= number <= high]
        assert own == sorted(own)


def test_a_log_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        event_log.append(tmp_path / "gone" / "events.jsonl", [EVENT])
