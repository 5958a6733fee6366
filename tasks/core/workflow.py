"""The workflow files of one repository, as data: build and push, deploy, roll back.

Every commit of the default branch is built and pushed, so that every commit can be deployed; no run cancels another.
Deploys have a gate: somebody starts them, or the repository's variable ONEVM_DEPLOY is `auto`. What waits for a host
waits at the host's own lock; only automatic deploys stand in a concurrency group, where the newest takes the place of
those that have not begun.
"""

from typing import Any

from tasks.core import workflow_steps as steps
from tasks.core.forge import Forge
from tasks.core.workflow_scope import Scope

Document = dict[str, Any]

MINUTES = 60
EVERY_STACK = "every stack"
AUTOMATIC = "vars.ONEVM_DEPLOY == 'auto'"


def workflows(scope: Scope, forge: Forge) -> dict[str, Document]:
    """Return the documents of a repository's workflow files by file name."""
    return {
        "onevm-push.yml": _push(scope, forge),
        "onevm-deploy.yml": _deploy(scope, forge),
        "onevm-rollback.yml": _rollback(scope, forge),
    }


def _push(scope: Scope, forge: Forge) -> Document:
    push = [
        *steps.prepare(scope, forge),
        *steps.builder(scope, forge),
        steps.doit("Build and push", "doit push\n", steps.building(scope), scope),
    ]
    deploy = [
        *steps.prepare(scope, forge, ref=scope.branch),
        *([] if scope.one_commit else steps.builder(scope, forge)),
        *steps.ssh(scope),
        steps.doit("Deploy", _newest(scope), steps.deploying(scope), scope),
        *steps.forget_ssh(scope),
    ]
    after = {
        "needs": ["push"],
        "if": f"{AUTOMATIC} && github.ref == 'refs/heads/{scope.branch}'",
        "environment": scope.environment,
        "concurrency": {"group": "onevm-deploy", "cancel-in-progress": False},
    }
    return _document(
        "Onevm push",
        {"push": {"branches": [scope.branch]}, "workflow_dispatch": {}},
        {
            "push": _job(scope, forge, "Build and push", push, packages="write"),
            "deploy": _job(scope, forge, "Deploy", deploy, packages=_rights(scope), **after),
        },
    )


def _deploy(scope: Scope, forge: Forge) -> Document:
    inputs = _choice(scope, "What to deploy", everything=True)
    if scope.one_commit:
        text = "The commit, all its digits; it must have been pushed. Empty: the newest of the chosen branch"
        inputs["sha"] = {"description": text, "type": "string", "required": False, "default": ""}
    run = [
        *steps.prepare(scope, forge, ref="${{ inputs.sha }}" if scope.one_commit else ""),
        *([] if scope.one_commit else steps.builder(scope, forge)),
        *steps.ssh(scope),
        steps.doit("Deploy", _chosen(scope), steps.deploying(scope) | _stack(scope, everything=True), scope),
        *steps.forget_ssh(scope),
    ]
    job = _job(scope, forge, "Deploy", run, packages=_rights(scope), environment=scope.environment)
    return _document("Onevm deploy", {"workflow_dispatch": {"inputs": inputs} if inputs else {}}, {"deploy": job})


def _rollback(scope: Scope, forge: Forge) -> Document:
    inputs = _choice(scope, "What to roll back", everything=False)
    text = "The commit or release to go back to (doit history). Empty: the last good one before the current"
    inputs["sha"] = {"description": text, "type": "string", "required": False, "default": ""}
    name = '"rollback:$ONEVM_INPUT_STACK"' if len(scope.stacks) > 1 else f"rollback:{scope.stacks[0]}"
    own = {**steps.looking(scope), **_stack(scope, everything=False), "ONEVM_INPUT_SHA": "${{ inputs.sha }}"}
    run = [
        *steps.prepare(scope, forge),
        *steps.ssh(scope),
        steps.doit("Roll back", f'doit {name} ${{ONEVM_INPUT_SHA:+"sha=$ONEVM_INPUT_SHA"}}\n', own, scope),
        *steps.forget_ssh(scope),
    ]
    job = _job(scope, forge, "Roll back", run, packages="read", environment=scope.environment)
    return _document("Onevm rollback", {"workflow_dispatch": {"inputs": inputs}}, {"rollback": job})


def _document(name: str, events: Document, jobs: Document) -> Document:
    return {"name": name, "on": events, "permissions": {}, "defaults": {"run": {"shell": "bash"}}, "jobs": jobs}


def _job(scope: Scope, forge: Forge, name: str, run: list[Document], *, packages: str, **more: Any) -> Document:
    allowed = {"contents": "read"} | ({"packages": packages} if scope.packages else {})
    first: Document = {key: more.pop(key) for key in ("needs", "if") if key in more}
    return {
        "name": name,
        **first,
        "runs-on": f"${{{{ vars.ONEVM_RUNNER || '{forge.runner}' }}}}",
        "timeout-minutes": MINUTES,
        **more,
        "permissions": allowed,
        "steps": run,
    }


def _rights(scope: Scope) -> str:
    """Return what a deploy does with packages: it reads them, unless it may have to build."""
    return "read" if scope.one_commit else "write"


def _choice(scope: Scope, text: str, *, everything: bool) -> Document:
    if len(scope.stacks) == 1:
        return {}
    options = [*([EVERY_STACK] if everything else []), *scope.stacks]
    return {"stack": {"description": text, "type": "choice", "required": True, "options": options}}


def _stack(scope: Scope, *, everything: bool) -> Document:
    if len(scope.stacks) == 1:
        return {}
    chosen = f"inputs.stack != '{EVERY_STACK}' && inputs.stack || ''" if everything else "inputs.stack"
    return {"ONEVM_INPUT_STACK": f"${{{{ {chosen} }}}}"}


def _newest(scope: Scope) -> str:
    """Return the lines of an automatic deploy: a commit that is no longer the newest is left to the newer run."""
    if not scope.one_commit:
        return "doit deploy\n"
    return (
        f"newest=$(git -C {steps.inside(scope.own.place)} rev-parse HEAD)\n"
        'if [ "$newest" != "$GITHUB_SHA" ]; then\n'
        '  echo "Nothing to do here: $newest is newer, and its own run deploys it."\n'
        "  exit 0\n"
        "fi\n"
        'doit deploy sha="$newest"\n'
    )


def _chosen(scope: Scope) -> str:
    name = '"deploy${ONEVM_INPUT_STACK:+:$ONEVM_INPUT_STACK}"' if len(scope.stacks) > 1 else "deploy"
    if not scope.one_commit:
        return f"doit {name}\n"
    return f'doit {name} sha="$(git -C {steps.inside(scope.own.place)} rev-parse HEAD)"\n'
