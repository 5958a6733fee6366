"""Rules on secrets; the value is never in a message."""

import pytest

from tasks.core.lint.secrets import names_secret
from tests.unit.core.lint.conftest import Find


@pytest.mark.parametrize(
    "name", ["PASSWORD", "DB_PASSWORD", "mysql_root_password", "NPM_TOKEN", "STRIPE_API_KEY", "S3_SECRET"]
)
def test_names_of_secrets(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name", ["PASSWORD_FILE", "TOKEN_LIFETIME", "NEXT_PUBLIC_API_KEY", "SECRETARY", "KEY", "AUTH_METHOD", "COMPASS"]
)
def test_names_of_others(name: str) -> None:
    assert not names_secret(name)


VALUES = {
    "A_PASSWORD: hunter2": "error",
    "A_PASSWORD: '12345678'": "error",
    "A_PASSWORD: 'pay$$hunter2'": "error",
    "A_PASSWORD: '${A_PASSWORD}'": "",
    "A_PASSWORD: '${A_PASSWORD:?}'": "",
    "A_PASSWORD: '${A_PASSWORD:-}'": "",
    "A_PASSWORD: '${A_PASSWORD:-hunter2}'": "warning",
    "A_PASSWORD: null": "",
    "A_PASSWORD: ''": "",
    "ALLOW_EMPTY_PASSWORD: 'yes'": "",
    "A_PASSWORD: /run/secrets/a": "",
    "URL: 'postgres://app:hunter2@db/app'": "error",
    "URL: 'postgres://app:${P}@db/app'": "",
    "URL: '${URL:-postgres://app:hunter2@db/app}'": "warning",
    "URL: 'http://db:5432/x@y'": "",
}


@pytest.mark.parametrize("entry", VALUES)
def test_a_value_in_the_environment(entry: str, find: Find) -> None:
    faults = find(
        f"x:\n    HEALTHY_ON\n    environment:\n      {entry}".replace("HEALTHY_ON", "<<: {HEALTHY, image: 'x:1'}")
    )
    assert [(f.rule, f.severity) for f in faults] == (
        [("secret-in-environment", VALUES[entry])] if VALUES[entry] else []
    )
    assert all("hunter2" not in f.what + f.mend for f in faults)


def build(text: str, find: Find, args: str = "{}", **files: str) -> list[tuple[str, str, int]]:
    there = {"x/Dockerfile": text, "x/.dockerignore": "", **{f"x/{name}": content for name, content in files.items()}}
    faults = find(f"x: {{HEALTHY, build: {{context: HERE/x, args: {args}}}}}", files=there)
    return [(f.rule, f.severity, f.place.line) for f in faults]


def test_an_arg_in_the_image_is_an_error_and_one_of_a_build_stage_a_warning(find: Find) -> None:
    assert build("FROM a:1\nARG NPM_TOKEN\n", find) == [("secret-in-build-arg", "error", 2)]
    text = "FROM a:1 AS b\nARG NPM_TOKEN\nFROM a:1\nCOPY --from=b x /\n"
    assert build(text, find) == [("secret-in-build-arg", "warning", 2)]


def test_an_arg_that_is_passed_is_told_where_it_is_passed_and_only_there(find: Find) -> None:
    found = build("FROM a:1\nARG NPM_TOKEN\n", find, args='{NPM_TOKEN: "${NPM_TOKEN}"}')
    assert found == [("secret-in-build-arg", "error", 2)]
    text = "FROM a:1 AS b\nARG NPM_TOKEN\nFROM a:1\n"
    assert build(text, find, args='{NPM_TOKEN: "${NPM_TOKEN}"}') == [("secret-in-build-arg", "warning", 2)]


def test_a_variable_of_the_image(find: Find) -> None:
    assert build("FROM a:1\nENV A_TOKEN=x B=y\n", find) == [("secret-in-environment", "error", 2)]
    assert build("FROM a:1\nENV A_TOKEN x\n", find) == [("secret-in-environment", "error", 2)]
    assert build("FROM a:1 AS b\nENV A_TOKEN=x\nFROM a:1\n", find) == []


CONTEXT = {
    "COPY . .": 1,
    "COPY --chown=1:1 ./ /app/": 1,
    "COPY src/ /app/": 0,
    "COPY --from=b . .": 0,
}


@pytest.mark.parametrize("copy", CONTEXT)
def test_a_secret_beside_the_dockerfile(copy: str, find: Find) -> None:
    text = f"FROM a:1 AS b\nFROM a:1\n{copy}\n"
    found = build(text, find, **{".env": "x", ".env.example": "x", "server.key": "x"})
    assert found == [("secret-file-in-context", "warning", 3)] * CONTEXT[copy]
    assert build(text, find, **{".env": "x", "server.key": "x", ".dockerignore": ".env*\n*.key\n"}) == []
