"""Rules on mounts."""

import pytest

from tests.unit.core.lint.conftest import Find

FILES = {"conf/app.ini": "", "single.ini": "", "data/x": ""}
MOUNTS = {
    "a folder that travels": ("{type: bind, source: HERE/conf, target: /etc/app}", set()),
    "a file that travels": ("{type: bind, source: HERE/single.ini, target: /etc/single.ini}", {"single-file-mount"}),
    "a file in a folder that travels": (
        "{type: bind, source: HERE/conf/app.ini, target: /etc/app.ini}",
        {"single-file-mount"},
    ),
    "a folder that does not": ("{type: bind, source: HERE/data, target: /data}", {"mount-does-not-travel"}),
    "the checkout": ("{type: bind, source: HERE, target: /code}", {"mount-does-not-travel"}),
    "a folder that is made on the host": ("{type: bind, source: HERE/made, target: /made}", set()),
    "a folder of the host": ("{type: bind, source: /etc, target: /host}", set()),
    "a volume": ("{type: volume, source: data, target: /data}", set()),
    "the engine": ("{type: bind, source: /var/run/docker.sock, target: /s, read_only: true}", {"docker-socket"}),
}


@pytest.mark.parametrize("name", MOUNTS)
def test_a_mount(name: str, find: Find) -> None:
    volume, rules = MOUNTS[name]
    volumes = f"    volumes:\n      - {{type: volume, source: v, target: /v}}\n      - {volume}"
    faults = find(
        f"x:\n    <<: {{HEALTHY, image: 'x:1'}}\n{volumes}",
        files=FILES,
        travelling=("conf", "single.ini"),
    )
    assert [(f.rule, f.place.line) for f in faults] == [(rule, 6) for rule in rules]


def test_the_mend_keeps_what_travels_already(find: Find) -> None:
    text = "x: {HEALTHY, image: 'x:1', volumes: [{type: bind, source: HERE/data, target: /data}]}"
    (fault,) = find(text, files=FILES, travelling=("conf",))
    assert fault.mend == '[stacks.shop]   # services.toml\nfiles = ["conf", "data"]'
