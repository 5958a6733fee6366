"""Where a container listens, against where its health check asks."""

import pytest

from tasks.core.lint import listening
from tasks.core.lint.listening import Listener
from tests.unit.core.lint.conftest import MakeSubject

# As Linux prints them, shortened at the end: 0.0.0.0:8000, 127.0.0.11:45678, a connection, and [::]:3000, [::1]:9.
PROC = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0B00007F:B26E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:1F40 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0BB8 00000000000000000000000000000000:0000 0A 00000000:00000000
   1: 00000000000000000000000001000000:0009 00000000000000000000000000000000:0000 0A 00000000:00000000
"""


def test_what_the_kernel_says() -> None:
    assert listening.listeners(PROC) == {
        Listener(V4, 8000),
        Listener("127.0.0.11", 45678),
        Listener("::", 3000),
        Listener("::1", 9),
    }
    assert listening.listeners("") == frozenset()


V4, ANY, LOOP, SIX = ".".join("0000"), "::", "127.0.0.1", "::1"
ASKED = {
    ("http://127.0.0.1:80/", V4): "",
    ("http://127.0.0.1:80/", ANY): "",
    ("http://127.0.0.1:80/", LOOP): "",
    ("http://127.0.0.1/", V4): "",
    ("http://127.0.0.1:80/", SIX): "health-port-silent",
    ("http://127.0.0.1:81/", V4): "health-port-silent",
    ("https://127.0.0.1/", V4): "health-port-silent",
    ("http://localhost:80/", V4): "localhost-health-check",
    ("http://localhost:80/", LOOP): "localhost-health-check",
    ("http://localhost:80/", ANY): "",
    ("http://localhost:80/", SIX): "",
    ("http://[::1]:80/", V4): "localhost-health-check",
    ("http://web:80/", LOOP): "",
    ("/healthz", V4): "",
}


@pytest.mark.parametrize(("url", "address"), ASKED)
def test_where_a_check_asks(url: str, address: str, subject: MakeSubject) -> None:
    (service,) = subject(f"x: {{image: 'x:1', healthcheck: {{test: [CMD, wget, -q, '{url}']}}}}").services()
    found = list(listening.faults(service, [Listener(address, 80)]))
    assert [f.rule for f in found] == ([ASKED[url, address]] if ASKED[url, address] else [])
    assert {f.severity for f in found} <= {"error"}


def test_the_ports_that_are_there_are_named(subject: MakeSubject) -> None:
    (service,) = subject(
        "x: {image: 'x:1', healthcheck: {test: [CMD-SHELL, 'nc -z 127.0.0.1 5 || exit 1']}}"
    ).services()
    found = [Listener(V4, 3000), Listener("127.0.0.11", 999), Listener(ANY, 9000)]
    (fault,) = listening.faults(service, found)
    assert fault.mend == "# the container listens on 3000, 9000"
    (fault,) = listening.faults(service, [])
    assert fault.mend == "# the container listens on no port at all"
