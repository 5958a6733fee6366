"""A build secret is where it is needed, and nowhere else."""

import os
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import MakeShop
from tests.integration.shop import Shop, docker

pytestmark = pytest.mark.engine

VARIABLE = "TINY_TOKEN"
READS = "RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /www/length"
TELLS = "RUN --mount=type=secret,id=token cat /run/secrets/token && false"


@pytest.fixture
def secret() -> str:
    return f"s3cret-{uuid.uuid4().hex}"


def secretive(shop: Shop, lines: str) -> None:
    with shop.compose() as compose:
        compose["secrets"] = {"token": {"environment": VARIABLE}}
        compose["services"]["a"]["build"]["secrets"] = ["token"]
    shop.dockerfile("a", lines)
    shop.commit("Know a secret")


@contextmanager
def watched_command_lines(needle: bytes) -> Iterator[list[str]]:
    """Look at every process's command line all the time; gives those that have the needle in them."""
    found: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit():
                    try:
                        line = (entry / "cmdline").read_bytes()
                    except OSError:
                        continue
                    if needle in line:
                        found.append(line.decode(errors="replace"))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def files_with(folder: Path, needle: str) -> list[str]:
    """Return the files below a folder that have the needle in them, in whatever form it is kept."""
    forms = [needle.encode(), needle.encode("utf-16-le")]
    found = []
    for top, _, names in os.walk(folder):
        for name in names:
            content = (Path(top) / name).read_bytes()
            if any(form in content for form in forms):
                found.append(str(Path(top, name)))
    return found


def test_a_build_secret_reaches_the_build_and_nothing_else(make_shop: MakeShop, secret: str) -> None:
    shop = make_shop("ae")
    secretive(shop, READS)
    with watched_command_lines(secret.encode()) as seen:
        ran = shop.doit("deploy", env={VARIABLE: secret}).ok()
    assert shop.inside("a", "cat", "/www/length").strip() == str(len(secret))
    assert seen == []
    assert not [call for call in ran.calls if any(secret in word for word in call)]
    assert secret not in ran.out + ran.err
    # The checkout, the cache, doit's database, the host's root folder, temporary folders.
    assert files_with(shop.folder, secret) == []
    container = shop.running()["a"]
    assert secret not in docker("history", "--no-trunc", container.image)
    assert secret not in docker("inspect", container.id) + docker("image", "inspect", container.image)


def test_a_changed_secret_makes_nothing_stale(make_shop: MakeShop, secret: str) -> None:
    shop = make_shop("a")
    secretive(shop, READS)
    shop.doit("push", env={VARIABLE: secret}).ok()
    assert shop.doit("push", env={VARIABLE: f"{secret}-more"}).ok().bakes == []


def test_a_build_that_tells_its_secret_and_fails_is_shown_with_the_secret_masked(
    make_shop: MakeShop, secret: str
) -> None:
    shop = make_shop("a")
    secretive(shop, TELLS)
    ran = shop.doit("build", env={VARIABLE: secret})
    assert ran.code == 1, ran
    assert re.search(r"^\s*\*\*\*$", ran.err, re.MULTILINE), ran
    assert secret not in ran.out + ran.err
    assert files_with(shop.folder, secret) == []


def test_a_build_secret_that_is_not_set_is_an_explained_failure(make_shop: MakeShop) -> None:
    shop = make_shop("a")
    secretive(shop, READS)
    ran = shop.doit("build")
    assert ran.code == 1, ran
    assert f"${VARIABLE}" in ran.err
    assert "not set" in ran.err
    assert ran.bakes == []
    assert "Traceback" not in ran.err
