"""What only images can tell, on the real engine: the localhost trap, packages for development, tools, sizes."""

import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.integration.conftest import MakeShop
from tests.integration.shop import COMPOSE, Shop, docker, lab_registry, until

pytestmark = pytest.mark.engine

MEGABYTE = 1_000_000
# What Debian's and Alpine's images do: a name may have several addresses. The bases of the lab lack the file.
HOSTS_WITH_SEVERAL = 'RUN echo "multi on" >/etc/host.conf\n'
SERVE = ["httpd", "-f", "-p", "0.0.0.0:8000", "-h", "/www"]
PACKAGES = {"express": (False, 1), "typescript": (True, 4), "@types/node": (True, 2), "ms": (False, 1)}
DISTRIBUTIONS = {"flask": (False, 1), "pytest": (True, 3), "Mypy_Extensions": (True, 1)}


def write_node(context: Path, packages: Mapping[str, tuple[bool, int]]) -> None:
    """Write node_modules as npm leaves it, its lock file, and npm's cache."""
    listed: dict[str, Any] = {}
    for name, (dev, megabytes) in PACKAGES.items():
        listed[f"node_modules/{name}"] = {"version": "1.0.0", **({"dev": True} if dev else {})}
        folder = context / "node_modules" / name
        if name in packages:
            folder.mkdir(parents=True)
            (folder / "package.json").write_text(json.dumps({"name": name, "version": "1.0.0"}))
            (folder / "index.js").write_bytes(b"x" * (megabytes * MEGABYTE))
    lock = {"name": "web", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "web"}, **listed}}
    (context / "package-lock.json").write_text(json.dumps(lock))
    (context / "package.json").write_text(json.dumps({"name": "web", "devDependencies": {"typescript": "1"}}))


def write_python(context: Path, packages: Mapping[str, tuple[bool, int]]) -> None:
    """Write site-packages as pip leaves them, and the lock file of Poetry."""
    rows = []
    for name, (dev, megabytes) in DISTRIBUTIONS.items():
        group = "dev" if dev else "main"
        rows.append(f'[[package]]\nname = "{name.lower().replace("_", "-")}"\nversion = "1.0"\ngroups = ["{group}"]\n')
        if name in packages:
            code = context / "site-packages" / name.lower() / "__init__.py"
            code.parent.mkdir(parents=True)
            code.write_bytes(b"#" * (megabytes * MEGABYTE))
            info = context / "site-packages" / f"{name}-1.0.dist-info"
            info.mkdir()
            (info / "RECORD").write_text(f"{name.lower()}/__init__.py,sha256=x,{megabytes * MEGABYTE}\n")
    (context / "poetry.lock").write_text("\n".join(rows))


def dockerfile(lines: str, *, user: bool = True) -> str:
    start = f"FROM {lab_registry()}/base/busybox:1\n{HOSTS_WITH_SEVERAL}COPY version /www/version\n{lines}"
    return f"{start}{'USER 1000:1000' if user else ''}\nCMD {json.dumps(SERVE)}\n"


def compose_file(shop: Shop) -> dict[str, Any]:
    check: dict[str, Any] = {
        "test": ["CMD", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8000/version"],
        "interval": "1s",
    }
    common: dict[str, Any] = {
        "mem_limit": "32m",
        "restart": "always",
        "logging": {"driver": "local"},
        "stop_grace_period": "1s",
    }
    subnet = uuid.uuid4().hex[:8]
    services = {
        name: {**common, "build": {"context": name}, "healthcheck": {**check, "retries": 2}} for name in shop.services
    }
    services["a"]["healthcheck"] = {**services["a"]["healthcheck"], "test": list(check["test"])}
    return {
        "services": services,
        "networks": {
            "default": {
                "enable_ipv6": True,
                "ipam": {"config": [{"subnet": f"fd00:{subnet[:4]}:{subnet[4:]}::/64"}]},
            }
        },
    }


def write(shop: Shop, compose: Mapping[str, Any]) -> None:
    with (shop.repo / COMPOSE).open("w") as file:
        YAML().dump(compose, file)


def by_rule(document: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return what the rules find, by service and rule."""
    found = {(fault["services"][0], fault["rule"]): fault for fault in document["rules"]}
    assert len(found) == len(document["rules"]), document["rules"]
    return found


def health(shop: Shop, service: str) -> str:
    return next((c.state for c in shop.containers() if c.service == service), "")


@pytest.fixture(scope="module")
def heavy(make_shared_shop: MakeShop) -> Shop:
    """Give a stack with the trap (a), a Node image (b), a Python image (c), and one without its check's tool (d)."""
    shop = make_shared_shop("abcd")
    write_node(shop.repo / "b", PACKAGES)
    write_python(shop.repo / "c", DISTRIBUTIONS)
    (shop.repo / "c" / "pip").mkdir()
    (shop.repo / "c" / "pip" / "http").write_bytes(b"x" * MEGABYTE)
    shop.write("a/Dockerfile", dockerfile(""))
    modules = "COPY package.json package-lock.json /app/\nCOPY node_modules /app/node_modules\n"
    shop.write("b/Dockerfile", dockerfile(modules))
    packages = "COPY site-packages /usr/local/lib/python3.13/site-packages\n"
    shop.write("c/Dockerfile", dockerfile(packages + "COPY pip /root/.cache/pip\n"))
    shop.write("d/Dockerfile", dockerfile("", user=False))
    for service in "abcd":
        shop.write(f"{service}/.dockerignore", "Dockerfile\n")
    compose = compose_file(shop)
    compose["services"]["a"]["healthcheck"]["test"][-1] = "http://localhost:8000/version"
    compose["services"]["d"]["healthcheck"]["test"] = ["CMD", "curl", "-f", "http://127.0.0.1:8000/version"]
    write(shop, compose)
    shop.commit("Grow heavy")
    shop.doit("build").ok()
    image = docker(
        "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={shop.repository('a')}:key-*"
    )
    # As a deploy would start it; that one would not let it stand.
    network = f"{shop.name}_default"
    config = compose["networks"]["default"]["ipam"]["config"][0]["subnet"]
    label = f"com.docker.compose.project={shop.name}"
    docker("network", "create", "--ipv6", "--subnet", config, "--label", label, network)
    test = "wget -q -O /dev/null http://localhost:8000/version"
    flags = ["--health-cmd", test, "--health-interval", "1s", "--health-retries", "2", "--network", network]
    labels = ["--label", label, "--label", "com.docker.compose.service=a"]
    docker("run", "-d", "--name", f"{shop.name}-trap", *labels, *flags, image.strip())
    until(lambda: health(shop, "a") == "unhealthy", "the check on localhost makes a unhealthy")
    return shop


@pytest.fixture(scope="module")
def document(heavy: Shop) -> dict[str, Any]:
    """Give what `doit check` says of it."""
    # What a check that was killed would leave.
    image = docker("image", "ls", "--quiet", "--filter", f"reference={heavy.repository('a')}:key-*").split()[0]
    label = f"dev.onevm.look={os.uname().nodename}/{2**22 + 1}"
    left = docker("create", "--label", label, image).strip()
    before = {c.id for c in heavy.containers()}
    ran = heavy.doit("check", "images=1", "format=json")
    assert ran.code == 1, "there are errors"
    assert {c.id for c in heavy.containers()} == before
    assert left not in docker("ps", "--all", "--quiet", "--no-trunc")
    return dict(ran.json)


@pytest.fixture(scope="module")
def found(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return by_rule(document)


def test_each_fault_of_an_image_is_found_once_and_nothing_else(found: Mapping[tuple[str, str], Any]) -> None:
    assert set(found) == {
        ("a", "localhost-health-check"),
        ("b", "dev-dependencies"),
        ("c", "dev-dependencies"),
        ("c", "package-cache"),
        ("d", "health-tool-missing"),
        ("d", "runs-as-root"),
    }


def test_packages_for_development_are_named_with_their_megabytes(found: Mapping[tuple[str, str], Any]) -> None:
    node, python = found["b", "dev-dependencies"], found["c", "dev-dependencies"]
    assert "6.0 MB of packages" in node["what"]
    assert "typescript 4.0 MB, @types/node 2.0 MB" in node["what"]
    assert "express" not in node["what"]
    assert "4.0 MB of packages" in python["what"]
    assert "pytest 3.0 MB, mypy-extensions 1.0 MB" in python["what"]
    assert "flask" not in python["what"]
    assert "1.0 MB in /root/.cache/pip" in found["c", "package-cache"]["what"]


def test_a_missing_tool_is_named_with_those_that_are_there(found: Mapping[tuple[str, str], Any]) -> None:
    missing = found["d", "health-tool-missing"]
    assert "curl" in missing["what"]
    assert "wget" in missing["mend"]
    assert (missing["severity"], missing["file"].rpartition("/")[2]) == ("error", COMPOSE)


def test_the_localhost_trap_is_sprung_named_and_mended(heavy: Shop, found: Mapping[tuple[str, str], Any]) -> None:
    trap = found["a", "localhost-health-check"]
    assert trap["severity"] == "error"
    assert "listens on 0.0.0.0 only" in trap["what"]
    lines = (heavy.repo / COMPOSE).read_text().splitlines()
    assert "test:" in lines[trap["line"] - 1]
    log = json.loads(docker("inspect", f"{heavy.name}-trap"))[0]["State"]["Health"]["Log"]
    assert "Connection refused" in log[-1]["Output"]
    # Nothing but the proposed mend changes, and the same image is healthy.
    mended = YAML(typ="safe", pure=True).load(trap["mend"])["test"]
    image = json.loads(docker("inspect", f"{heavy.name}-trap"))[0]["Config"]["Image"]
    flags = ["--health-cmd", " ".join(mended[1:]), "--health-interval", "1s", "--health-retries", "2"]
    labels = ["--label", f"com.docker.compose.project={heavy.name}", "--label", "com.docker.compose.service=mended"]
    docker("run", "-d", "--name", f"{heavy.name}-mended", *labels, *flags, "--network", f"{heavy.name}_default", image)
    until(lambda: health(heavy, "mended") == "healthy", "127.0.0.1 makes it healthy")


def test_sizes_are_shown_by_layer_and_nothing_was_started_or_left(document: Mapping[str, Any]) -> None:
    sizes = {image["service"]: image for image in document["images"]}
    assert set(sizes) == set("abcd")
    assert max(layer["size"] for layer in sizes["b"]["layers"]) > 7 * MEGABYTE
    assert any("COPY node_modules" in layer["by"] for layer in sizes["b"]["layers"])
    looks = docker("ps", "--all", "--filter", "label=dev.onevm.look", "--format", '{{.Label "dev.onevm.look"}}')
    assert [label for label in looks.split() if not Path("/proc", label.rpartition("/")[2]).exists()] == []


def test_slimmed_they_pass_and_what_grows_later_is_told(heavy: Shop) -> None:
    docker("rm", "--force", f"{heavy.name}-trap", f"{heavy.name}-mended", check=False)
    docker("network", "rm", f"{heavy.name}_default")
    for name, (dev, _) in PACKAGES.items():
        if dev:
            (heavy.repo / "b" / "node_modules" / name / "index.js").unlink()
            (heavy.repo / "b" / "node_modules" / name / "package.json").unlink()
            (heavy.repo / "b" / "node_modules" / name).rmdir()
    (heavy.repo / "b" / "node_modules" / "@types").rmdir()
    packages = "COPY site-packages /usr/local/lib/python3.13/site-packages\n"
    for name, (dev, _) in DISTRIBUTIONS.items():
        if dev:
            (heavy.repo / "c" / "site-packages" / f"{name}-1.0.dist-info" / "RECORD").unlink()
            (heavy.repo / "c" / "site-packages" / name.lower() / "__init__.py").unlink()
    heavy.write("c/Dockerfile", dockerfile(packages))
    heavy.write("d/Dockerfile", dockerfile(""))
    write(heavy, compose_file(heavy))
    heavy.commit("Slim down")
    heavy.doit("deploy").ok()
    assert {c.state for c in heavy.running().values()} == {"healthy"}
    slim = heavy.doit("check", "images=1", "format=json").ok().json
    assert by_rule(slim) == {}
    (heavy.repo / "b" / "forgotten.bin").write_bytes(b"x" * (30 * MEGABYTE))
    heavy.write("b/Dockerfile", dockerfile("COPY node_modules /app/node_modules\nCOPY forgotten.bin /app/\n"))
    heavy.commit("Forget something")
    heavy.doit("build").ok()
    ran = heavy.doit("check", "images=1", "format=json").ok()
    grown = by_rule(ran.json)
    assert set(grown) == {("b", "image-growth")}
    assert "COPY forgotten.bin" in grown["b", "image-growth"]["mend"]
