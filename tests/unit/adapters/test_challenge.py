"""WWW-Authenticate headers as registries write them."""

import pytest

from tasks.adapters.challenge import parse


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", {}),
        ('Basic realm="Registry Realm"', {"basic": {"realm": "Registry Realm"}}),
        (
            (
                'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
                'scope="repository:library/redis:pull,push"'
            ),
            {
                "bearer": {
                    "realm": "https://auth.docker.io/token",
                    "service": "registry.docker.io",
                    "scope": "repository:library/redis:pull,push",
                }
            },
        ),
        (
            'Bearer realm="https://git.example.com/v2/token",scope="*", Basic realm="x"',
            {"bearer": {"realm": "https://git.example.com/v2/token", "scope": "*"}, "basic": {"realm": "x"}},
        ),
        ("BEARER Realm=plain , Service = spaced", {"bearer": {"realm": "plain", "service": "spaced"}}),
        (r'Basic realm="with \"quotes\", and a comma"', {"basic": {"realm": 'with "quotes", and a comma'}}),
        ('Negotiate, Basic realm="x"', {"negotiate": {}, "basic": {"realm": "x"}}),
        ('Bearer realm="first",realm="second"', {"bearer": {"realm": "first"}}),
    ],
)
def test_every_scheme_is_read_with_its_parameters(header: str, found: dict[str, dict[str, str]]) -> None:
    assert parse(header) == found
