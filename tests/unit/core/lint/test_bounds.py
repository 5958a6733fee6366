"""Rules on memory, logs, restarts, data and open ports."""

import pytest

from tasks.core.lint.bounds import logs_bounded
from tests.unit.core.lint.conftest import GOOD, Find

HEALTH = "healthcheck: {test: [CMD, /check], interval: 1s}"
# What a service has besides a pinned image and a health check, and the rules that find something.
SERVICES = {
    "all is said": (GOOD, set()),
    "nothing is said": ("ports: []", {"no-memory-limit", "no-log-rotation", "no-restart-policy"}),
    "a limit below deploy": (
        "restart: always, logging: {driver: local}, deploy: {resources: {limits: {memory: '1'}}}",
        set(),
    ),
    "a limit of processors alone": (
        "restart: always, logging: {driver: local}, deploy: {resources: {limits: {cpus: 1}}}",
        {"no-memory-limit"},
    ),
    "a policy below deploy": (
        "mem_limit: 1, logging: {driver: local}, deploy: {restart_policy: {condition: any}}",
        set(),
    ),
    "no copy at all": ("deploy: {replicas: 0}, logging: {driver: local}", set()),
    "another driver": ("restart: always, mem_limit: 1, logging: {driver: journald}", set()),
    "rotated": ("restart: always, mem_limit: 1, logging: {driver: json-file, options: {max-size: 1m}}", set()),
    "rotated by the default driver": ("restart: always, mem_limit: 1, logging: {options: {max-size: 1m}}", set()),
    "many files of any size": (
        "restart: always, mem_limit: 1, logging: {driver: json-file, options: {max-file: '3'}}",
        {"no-log-rotation"},
    ),
    "a database's port": (GOOD + ", ports: [{target: 5432, published: '5432'}]", {"open-database-port"}),
    "a database's port under another number": (
        GOOD + ", ports: [{target: 6379, published: '1'}]",
        {"open-database-port"},
    ),
    "a database's port on loopback": (GOOD + ", ports: [{target: 5432, published: '1', host_ip: 127.0.0.1}]", set()),
    "a port that is not published": (GOOD + ", ports: [{target: 5432}]", set()),
    "another port": (GOOD + ", ports: [{target: 80, published: '80'}]", set()),
}


@pytest.mark.parametrize("name", SERVICES)
def test_what_bounds_a_service(name: str, find: Find) -> None:
    more, rules = SERVICES[name]
    assert {f.rule for f in find(f"x: {{image: 'x:1', {HEALTH}, {more}}}")} == rules


def test_an_engine_that_bounds_logs_needs_no_word_of_the_service(find: Find) -> None:
    text = f"x: {{image: 'x:1', {HEALTH}, restart: always, mem_limit: 1}}"
    assert [f.rule for f in find(text)] == ["no-log-rotation"]
    assert find(text, logs_bounded=True) == []


@pytest.mark.parametrize(
    ("driver", "daemon", "bounded"),
    [
        ("json-file", "", False),
        ("json-file", '{"log-opts": {"max-size": "10m"}}', True),
        ("json-file", '{"log-opts": {"max-file": "3"}}', False),
        ("json-file", '{"live-restore": true}', False),
        ("json-file", "no JSON", False),
        ("json-file", "[]", False),
        ("local", "", True),
        ("journald", "", True),
        ("", "", False),
    ],
)
def test_whether_an_engine_bounds_logs(driver: str, daemon: str, bounded: bool) -> None:
    assert logs_bounded(driver, daemon) == bounded


DATA = {
    "nowhere": ("postgres:16", "", True),
    "on a volume": ("postgres:16", "volumes: [{type: volume, source: d, target: /var/lib/postgresql/data}]", False),
    "on a volume above": ("postgres:18", "volumes: [{type: volume, source: d, target: /var/lib/postgresql}]", False),
    "in a folder of the host": ("mysql:8", "volumes: [{type: bind, source: /srv, target: /var/lib/mysql}]", False),
    "on an unnamed volume": ("mysql:8", "volumes: [{type: volume, target: /var/lib/mysql}]", True),
    "elsewhere": ("mongo:7", "volumes: [{type: volume, source: d, target: /backup}]", True),
    "in memory, on purpose": ("mysql:8", "tmpfs: ['/var/lib/mysql']", False),
    "another registry": ("registry.example.com:5000/hub/postgres:16@sha256:00", "", True),
    "a cache": ("redis:7", "", False),
    "somebody else's image that keeps it elsewhere": (
        "linuxserver/mariadb:11",
        "volumes: [{type: bind, source: /srv, target: /config}]",
        False,
    ),
    "somebody else's image that keeps it nowhere": ("linuxserver/mariadb:11", "", True),
    "a mirror": (
        "registry.example.com/postgres:16",
        "volumes: [{type: bind, source: /srv, target: /config}]",
        True,
    ),
}


@pytest.mark.parametrize("name", DATA)
def test_where_a_database_keeps_its_data(name: str, find: Find) -> None:
    image, more, lost = DATA[name]
    rules = {f.rule for f in find(f"x: {{image: '{image}', {HEALTH}, {GOOD}{', ' + more if more else ''}}}")}
    assert rules == ({"data-without-volume"} if lost else set())


@pytest.mark.parametrize(
    ("image", "found"),
    [("elasticsearch:8", True), ("docker.elastic.co/elasticsearch/elasticsearch:8", True), ("owncloud/ocis:5", False)],
)
def test_a_port_that_others_use_too_needs_the_image_s_name(image: str, found: bool, find: Find) -> None:
    data = "volumes: [{type: volume, source: d, target: /usr/share/elasticsearch/data}]"
    text = f"x: {{image: '{image}', {HEALTH}, {GOOD}, {data}, ports: [{{target: 9200, published: '9200'}}]}}"
    assert [f.rule for f in find(text)] == (["open-database-port"] if found else [])
