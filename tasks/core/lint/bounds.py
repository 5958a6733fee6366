"""Rules on what keeps one service from taking the host down, and the host from losing a service."""

import json
import re
from collections.abc import Iterator
from typing import Any

from tasks.core.lint.rule import Fault
from tasks.core.lint.subject import Service, Subject

# Where images keep what must not be lost. (Names of repositories without registry and namespace.)
_DATA = {
    "postgres": "/var/lib/postgresql",
    "postgis": "/var/lib/postgresql",
    "pgvector": "/var/lib/postgresql",
    "timescaledb": "/var/lib/postgresql",
    "mysql": "/var/lib/mysql",
    "mariadb": "/var/lib/mysql",
    "mongo": "/data/db",
    "couchdb": "/opt/couchdb/data",
    "influxdb": "/var/lib/influxdb",
    "elasticsearch": "/usr/share/elasticsearch/data",
    "gitea": "/data",
}
_PORTS = {
    5432: "PostgreSQL", 3306: "MySQL", 6379: "Redis", 27017: "MongoDB", 11211: "memcached", 1433: "SQL Server",
    9042: "Cassandra", 2379: "etcd", 5672: "RabbitMQ", 7687: "Neo4j", 2375: "the Docker API",
}  # fmt: skip
# Others use these, too: the image's name has to say it.
_SHARED_PORTS = {
    9200: ("Elasticsearch", "elastic|opensearch"), 8123: ("ClickHouse", "clickhouse"), 5984: ("CouchDB", "couchdb"),
    8086: ("InfluxDB", "influxdb"), 9092: ("Kafka", "kafka|redpanda"),
}  # fmt: skip
# Namespaces whose images keep their data where the official ones do.
_OFFICIAL = re.compile(
    r"(?:(?:docker\.io|[\w.-]+[.:][\w.:-]+)/)?(?:library/|postgis/|pgvector/|timescale/|gitea/|elasticsearch/)?[^/]+"
)
_LOOPBACK = ("127.", "::1", "localhost")


def logs_bounded(driver: str, daemon_json: str) -> bool:
    """Whether an engine bounds the logs of containers that say nothing about theirs.

    Args:
        driver: its default logging driver.
        daemon_json: the text of its configuration file, as far as it can be read.
    """
    if driver and driver != "json-file":
        return True
    try:
        options = json.loads(daemon_json or "{}").get("log-opts") or {}
    except (ValueError, AttributeError):
        return False
    return bool(options.get("max-size"))


def bounds(subject: Subject) -> Iterator[Fault]:
    """Yield what is unbounded, or would be lost."""
    for service in subject.services():
        yield from _memory(service)
        yield from _logs(service)
        yield from _restart(service)
        yield from _data(service)
        yield from _database_ports(service)


def _memory(service: Service) -> Iterator[Fault]:
    if service.memory_limit() == 0 and service.service.replicas:
        place = service.at("deploy", "resources") if _limits(service) else service.subject.places.service(service.name)
        yield service.fault("no-memory-limit", place, "it may take all memory of the host", "mem_limit: 256m")


def _limits(service: Service) -> Any:
    return ((service.spec.get("deploy") or {}).get("resources") or {}).get("limits")


def _logs(service: Service) -> Iterator[Fault]:
    logging = service.spec.get("logging") or {}
    driver = logging.get("driver") or ""
    if driver not in {"", "json-file"} or (not driver and not logging and service.subject.logs_bounded):
        return
    if (logging.get("options") or {}).get("max-size"):
        return
    place = service.at("logging") if logging else service.subject.places.service(service.name)
    what = "its log is kept whole, in json-file without max-size"
    mend = "logging:\n  driver: local   # or json-file with options: {max-size: 10m}"
    yield service.fault("no-log-rotation", place, what, mend)


def _restart(service: Service) -> Iterator[Fault]:
    policy = (service.spec.get("deploy") or {}).get("restart_policy")
    if service.spec.get("restart") or policy or not service.lives_on or not service.service.replicas:
        return
    place = service.subject.places.service(service.name)
    yield service.fault("no-restart-policy", place, "it has no restart policy", "restart: unless-stopped")


def _data(service: Service) -> Iterator[Fault]:
    repository = (service.spec.get("image") or "").partition("@")[0]
    name = repository.rpartition("/")[2].partition(":")[0]
    folder = _DATA.get(name, "") if service.service.build is None else ""
    mounts = [v for v in service.spec.get("volumes") or () if v.get("source") or v.get("type") == "tmpfs"]
    targets = [str(volume.get("target", "")) for volume in mounts]
    targets += [str(target).partition(":")[0] for target in service.spec.get("tmpfs") or ()]
    kept = any(_covers(target, folder) for target in targets) or service.spec.get("volumes_from")
    # Other people's images may keep it elsewhere: there a mount of any kind is enough.
    if not folder or kept or (targets and not _OFFICIAL.fullmatch(repository)):
        return
    place = service.at("volumes") if service.spec.get("volumes") else service.subject.places.service(service.name)
    volume = f'volumes: ["{service.name}:{folder}"]'
    mend = f"{volume}\n# and on the top level of the file:\nvolumes: {{{service.name}: {{}}}}"
    yield service.fault("data-without-volume", place, f"{folder} is on no named volume", mend)


def _covers(target: str, folder: str) -> bool:
    target = target.rstrip("/")
    return folder == target or folder.startswith(f"{target}/") or target.startswith(f"{folder}/")


def _database_ports(service: Service) -> Iterator[Fault]:
    for port in service.spec.get("ports") or ():
        kind = _database(int(port.get("target") or 0), service.spec.get("image") or "")
        if not kind or not port.get("published") or str(port.get("host_ip") or "").startswith(_LOOPBACK):
            continue
        place = service.subject.places.port(service.name, int(port["target"]))
        what = f"{kind}'s port {port['target']} is open on every address of the host"
        mend = f'ports: ["127.0.0.1:{port["published"]}:{port["target"]}"]   # other services need none'
        yield service.fault("open-database-port", place, what, mend)


def _database(port: int, image: str) -> str:
    kind, names = _SHARED_PORTS.get(port, ("", ""))
    return kind if kind and re.search(names, image) else _PORTS.get(port, "")
