"""A private copy of examples/platform: services.toml and the four stand-in checkouts, each a repository of its own."""

import os
import shutil
from pathlib import Path

import requests

from tests.integration.project_copy import repository
from tests.integration.shop import MANIFESTS, PROJECT, lab_registry

EXAMPLE = PROJECT / "examples" / "platform"
BUILT = {
    "commonplat": {"auth", "platform-backend", "platform-web", "admin-web", "devops", "mailer"},
    "invttrdg": {"backend", "web", "worker", "scheduler", "ingest", "signals", "reports", "notifier"},
    "clock": {"backend", "web", "worker", "sync", "jobs"},
    "notes": {"backend", "web", "worker", "search", "export"},
}
EXTERNAL = {"caddy", "gitea", "cosmos", "azurite", "loki", "promtail", "grafana"}


def filled_in(folder: Path, name: str, host: str) -> Path:
    """Copy the example and fill it in; services.toml.

    Args:
        folder: where to.
        name: the owner of the images in the lab's registry.
        host: the lines of `[hosts.prod]`.
    """
    copy = folder / "platform"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns(".onevm"))
    for checkout in sorted(path for path in copy.iterdir() if path.is_dir()):
        repository(checkout, f"https://git.example.com/team/{checkout.name}.git")
    file = copy / "services.toml"
    text = file.read_text()
    for before, after in (
        ('url = "git.example.com/team"', f'url = "{lab_registry()}/{name}"'),
        ("username = ", "# username = "),
        ("password_env = ", "# password_env = "),
        ('address = "ssh://deploy@vm.example.com"\nroot = "/srv/onevm"', host),
    ):
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    file.write_text(text)
    return file


def environment() -> dict[str, str]:
    """Return the variables with which Onevm reads the copy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ONEVM_", "COMPOSE_"))}
    return kept | {"PLATFORM_REGISTRY": lab_registry(), "GITEA_NPM_TOKEN": "a token of npm"}


def forget(name: str, stack: str) -> None:
    """Delete what the lab's registry has of a stack's services."""
    for service in BUILT[stack]:
        base = f"http://{lab_registry()}/v2/{name}/{stack}-{service}"
        listed = requests.get(f"{base}/tags/list", timeout=10)
        digests = set()
        for tag in (listed.json().get("tags") or []) if listed.ok else []:
            answer = requests.head(f"{base}/manifests/{tag}", headers={"Accept": MANIFESTS}, timeout=10)
            digests.add(answer.headers.get("Docker-Content-Digest", ""))
        for digest in filter(None, digests):
            requests.delete(f"{base}/manifests/{digest}", timeout=10)
