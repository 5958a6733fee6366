"""Rules on health checks, one row per form that people write."""

import pytest

from tasks.core.lint import healthtest
from tests.unit.core.lint.conftest import Find

URL = "http://127.0.0.1:80/"
LOCAL = "http://localhost:80/"

TESTS = {
    "nothing wrong": (f"[CMD, curl, -fsS, {URL}]", set()),
    "fail spelt out": (f"[CMD, curl, --fail, {URL}]", set()),
    "a pipe that looks at the answer": (f"[CMD-SHELL, 'curl -s {URL} | grep ok']", set()),
    "a test that can fail": (f"[CMD-SHELL, 'wget -q {URL} || exit 1']", set()),
    "a substitution that is looked at": (f"[CMD-SHELL, 'test \"$(curl -s {URL})\" = ok']", set()),
    "curl without fail": (f"[CMD, curl, -sS, {URL}]", {"lying-health-check"}),
    "curl without fail in a shell": (f"[CMD-SHELL, 'curl {URL} || exit 1']", {"lying-health-check"}),
    "or true": (f"[CMD-SHELL, 'wget -q {URL} || true']", {"lying-health-check"}),
    "then exit 0": (f"[CMD-SHELL, 'wget -q {URL}; exit 0']", {"lying-health-check"}),
    "true": ("[CMD, 'true']", {"lying-health-check"}),
    "echo": ("[CMD-SHELL, echo ok]", {"lying-health-check"}),
    "localhost and wget": (f"[CMD, wget, -q, {LOCAL}]", {"localhost-health-check"}),
    "localhost and nc": ("[CMD, nc, -z, localhost, '80']", {"localhost-health-check"}),
    "localhost and node": (f"[CMD-SHELL, \"node -e 'fetch(`{LOCAL}`)'\"]", {"localhost-health-check"}),
    "localhost in capitals": ("[CMD, wget, -q, 'http://LOCALHOST/']", {"localhost-health-check"}),
    "localhost and curl": (f"[CMD, curl, -f, {LOCAL}]", {"localhost-health-check"}),
    "localhost and an unknown tool": ("[CMD, /check, 'localhost:80']", {"localhost-health-check"}),
    "another name with localhost in it": ("[CMD, wget, 'http://localhost.example.com/']", set()),
    "a folder of that name": ("[CMD, /opt/my-localhost/check]", set()),
    "localhost and pg_isready": ("[CMD, pg_isready, -h, localhost]", set()),
    "localhost and mysqladmin in a shell": ("[CMD-SHELL, 'mysqladmin ping -h localhost || exit 1']", set()),
    "localhost and Java": ("[CMD, /opt/kafka/bin/kafka-topics.sh, --bootstrap-server, 'localhost:9092']", set()),
    "a whole line as one word": ("[CMD, pg_isready -U app]", {"exec-form-health-check"}),
    "an operator without a shell": (f"[CMD, curl, -f, {URL}, '||', exit, '1']", {"exec-form-health-check"}),
    "a variable without a shell": ("[CMD, pg_isready, -U, '$POSTGRES_USER']", {"exec-form-health-check"}),
    "a variable with a shell": ("[CMD, sh, -c, 'pg_isready -U $POSTGRES_USER']", set()),
    "no dollar sign of a variable": ("[CMD, grep, -q, 'ok$', /state]", set()),
    "a string": (f"'wget -q {URL}'", set()),
}


@pytest.mark.parametrize("name", TESTS)
def test_a_test_as_it_is_written(name: str, find: Find) -> None:
    test, rules = TESTS[name]
    faults = find(
        f"web:\n  {{GOOD, image: 'web:1', healthcheck: {{interval: 1s, test: {test}}}}}".replace("GOOD", GOOD)
    )
    assert {fault.rule for fault in faults} == rules


GOOD = "restart: always, mem_limit: 1, logging: {driver: local}"

TIMES = {
    "the default": ("{}", "30"),
    "long": ("{interval: 1m}", "60"),
    "ten seconds": ("{interval: 10s}", ""),
    "a start period brings the engine's own five seconds": ("{interval: 1m, start_period: 10s}", ""),
    "a slow start interval": ("{interval: 1m, start_period: 5m, start_interval: 30s}", "30"),
    "a start interval without a start period": ("{interval: 1m, start_interval: 1s}", "60"),
    "an interval shorter than the start interval": ("{interval: 5s, start_period: 5m, start_interval: 30s}", ""),
}


@pytest.mark.parametrize("name", TIMES)
def test_how_long_a_deploy_waits_for_the_first_check(name: str, find: Find) -> None:
    times, seconds = TIMES[name]
    faults = find(f"web:\n  {{{GOOD}, image: 'web:1', healthcheck: {{test: [CMD, /check], <<: {times}}}}}")
    assert [fault.rule for fault in faults] == (["slow-health-check"] if seconds else [])
    assert all(f"after {seconds} s" in fault.what for fault in faults)


MISSING = {
    "restarted": ("{restart: always}", True),
    "runs once": ("{restart: 'no'}", False),
    "runs once, with a port": ("{ports: [{target: 80, published: '80'}], restart: 'no'}", True),
    "switched off": ("{restart: always, healthcheck: {disable: true}}", True),
    "none": ("{restart: always, healthcheck: {test: [NONE]}}", True),
    "times alone mean the image's own": ("{restart: always, healthcheck: {interval: 5s}}", False),
}


@pytest.mark.parametrize("name", MISSING)
def test_who_needs_a_check(name: str, find: Find) -> None:
    more, missing = MISSING[name]
    faults = find(f"web:\n  {{image: 'web:1', <<: {more}}}")
    assert ("no-health-check" in {fault.rule for fault in faults}) == missing


def test_whom_others_wait_for_needs_a_check_unless_they_wait_for_its_end(find: Find) -> None:
    for condition, missing in (("started", True), ("healthy", False), ("completed_successfully", False)):
        needs = f"{{app: {{condition: service_{condition}}}}}"
        faults = find(f"app: {{image: 'app:1', restart: 'no'}}\nweb: {{HEALTHY, image: 'web:1', depends_on: {needs}}}")
        assert ("app",) in [f.services for f in faults if f.rule == "no-health-check"] or not missing, condition
        assert missing == any(f.rule == "no-health-check" for f in faults), condition


def test_a_check_in_the_dockerfile_or_the_image_is_one(find: Find) -> None:
    build = "web:\n  {GOOD, build: {context: HERE/web}}"
    files = {"web/.dockerignore": "x", "web/Dockerfile": "FROM a:1\nHEALTHCHECK CMD true\n"}
    assert find(build, files=files) == []
    files["web/Dockerfile"] = "FROM a:1\nHEALTHCHECK CMD true\nHEALTHCHECK NONE\n"
    assert [fault.rule for fault in find(build, files=files)] == ["no-health-check"]
    assert find(build, files=files, health_in_image=frozenset({"web"})) == []


PROGRAMS = {
    "[CMD, /bin/check, -x]": ["/bin/check"],
    "[CMD-SHELL, 'curl -f x || exit 1']": ["curl"],
    "[CMD-SHELL, 'A=b wget -q x && grep -q y z']": ["wget", "grep"],
    "[CMD-SHELL, 'if ! pgrep x; then exit 1; fi']": ["pgrep"],
    "[CMD-SHELL, '[ -f /ok ] || exit 1']": [],
    "[CMD-SHELL, 'echo \"a; b | c\" | nc -w1 x 80']": ["nc"],
    "[CMD, sh, -c, 'redis-cli ping | grep PONG']": ["redis-cli", "grep"],
    "[CMD-SHELL, '$TOOL x']": [],
}


@pytest.mark.parametrize("test", PROGRAMS)
def test_the_programs_that_a_test_starts(test: str) -> None:
    from ruamel.yaml import YAML

    assert healthtest.programs(YAML(typ="safe", pure=True).load(test)) == PROGRAMS[test]


def test_a_mend_can_be_pasted(find: Find) -> None:
    from ruamel.yaml import YAML

    for name, (test, rules) in TESTS.items():
        for fault in find(f"web:\n  {{{GOOD}, image: 'web:1', healthcheck: {{interval: 1s, test: {test}}}}}"):
            if fault.mend.startswith("#"):
                continue
            mended = YAML(typ="safe", pure=True).load(fault.mend)["test"]
            assert mended[0] in {"CMD", "CMD-SHELL"}, name
            again = find(
                f"web:\n  {{{GOOD}, image: 'web:1', healthcheck: {{interval: 1s, {fault.mend}}}}}".replace("$$", "$")
            )
            assert {f.rule for f in again} == rules - {fault.rule}, name


@pytest.mark.parametrize(
    "test", ["[CMD, redis-cli, -a, hunter2, 'true', '||', x]", "[CMD-SHELL, 'wget http://a:hunter2@localhost/']"]
)
def test_a_mend_does_not_repeat_a_secret(test: str, find: Find) -> None:
    faults = find(f"web:\n  {{{GOOD}, image: 'web:1', healthcheck: {{interval: 1s, test: {test}}}}}")
    assert faults
    assert all("hunter2" not in fault.what + fault.mend for fault in faults)


def test_a_mend_keeps_variables_as_they_are_written(find: Find) -> None:
    test = "[CMD-SHELL, 'wget http://localhost:${PORT:-80}/$$X']"
    (fault,) = find(f"web:\n  {{{GOOD}, image: 'web:1', healthcheck: {{interval: 1s, test: {test}}}}}")
    assert fault.mend == "test: [CMD-SHELL, 'wget http://127.0.0.1:${PORT:-80}/$$X']"
