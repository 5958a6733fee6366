"""The registry login of one run: made once, in a private Docker config that goes away with the run."""

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tasks.adapters import credentials, process, temporary
from tasks.adapters.credentials import Credential
from tasks.adapters.retry import Patience, Unanswered
from tasks.core.errors import OnevmError
from tasks.core.model import Registry
from tasks.core.reference import HUB, Reference

LOGIN_SECONDS = 60.0
# What else of the user's Docker folder a run needs; the config itself is copied.
LINKED = ("cli-plugins", "contexts", "trust")
_REFUSED = re.compile(r"unauthorized|denied|forbidden|incorrect|\b40[13]\b", re.IGNORECASE)
_TLS = re.compile(r"x509|certificate|HTTP response to HTTPS client")


@contextlib.contextmanager
def login(settings: Registry, *, patience: Patience | None = None) -> Iterator[Mapping[str, str]]:
    """Log in to services.toml's registry for the time of the `with` block.

    Without `username` there, the user's own Docker config is used as it is. Otherwise it is copied into a folder
    of mode 0700, the login is added to the copy (never to the user's credential store), and the folder is removed
    on leaving. What a killed run left is removed by the next.

    Args:
        settings: services.toml's registry.
        patience: how often and how long to try.

    Yields:
        Variables for every Docker command of the run; empty without `username`.

    Raises:
        VariableMissing: the password's variable is not set.
        OnevmError: the registry refuses the login, or there was no usable answer.
    """
    temporary.sweep()
    if not settings.username:
        yield {}
        return
    credential = credentials.from_settings(settings)
    host = Reference.parse(f"{settings.url}/x").registry
    with temporary.folder("login") as folder:
        environment = {"DOCKER_CONFIG": str(folder), "BUILDX_CONFIG": _buildx_folder()}
        _copy_config(folder, host)
        (patience or Patience()).ask(
            f"docker login {host} as {credential.username}",
            lambda: _log_in(host, credential, environment),
            next_step=f"see whether the engine of this machine reaches {host}, then run the command again",
        )
        yield environment


def _copy_config(folder: Path, host: str) -> None:
    """Start from the user's config: its helpers for other registries, proxies, contexts and plugins stay."""
    config: dict[str, Any] = credentials.read_docker_config()
    for part in ("auths", "credHelpers"):
        entries = config.get(part)
        kept = entries.items() if isinstance(entries, dict) else ()
        config[part] = {key: value for key, value in kept if credentials.host_of(key) != host}
    # An empty helper sends Docker to the file for this registry, and leaves credsStore to the others.
    for key in {host, credentials.key_of(host), credentials.host_of(credentials.key_of(host))}:
        config["credHelpers"][key] = ""
    if host == HUB:
        config["credHelpers"]["index.docker.io"] = ""
    user = credentials.docker_folder()
    for name in LINKED:
        if (user / name).exists():
            (folder / name).symlink_to((user / name).resolve())
    file = folder / "config.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(config), encoding="utf-8")


def _buildx_folder() -> str:
    """Where the user's builders are known; buildx would look beside the config."""
    return os.environ.get("BUILDX_CONFIG") or str(credentials.docker_folder().absolute() / "buildx")


def _log_in(host: str, credential: Credential, environment: Mapping[str, str]) -> None:
    args = ["docker", "login", "--username", credential.username, "--password-stdin"]
    # Docker Hub is the default, and only without its name does it get the key everybody looks for.
    args += [] if host == HUB else [host]
    done = process.run(args, input=credential.secret, env=environment, timeout=LOGIN_SECONDS, check=False)
    if not done.returncode:
        return
    words = done.stderr.strip().replace(credential.secret.reveal(), "***")
    if _REFUSED.search(words):
        raise OnevmError(
            f"{host} refuses the login of {credential.username} (from {credential.source})",
            detail=process.tail(words),
            next_step=credential.next_step,
        )
    if _TLS.search(words):
        raise OnevmError(
            f"the engine of this machine does not trust {host}",
            detail=process.tail(words),
            next_step=f"put its CA into /etc/docker/certs.d/{host}/ca.crt, or, if it speaks plain HTTP, "
            "add it to insecure-registries of the engine",
        )
    raise Unanswered(process.tail(words, 3))
