"""The program that is a plugin of Docker's command line, `compose` or `buildx`, in POSIX sh: here, and on hosts.

`docker compose` looks for a plugin, asks it what it is, and starts it: 40 ms of a processor before Compose does a thing
(Docker 26). Where `docker` is a program, and not a script that somebody has put before it, its plugin is started at
once, which is the same program by its other name (https://docs.docker.com/compose/install/standalone/,
https://github.com/docker/buildx#manual-download).
"""

# docker/cli, cli-plugins/manager: where it looks, in this order.
PLACES = (
    '"${DOCKER_CONFIG:-${HOME:-}/.docker}" /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker '
    "/usr/libexec/docker"
)


def _find(name: str) -> str:
    return f"""plugin= magic=
IFS= read -r magic 2>/dev/null < "$(command -v docker)" || :
case $magic in
  ?ELF*) if ! grep -qs cliPluginsExtraDirs "${{DOCKER_CONFIG:-${{HOME:-}}/.docker}}/config.json"; then
    for place in {PLACES}; do
      if [ -x "$place/cli-plugins/docker-{name}" ]; then plugin=$place/cli-plugins/docker-{name}; break; fi
    done
  fi;;
esac
"""


def function(name: str) -> str:
    """Return a function of the plugin's name that stands for `docker NAME`."""
    return f"""{_find(name)}
{name}() {{ if [ -n "$plugin" ]; then "$plugin" "$@"; else docker {name} "$@"; fi; }}
"""


def command(name: str, arguments: list[str]) -> list[str]:
    """Return a command that becomes `docker NAME ARGUMENTS`."""
    instead = f"""{_find(name)}
[ -z "$plugin" ] || exec "$plugin" "$@"
exec docker {name} "$@"
"""
    return ["sh", "-c", instead, "sh", *arguments]
