"""Which login a registry gets: services.toml's, else the one Docker has, else none."""

import base64
import binascii
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from tasks.adapters import process
from tasks.core.errors import OnevmError, ToolError
from tasks.core.model import Registry
from tasks.core.reference import HUB, HUB_ALIASES
from tasks.core.secret import Secret

HUB_KEY = "https://index.docker.io/v1/"
IDENTITY_USER = "<token>"
HELPER_SECONDS = 30.0


class VariableMissing(OnevmError):
    """The variable that `password_env` names is not set."""

    exit_code = 3


class Credential(Struct, frozen=True, kw_only=True):
    """A login.

    Attributes:
        username: who.
        secret: the password, or the identity token.
        is_identity_token: whether `secret` is one (to be exchanged at the token server, never shown elsewhere).
        source: where it comes from, for messages.
        next_step: what to do if it is refused, for messages.
    """

    username: str
    secret: Secret
    is_identity_token: bool = False
    source: str
    next_step: str


def find(host: str, settings: Registry | None = None, folder: Path | None = None) -> Credential | None:
    """Find the login for a registry host; None for anonymous.

    Args:
        host: with port, `docker.io` for Docker Hub.
        settings: services.toml's registry, if it is this one.
        folder: where Docker keeps its config; None for the user's.

    Raises:
        VariableMissing: services.toml names a variable that is not set.
        OnevmError: Docker's config cannot be read, or its credential helper fails.
    """
    if settings is not None and settings.username:
        return from_settings(settings)
    config = read_docker_config(folder)
    helper = _helper(config, host)
    found = _from_helper(helper, host) if helper else None
    return found or _from_auths(config, host)


def from_settings(settings: Registry) -> Credential:
    """The login that services.toml names.

    Raises:
        VariableMissing: the variable is not set, or empty.
    """
    variable = settings.password_env or ""
    # Docker cuts a line end off what it reads from standard input; a secret store often adds one.
    value = os.environ.get(variable, "").rstrip("\r\n")
    if not value:
        raise VariableMissing(
            f"${variable} is not set: it holds the password of {settings.username} for {settings.url}",
            next_step=f"export {variable}=…  (registry.password_env in services.toml names it)",
        )
    return Credential(
        username=settings.username or "",
        secret=Secret(value),
        source=f"${variable}",
        next_step=f"check registry.username in services.toml and the value of ${variable}",
    )


def docker_folder() -> Path:
    """Where Docker keeps the user's config: DOCKER_CONFIG, else ~/.docker."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def read_docker_config(folder: Path | None = None) -> dict[str, Any]:
    """Read Docker's config.json, the user's if no folder is named; empty if there is none.

    Raises:
        OnevmError: it cannot be read.
    """
    file = (folder or docker_folder()) / "config.json"
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        # Not the text around the mistake: it can be a password.
        place = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise _unreadable(file, place) from None
    if not isinstance(document, dict):
        raise _unreadable(file, "not a JSON object")
    return document


def host_of(key: str) -> str:
    """The registry host a key of Docker's config means: `https://index.docker.io/v1/` is `docker.io`."""
    where = urlsplit(key if "://" in key else f"//{key}")
    return HUB if where.netloc in HUB_ALIASES else where.netloc


def key_of(host: str) -> str:
    """The key under which Docker keeps the login of a registry host."""
    return HUB_KEY if host == HUB else host


def header(credential: Credential, host: str) -> Secret:
    """Return a login as the engine takes it along with a request (X-Registry-Auth of the Engine API)."""
    word = "identitytoken" if credential.is_identity_token else "password"
    login = {word: credential.secret.reveal(), "serveraddress": key_of(host)}
    if not credential.is_identity_token:
        login["username"] = credential.username
    return Secret(base64.urlsafe_b64encode(json.dumps(login).encode()).decode())


def _helper(config: dict[str, Any], host: str) -> str:
    for key, helper in _mapping(config, "credHelpers").items():
        if host_of(key) == host:
            return str(helper)
    return str(config.get("credsStore") or "")


def _from_helper(helper: str, host: str) -> Credential | None:
    program = f"docker-credential-{helper}"
    file = docker_folder() / "config.json"
    try:
        done = process.run([program, "get"], input=key_of(host).encode(), timeout=HELPER_SECONDS, check=False)
    except ToolError:
        raise OnevmError(
            f"{file} names the credential helper {program} for {host}, and it is not installed",
            next_step=f"install it, or take it out of {file}",
        ) from None
    if done.returncode:
        words = done.stdout.strip() or done.stderr.strip()
        if "not found" in words:
            return None
        raise OnevmError(
            f"{program} gave no login for {host} (exit {done.returncode})",
            detail=process.tail(words),
            next_step=f"mend it, or take it out of {file}",
        )
    try:
        document = json.loads(done.stdout)
        name, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError):
        raise OnevmError(
            f"{program} gave no login for {host}: its answer is not understood",
            next_step=f"try: echo {key_of(host)} | {program} get",
        ) from None
    return _docker_login(name, secret, host, program) if secret else None


def _from_auths(config: dict[str, Any], host: str) -> Credential | None:
    file = docker_folder() / "config.json"
    for key, entry in _mapping(config, "auths").items():
        if host_of(key) != host or not isinstance(entry, dict):
            continue
        if entry.get("identitytoken"):
            return _docker_login(IDENTITY_USER, str(entry["identitytoken"]), host, str(file))
        name, secret = str(entry.get("username") or ""), str(entry.get("password") or "")
        if entry.get("auth"):
            try:
                decoded = base64.b64decode(str(entry["auth"]), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise _unreadable(file, f"the auth of {key} is not base64") from None
            name, _, secret = decoded.partition(":")
        if name:
            return _docker_login(name, secret.rstrip("\0"), host, str(file))
    return None


def _docker_login(name: str, secret: str, host: str, source: str) -> Credential:
    return Credential(
        username=name,
        secret=Secret(secret),
        is_identity_token=name == IDENTITY_USER,
        source=source,
        next_step=f"log in again: docker login {host}",
    )


def _mapping(config: dict[str, Any], key: str) -> dict[str, Any]:
    found = config.get(key)
    return found if isinstance(found, dict) else {}


def _unreadable(file: Path, why: str) -> OnevmError:
    return OnevmError(f"cannot read Docker's config {file}: {why}", next_step="mend the file, or log in again")
