"""The steps of workflow files. What somebody else may have written reaches a shell through variables only."""

import shlex
from typing import Any

from tasks.core.config import ONLY
from tasks.core.forge import Action, Forge
from tasks.core.workflow_scope import Clone, Scope

Step = dict[str, Any]

PYTHON = "3.13"
TOKEN = "${{ secrets.ONEVM_CHECKOUT_TOKEN || github.token }}"  # noqa: S105 - the name of one
SSH_FOLDER = "${{ runner.temp }}/onevm-ssh"


def prepare(scope: Scope, forge: Forge, *, ref: str = "") -> list[Step]:
    """Return the steps that clone everything, and install Onevm.

    Args:
        scope: the repository's.
        forge: the forge's.
        ref: what to check out of the repository itself; empty for the event's commit.
    """
    clones = [_clone(clone, forge) for clone in scope.clones]
    python = {"name": "Python", "uses": forge.python, "with": {"python-version": PYTHON}}
    return [_own(scope.own, forge, ref), *clones, python, _install(scope)]


def _own(clone: Clone, forge: Forge, ref: str) -> Step:
    # Submodules are other repositories.
    token = {"token": TOKEN} if clone.submodules else {}
    return _checkout(clone, forge.checkout, token | ({"ref": ref} if ref else {}))


def _clone(clone: Clone, forge: Forge) -> Step:
    if clone.url:
        return _fetch(clone)
    wanted = {"repository": clone.repository, "token": TOKEN}
    return _checkout(clone, forge.checkout, wanted | ({"ref": clone.commit} if clone.commit else {}))


def _checkout(clone: Clone, action: Action, more: dict[str, Any]) -> Step:
    options = {**more, "path": clone.place, "fetch-depth": 1, "persist-credentials": False}
    if clone.submodules:
        options["submodules"] = "recursive"
    if clone.lfs:
        options["lfs"] = True
    return {"name": f"Clone {clone.place}", "uses": action, "with": options}


def _fetch(clone: Clone) -> Step:
    """Return the step that clones a public repository of another forge: no token of this one leaves it."""
    place = shlex.quote(clone.place)
    lines = (
        f"git init --quiet {place}\n"
        f"cd {place}\n"
        'git config remote.origin.url "$ONEVM_URL"\n'
        'git fetch --quiet --depth=1 origin "$ONEVM_COMMIT"\n'
        "git checkout --quiet --force --detach FETCH_HEAD\n"
        "git clean -ffdxq\n"
    )
    if clone.submodules:
        lines += "git submodule update --quiet --init --recursive --depth=1\n"
    if clone.lfs:
        lines += "git lfs pull\n"
    env = {"ONEVM_URL": clone.url, "ONEVM_COMMIT": clone.commit or "HEAD"}
    return {"name": f"Clone {clone.place}", "env": env, "run": lines}


def _install(scope: Scope) -> Step:
    lines = (
        'python -m venv "$RUNNER_TEMP/onevm"\n'
        'echo "$RUNNER_TEMP/onevm/bin" >>"$GITHUB_PATH"\n'
        "PATH=$RUNNER_TEMP/onevm/bin:$PATH\n"
        "python -m pip install --quiet --upgrade 'pip>=25.1'\n"
        "python -m pip install --quiet --group run\n"
    )
    return {"name": "Install Onevm", "working-directory": scope.onevm, "run": lines}


def builder(scope: Scope, forge: Forge) -> list[Step]:
    """Return the steps that see to the builder of services.toml, unless it is the engine's own."""
    found: list[Step] = []
    if scope.builder:
        name = shlex.quote(scope.builder)
        lines = (
            f"docker buildx inspect {name} >/dev/null 2>&1 ||\n"
            f"  docker buildx create --name {name} --driver docker-container\n"
        )
        found.append({"name": f"Builder {scope.builder}", "run": lines})
    if scope.cache == "gha" and forge.script:
        lines = (
            "for (const name of ['ACTIONS_CACHE_SERVICE_V2', 'ACTIONS_CACHE_URL', 'ACTIONS_RESULTS_URL',\n"
            "                    'ACTIONS_RUNTIME_TOKEN'])\n"
            "  if (process.env[name]) core.exportVariable(name, process.env[name])\n"
        )
        found.append({"name": "Let the builder use the cache", "uses": forge.script, "with": {"script": lines}})
    return found


def ssh(scope: Scope) -> list[Step]:
    """Return the step that writes an ssh_config of the run's own, with the key and the known hosts of the secrets."""
    if not scope.remote:
        return []
    lines = (
        "umask 077\n"
        'mkdir -p "$ONEVM_SSH_FOLDER"\n'
        'cd "$ONEVM_SSH_FOLDER"\n'
        "printf '%s\\n' \"$ONEVM_SSH_KEY\" >key\n"
        "printf '%s\\n' \"$ONEVM_SSH_KNOWN_HOSTS\" >known_hosts\n"
        "{\n"
        "  printf '%s\\n' \"$ONEVM_SSH_OPTIONS\" 'Host *'\n"
        '  printf \'  %s "%s"\\n\' IdentityFile "$PWD/key" UserKnownHostsFile "$PWD/known_hosts"\n'
        "  printf '  %s\\n' 'IdentitiesOnly yes' 'StrictHostKeyChecking yes'\n"
        "} >config\n"
    )
    env = {
        "ONEVM_SSH_FOLDER": SSH_FOLDER,
        "ONEVM_SSH_KEY": "${{ secrets.ONEVM_SSH_KEY }}",
        "ONEVM_SSH_KNOWN_HOSTS": "${{ secrets.ONEVM_SSH_KNOWN_HOSTS }}",
        "ONEVM_SSH_OPTIONS": "${{ vars.ONEVM_SSH_OPTIONS }}",
    }
    return [{"name": "SSH key and known hosts", "env": env, "run": lines}]


def forget_ssh(scope: Scope) -> list[Step]:
    """Return the step that takes the key away again; runners that are not thrown away would keep it."""
    if not scope.remote:
        return []
    env = {"ONEVM_SSH_FOLDER": SSH_FOLDER}
    return [{"name": "Forget the key", "if": "always()", "env": env, "run": 'rm -rf "$ONEVM_SSH_FOLDER"\n'}]


def looking(scope: Scope) -> dict[str, str]:
    """Return the variables of every command."""
    env = {"ONEVM_CONFIG": "${{ github.workspace }}/" + scope.config}
    if scope.only:
        env[ONLY] = " ".join(scope.stacks)
    if scope.remote:
        env["ONEVM_SSH_CONFIG"] = f"{SSH_FOLDER}/config"
    if scope.password:
        env[scope.password] = _secret(scope.password)
    return env | {name: f"${{{{ secrets.{name} || vars.{name} }}}}" for name in scope.demanded}


def building(scope: Scope) -> dict[str, str]:
    """Return the variables of a command that builds and pushes."""
    env = looking(scope) | {name: _secret(name) for name in scope.build_secrets}
    env.pop("ONEVM_SSH_CONFIG", None)
    return env


def deploying(scope: Scope) -> dict[str, str]:
    """Return the variables of a command that deploys: it builds nothing where it is told the commit."""
    return looking(scope) if scope.one_commit else looking(scope) | building(scope)


def doit(name: str, lines: str, env: dict[str, str], scope: Scope) -> Step:
    """Return a step that runs Onevm."""
    return {"name": name, "working-directory": scope.onevm, "env": env, "run": lines}


def inside(place: str) -> str:
    """Return a folder of the workspace as a word of a shell."""
    return f'"$GITHUB_WORKSPACE"/{shlex.quote(place)}'


def _secret(name: str) -> str:
    return f"${{{{ secrets.{name} }}}}"
