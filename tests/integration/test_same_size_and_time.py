"""A file of the same size and mtime as one that BuildKit was sent before reaches the image with its own bytes."""

import os
from pathlib import Path

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Shop, docker

pytestmark = pytest.mark.engine

MOMENT_NS = 1_700_000_000_000_000_000


def put(file: Path, text: str) -> None:
    """Write a file as tar, rsync or git-restore-mtime do: with a time that says nothing of when it was written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    os.utime(file, ns=(MOMENT_NS, MOMENT_NS))


def inside(shop: Shop, path: str = "/www/version") -> str:
    """Return a file of the image that a build of a has left."""
    (name,) = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"{shop.registry}/{shop.name}/*-a").split()
    try:
        return docker("run", "--rm", "--entrypoint", "cat", name, path)
    finally:
        docker("image", "rm", name)


def built(shop: Shop, path: str = "/www/version") -> str:
    assert shop.doit("build:a").ok().bakes == [["a"]]
    return inside(shop, path)


def test_in_the_same_checkout(make_shop: MakeShop) -> None:
    shop = make_shop("a")
    put(shop.repo / "a" / "version", "rye\n")
    assert built(shop) == "rye\n"
    put(shop.repo / "a" / "version", "oat\n")
    assert built(shop) == "oat\n"


def test_in_another_checkout_with_folders_of_the_same_names(make_shop: MakeShop, tmp_path: Path) -> None:
    shop = make_shop("a")
    put(shop.repo / "a" / "version", "rye\n")
    assert built(shop) == "rye\n"
    other = shop.cloned(tmp_path / "elsewhere")
    put(other.repo / "a" / "version", "oat\n")
    assert built(other) == "oat\n"


def test_when_the_caches_of_the_clone_are_gone(make_shop: MakeShop) -> None:
    shop = make_shop("a")
    put(shop.repo / "a" / "version", "rye\n")
    assert built(shop) == "rye\n"
    for file in (shop.folder / ".onevm" / "contexts").iterdir():
        file.unlink()
    put(shop.repo / "a" / "version", "oat\n")
    assert built(shop) == "oat\n"


def test_the_dockerfile(make_shop: MakeShop) -> None:
    shop = make_shop("a")
    text = "FROM 127.0.0.1:5055/base/busybox:1\nCOPY version /www/version\nRUN echo rye >/bread\n"
    text = text.replace("127.0.0.1:5055", shop.registry)
    put(shop.repo / "a" / "Dockerfile", text)
    assert built(shop, "/bread") == "rye\n"
    put(shop.repo / "a" / "Dockerfile", text.replace("rye", "oat"))
    assert built(shop, "/bread") == "oat\n"


def test_a_named_context(make_shop: MakeShop) -> None:
    shop = make_shop("a")
    with shop.compose() as compose:
        compose["services"]["a"]["build"]["additional_contexts"] = {"grain": "./grain"}
    put(shop.repo / "grain" / "sack", "rye\n")
    shop.dockerfile("a", "COPY --from=grain sack /sack")
    assert built(shop, "/sack") == "rye\n"
    put(shop.repo / "grain" / "sack", "oat\n")
    assert built(shop, "/sack") == "oat\n"


def test_the_ignore_file(make_shop: MakeShop) -> None:
    shop = make_shop("a")
    shop.dockerfile("a", "COPY . /all/\nRUN ls /all >/listing")
    put(shop.repo / "a" / "rye", "")
    put(shop.repo / "a" / "oat", "")
    put(shop.repo / "a" / ".dockerignore", "rye\n")
    assert "oat" in built(shop, "/listing")
    put(shop.repo / "a" / ".dockerignore", "oat\n")
    assert "rye" in built(shop, "/listing")
