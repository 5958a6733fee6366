"""What the texts in services.toml must look like. Each check returns what is wrong, or None.

No message repeats a value that could hold a secret.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from urllib.parse import urlsplit

# https://github.com/distribution/reference/blob/main/regexp.go: a path component of an image name.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_DOMAIN = re.compile(r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]{1,5}))?")
_SSH = re.compile(
    r"ssh://(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_PROJECT = re.compile(r"[a-z0-9]+(?:(?:__?|-+)[a-z0-9]+)*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SIZE = re.compile(r"[1-9][0-9]{0,8}[kmgKMG]")
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Tokens of GitHub and Docker Hub, or one long word of letters and digits: those could name a variable too.
_SECRET = re.compile(r"(?:gh[a-z]_|github_pat_|dckr_pat_).{10,}|(?=.*[a-z])(?=.*[0-9])[A-Za-z0-9]{20,}")
_LAST_PORT = 65535


def registry_url(value: str) -> str | None:
    """Check `host[:port][/path]`, as it begins the name of an image."""
    if "@" in value:
        return "a user or a digest has no place here; use username and password_env, or leave @… out"
    if "://" in value:
        rest = value.split("://", 1)[1].rstrip("/")
        return f"has a scheme; write {_quoted(rest, registry_url)} (insecure = true for plain HTTP)"
    if value.endswith("/"):
        return f"ends with a slash; write {_quoted(value.rstrip('/'), registry_url)}"
    domain, _, repository = value.partition("/")
    return _domain(domain) or _repository(domain, repository)


def _domain(domain: str) -> str | None:
    match = _DOMAIN.fullmatch(domain)
    if not match or not _is_port(match["port"]):
        return f'"{domain}" is not a host or host:port'
    if not ("." in domain or ":" in domain or domain == "localhost"):
        return f'Docker takes "{domain}" for a folder on Docker Hub; write host.domain/… or host:port/…'
    return None


def _repository(domain: str, repository: str) -> str | None:
    if repository and not _REPOSITORY.fullmatch(repository):
        if repository != repository.lower():
            return f'the path must be lower case; write "{domain}/{repository.lower()}"'
        return f'"{repository}" is not a repository path: lower case letters and digits, with . _ - between them'
    if domain in {"docker.io", "index.docker.io"} and not repository:
        return 'Docker Hub needs your namespace too: "docker.io/NAME"'
    return None


def host_address(value: str) -> str | None:
    """Check `local` or `ssh://[user@]host[:port]`."""
    if value == "local":
        return None
    if not value.startswith("ssh://"):
        near = '; did you mean "ssh://' + value + '"?' if _SSH.fullmatch(f"ssh://{value}") else ""
        return f'must be "local" or "ssh://[user@]host[:port]"{near}'
    if re.match(r"ssh://[^@/]*:[^@/]*@", value):
        return "has a password in it; use a key, ssh reads ~/.ssh/config and your agent"
    match = _SSH.fullmatch(value)
    if not match or not _is_port(match["port"]):
        return 'is not "ssh://[user@]host[:port]" (no path, no options; those go into ~/.ssh/config)'
    return None


def verify_url(value: str) -> str | None:
    """Check an http or https URL without user information."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"http", "https"} or not host or re.search(r"\s", value):
        return 'must be an address like "http://127.0.0.1:8080/version" or "https://…"'
    if "@" in parts.netloc:
        return "has user information in it; a secret never stands in this file"
    return None


def json_path(value: str) -> str | None:
    """Check names with dots between them."""
    if value.startswith("$"):
        return f'is not JSONPath; write names with dots between them, like "{value.lstrip("$.") or "commit"}"'
    if not all(part.strip() for part in value.split(".")):
        return 'must be names with dots between them, like "build.commit"'
    return None


def variable_name(value: str) -> str | None:
    """Check the name of an environment variable, and that it is not the secret itself."""
    if _SECRET.fullmatch(value) or not _VARIABLE.fullmatch(value):
        return (
            "must be the NAME of an environment variable, like REGISTRY_TOKEN; this looks like the secret itself:"
            " take it out of the file, and out of the history if it was committed"
        )
    return None


def arg_name(value: str) -> str | None:
    """Check the name of a build argument."""
    if "=" in value:
        return "must be the name alone; the value comes from the Compose file"
    return "must be a name without spaces" if re.search(r"\s", value) else None


def size(value: str) -> str | None:
    """Check a size as Docker writes it."""
    return None if _SIZE.fullmatch(value) else 'must be a size like "10m": a number with k, m or g behind it'


def size_or(*words: str) -> Callable[[str], str | None]:
    """Return the check of a size, or one of some words."""
    shown = ", ".join(f'"{word}"' for word in words)

    def check(value: str) -> str | None:
        wrong = size(value)
        return None if value in words or not wrong else wrong.replace("must be ", f"must be {shown} or ")

    return check


def file_on_host(value: str) -> str | None:
    """Check the absolute path of a file, without what fstab or a shell would read otherwise."""
    path = PurePosixPath(value)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:  # noqa: PLR2004 - the root, and a name
        return 'must be the absolute path of a file on the host, like "/swapfile"'
    return None if _PLAIN.fullmatch(value) else "must be a path of letters, digits, / . _ and -"


def builder_name(value: str) -> str | None:
    """Check the name of a buildx builder."""
    return None if _NAME.fullmatch(value) else "is not a builder's name; `docker buildx ls` lists them"


def host_name(value: str) -> str | None:
    """Check the name of a host, as `host=NAME` takes it."""
    return None if _NAME.fullmatch(value) else "a host's name is letters, digits, . _ and -"


def project_name(value: str) -> str | None:
    """Check the name of a stack: a Compose project name that can also begin a repository name."""
    if _PROJECT.fullmatch(value):
        return None
    better = re.sub(r"[^a-z0-9]+", "-", value.lower()).strip("-")
    hint = f'; did you mean "{better}"?' if better else ""
    return f"a stack's name is lower case letters and digits, with - or _ between them{hint}"


def folder(value: str) -> str | None:
    """Check a path that may be absolute or lead out of its folder."""
    return "~ is not expanded; write the whole path" if value.startswith("~") else None


def inner_path(value: str) -> str | None:
    """Check a path that must stay below its folder."""
    path = PurePosixPath(value)
    if path.is_absolute() or value.startswith("~"):
        return "must be relative to the stack's path"
    if ".." in path.parts:
        return "leaves the stack's path"
    return None


def travelling_path(value: str) -> str | None:
    """Check a file or folder that travels with the release."""
    path = PurePosixPath(value)
    if not path.parts:
        return "is the whole stack; name the files or folders that are bind-mounted"
    if path.name == ".env":
        return ".env stays on the host and never travels"
    if ".git" in path.parts:
        return ".git does not belong into a release"
    return inner_path(value)


def _quoted(better: str, check: Callable[[str], str | None]) -> str:
    """Quote a better value, unless that one is wrong too: then it may be anything, a secret included."""
    return f'"{better}"' if check(better) is None else "host[:port][/path]"


def _is_port(port: str | None) -> bool:
    return port is None or 0 < int(port) <= _LAST_PORT
