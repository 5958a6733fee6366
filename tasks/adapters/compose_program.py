"""The program that is Docker Compose on a host, in POSIX sh.

`docker compose` looks for a plugin, asks it what it is, and starts it: 40 ms of a processor before Compose does a thing
(Docker 26). Where `docker` is a program, and not a script that somebody has put before it, its plugin is started at
once, which is the same program by its other name (https://docs.docker.com/compose/install/standalone/).
"""

# docker/cli, cli-plugins/manager: where it looks, in this order.
PLACES = (
    '"${DOCKER_CONFIG:-${HOME:-}/.docker}" /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker '
    "/usr/libexec/docker"
)
_FIND = f"""plugin= magic=
IFS= read -r magic 2>/dev/null < "$(command -v docker)" || :
case $magic in
  ?ELF*) if ! grep -qs cliPluginsExtraDirs "${{DOCKER_CONFIG:-${{HOME:-}}/.docker}}/config.json"; then
    for place in {PLACES}; do
      if [ -x "$place/cli-plugins/docker-compose" ]; then plugin=$place/cli-plugins/docker-compose; break; fi
    done
  fi;;
esac
"""
# A function `compose` that stands for `docker compose`.
FUNCTION = f"""{_FIND}
compose() {{ if [ -n "$plugin" ]; then "$plugin" "$@"; else docker compose "$@"; fi; }}
"""
_INSTEAD = f"""{_FIND}
[ -z "$plugin" ] || exec "$plugin" "$@"
exec docker compose "$@"
"""


def command(arguments: list[str]) -> list[str]:
    """Return a command that becomes `docker compose ARGUMENTS`."""
    return ["sh", "-c", _INSTEAD, "sh", *arguments]
