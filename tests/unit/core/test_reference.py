"""References mean what they mean to Docker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.errors import OnevmError
from tasks.core.reference import Reference

D = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("redis", "docker.io", "library/redis", None, None),
        ("redis:7", "docker.io", "library/redis", "7", None),
        ("library/redis:7", "docker.io", "library/redis", "7", None),
        ("docker.io/redis", "docker.io", "library/redis", None, None),
        ("index.docker.io/redis", "docker.io", "library/redis", None, None),
        ("team/web", "docker.io", "team/web", None, None),
        ("docker.io/team/web:v1", "docker.io", "team/web", "v1", None),
        ("localhost/web", "localhost", "web", None, None),
        ("localhost:5000/web", "localhost:5000", "web", None, None),
        ("Team/web", "Team", "web", None, None),
        ("ghcr.io/a/b/c", "ghcr.io", "a/b/c", None, None),
        ("127.0.0.1:5055/x/y:tag@" + D, "127.0.0.1:5055", "x/y", "tag", D),
        ("[::1]:5000/x", "[::1]:5000", "x", None, None),
        ("redis@" + D, "docker.io", "library/redis", None, D),
        ("x/a--b__c.d_e/f:_X.y-z", "docker.io", "x/a--b__c.d_e/f", "_X.y-z", None),
        ("localhost:5000", "docker.io", "library/localhost", "5000", None),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(
    text: str, registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    found = Reference.parse(text)
    assert found == Reference(registry=registry, repository=repository, tag=tag, digest=digest)
    assert Reference.parse(str(found)) == found
    assert Reference.parse(found.familiar) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7",
        "Redis",
        "redis:",
        "redis:-x",
        "redis:" + "x" * 129,
        "redis:a:b",
        "redis@sha256:12",
        "redis@",
        "redis@" + D.upper(),
        "a//b",
        "/a",
        "a/",
        "-a",
        "a___b",
        "a b",
        "redis:7\n",
        "https://redis",
        "ex_ample.com/a",
        "example.com:port/a",
        "example.com/",
        "0123456789abcdef" * 4,
        "a/" + "b" * 260,
        "rédis",
        "redis:\uff17",
    ],
)
def test_what_is_no_reference_is_named_in_the_error(text: str) -> None:
    with pytest.raises(OnevmError) as caught:
        Reference.parse(text)
    assert repr(text) in str(caught.value)
    assert "next:" in str(caught.value)


def test_with_digest_drops_the_tag() -> None:
    assert str(Reference.parse("redis:7").with_digest(D)) == f"docker.io/library/redis@{D}"


def test_with_tag_drops_the_digest() -> None:
    assert str(Reference.parse(f"ghcr.io/a/b:1@{D}").with_tag("latest")) == "ghcr.io/a/b:latest"


@pytest.mark.parametrize("digest", ["latest", "sha256:12", ""])
def test_with_digest_refuses_what_is_none(digest: str) -> None:
    with pytest.raises(OnevmError, match="is no digest"):
        Reference.parse("redis").with_digest(digest)


def test_with_tag_refuses_what_is_none() -> None:
    with pytest.raises(OnevmError, match="is no tag"):
        Reference.parse("redis").with_tag("a/b")


def test_the_digest_wins_over_the_tag() -> None:
    assert Reference.parse(f"redis:7@{D}").manifest == D
    assert Reference.parse("redis:7").manifest == "7"
    assert Reference.parse("redis").manifest == "latest"


@given(st.text(alphabet="aA0._-/:@[]é\n", max_size=12))
def test_every_text_is_a_reference_or_an_explained_error(text: str) -> None:
    try:
        found = Reference.parse(text)
    except OnevmError:
        return
    assert Reference.parse(str(found)) == found
