"""Rules on health checks: that there is one, that it can work, that it can fail, that it is quick."""

import re
from collections.abc import Iterator, Sequence

from tasks.core.durations import seconds
from tasks.core.lint import healthtest
from tasks.core.lint.healthtest import basename
from tasks.core.lint.rule import Fault
from tasks.core.lint.subject import Service, Subject

SLOWEST_SECONDS = 10.0
_START_INTERVAL_SECONDS = 5.0  # moby daemon/health.go: defaultStartInterval
_DEFAULT_INTERVAL_SECONDS = 30.0
_VARIABLE = re.compile(r"\$(?:\{|[A-Za-z_])")
_OPERATORS = frozenset({"||", "&&", "|", ";", ">", "2>&1", ">/dev/null"})
_ALWAYS_GOOD = re.compile(r"(?:\|\||;)\s*(?:true|:|exit\s+0|echo\b[^|&;]*)\s*;?\s*$")
_NOTHING = re.compile(r"^\s*(?:(?:/usr)?(?:/bin/)?true|:|exit\s+0|echo\b[^|&;]*)\s*$")
_CURL = re.compile(r"(?<![\w-])curl(?=\s)")
_CURL_CALL = re.compile(r"(?:^|[\s/;&|(])curl\b([^|;&]*)(\|(?!\|))?")
# getaddrinfo gives several addresses; these try them all, or mean a socket by `localhost`.
_JAVA = re.compile(r"java$|kafka-|zookeeper-|cassandra|nodetool$")  # IPv4 first, unless told otherwise
_TRIES_ALL = frozenset({"curl", "python", "python3", "ruby", "php", "perl", "go"})
_DATABASES = frozenset(
    {
        "mysqladmin", "mysql", "mariadb-admin", "mariadb", "pg_isready", "psql", "redis-cli", "valkey-cli", "mongosh",
        "mongo", "cqlsh", "clickhouse-client", "etcdctl", "rabbitmq-diagnostics", "rabbitmqctl", "healthcheck.sh",
        "sqlcmd",
    }
)  # fmt: skip


def health(subject: Subject) -> Iterator[Fault]:
    """Yield what is wrong with the health checks of a stack."""
    for service in subject.services():
        if not service.has_health_check and service.lives_on:
            yield _missing(service)
        if service.service.healthcheck is None:
            continue
        if test := healthtest.command(service):
            yield from _exec_form(service, test)
            yield from _localhost(service, test)
            yield from _lying(service, test)
        yield from _slow(service)


def _missing(service: Service) -> Fault:
    off = bool(service.spec.get("healthcheck"))
    place = service.at("healthcheck") if off else service.subject.places.service(service.name)
    what = "its health check is switched off" if off else "it has no health check"
    port = next((str(p.get("target")) for p in service.spec.get("ports") or ()), "") or _exposed(service) or "8000"
    mend = (
        "healthcheck:\n"
        f'  test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:{port}/healthz"]\n'
        "  interval: 10s\n  timeout: 3s\n  start_period: 30s\n  start_interval: 1s"
    )
    return service.fault("no-health-check", place, what, mend)


def _exposed(service: Service) -> str:
    ports = [str(port) for port in service.spec.get("expose") or ()]
    runtime = service.dockerfile.runtime() if service.dockerfile else []
    ports += [i.rest for stage in runtime for i in stage.instructions if i.word == "EXPOSE"]
    return next((port.split("/")[0] for port in ports if port.split("/")[0].isdigit()), "")


def _exec_form(service: Service, test: Sequence[str]) -> Iterator[Fault]:
    if healthtest.starts_shell(test):
        return
    program, rest = test[1], test[2:]
    if re.search(r"\s", program.strip()):
        what = "CMD is given a whole command line as the name of one program"
    elif operators := [word for word in rest if word in _OPERATORS]:
        what = f"CMD starts no shell, so {basename(program)} gets {operators[0]} as an argument"
    elif any(_VARIABLE.search(word) for word in test[1:]):
        what = f"CMD starts no shell, so {basename(program)} gets $… as it is written"
    else:
        return
    mend = healthtest.mend_of(service, lambda raw: ["CMD-SHELL", healthtest.text(raw)])
    yield service.fault("exec-form-health-check", service.at("healthcheck", "test"), what, mend)


def _localhost(service: Service, test: Sequence[str]) -> Iterator[Fault]:
    line = healthtest.text(test)
    names = {basename(program) for program in healthtest.programs(test)} or {basename(w) for w in line.split()[:1]}
    if not healthtest.asks_localhost(line) or names & _DATABASES or any(map(_JAVA.match, names)):
        return
    what = "it asks localhost, where a server that listens on 0.0.0.0 does not answer"
    if names <= _TRIES_ALL | {"grep", "jq"}:
        tool = min(names & _TRIES_ALL, default="the tool")
        what = f"it asks localhost; {tool} tries 127.0.0.1 as well, wget of BusyBox and Node before 20 do not"
    mend = healthtest.mend_of(service, healthtest.on_ipv4)
    yield service.fault("localhost-health-check", service.at("healthcheck", "test"), what, mend)


def _lying(service: Service, test: Sequence[str]) -> Iterator[Fault]:
    line = healthtest.text(test)
    if _NOTHING.search(line):
        what, mend = "it asks nothing", "# let it ask something that fails when the service does"
    elif healthtest.starts_shell(test) and _ALWAYS_GOOD.search(line):
        what = "it ends with 0 whatever happened"
        mend = healthtest.mend_of(service, lambda raw: healthtest.edited(raw, _ALWAYS_GOOD, ""))
    elif _asks_without_fail(line):
        what = "curl ends with 0 on an answer of 500, too"
        mend = healthtest.mend_of(service, lambda raw: healthtest.edited(raw, _CURL, "curl -f"))
    else:
        return
    yield service.fault("lying-health-check", service.at("healthcheck", "test"), what, mend)


def _asks_without_fail(line: str) -> bool:
    """Whether curl asks over HTTP without --fail, and nobody looks at what it prints."""
    found = _CURL_CALL.search(line)
    if not found or found[2] or "$(" in line or "`" in line:
        return False
    words = healthtest.words(found[1])
    fails = any(w.startswith("--fail") or re.fullmatch(r"-[a-zA-Z]*f[a-zA-Z]*", w) for w in words)
    return not fails and not any(w.startswith("telnet://") for w in words)


def _slow(service: Service) -> Iterator[Fault]:
    spec = service.spec.get("healthcheck") or {}
    interval = seconds(spec.get("interval")) or _DEFAULT_INTERVAL_SECONDS
    waits = interval
    if seconds(spec.get("start_period")):
        waits = min(interval, seconds(spec.get("start_interval")) or _START_INTERVAL_SECONDS)
    if waits <= SLOWEST_SECONDS:
        return
    what = (
        f"its first check comes after {waits:g} s, {'its interval' if spec.get('interval') else 'the default interval'}"
    )
    mend = "start_period: 30s\nstart_interval: 1s"
    if spec.get("start_interval"):
        mend = "start_period: 30s   # without it no start_interval is used"
    yield service.fault("slow-health-check", service.at("healthcheck", "interval"), what, mend)
