"""Rules on secrets that stand where others can read them. No message repeats one."""

import re
from collections.abc import Iterator
from pathlib import Path

from tasks.core.context import ignore_rules
from tasks.core.errors import OnevmError
from tasks.core.lint.rule import Fault, Place, Severity
from tasks.core.lint.stages import variables
from tasks.core.lint.subject import Service, Subject

_SECRET = re.compile(
    r"(?i)(?:^|_)(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|TOKEN|SECRET|SECRET_KEY(?:_BASE)?|API_?KEY|ACCESS_KEY|PRIVATE_KEY"
    r"|ENCRYPTION_KEY|CREDENTIALS?)$"
)
_PUBLIC = re.compile(r"(?i)(?:^|_)PUBLIC(?:_|$)|PUBLISHABLE")
_HARMLESS = re.compile(r"(?i)^(?:|yes|no|true|false|on|off|0|1|none|null|/.*|\s+)$")
_DEFAULT = re.compile(r"^\$\{\w+:?-(?P<default>.+)\}$", re.DOTALL)
_IN_URL = re.compile(r"://[^/\s:@$]*:(?P<password>[^@/\s$]+)@")
_FILES = (".env", ".env.*", ".npmrc", ".netrc", ".pypirc", "*.pem", "*.key", "id_rsa", "id_ed25519", "*.p12")
_EXAMPLES = re.compile(r"\.(?:example|sample|template|dist|defaults?|test)$")


def secrets(subject: Subject) -> Iterator[Fault]:
    """Yield secrets in environments, build args, Dockerfiles and contexts."""
    for service in subject.services():
        yield from _environment(service)
    for service in subject.built():
        yield from _args(service)
        yield from _dockerfile(service)
        yield from _context(service)


def names_secret(name: str) -> bool:
    """Whether a variable's name says that its value is a secret."""
    return _SECRET.search(name) is not None and _PUBLIC.search(name) is None


def _environment(service: Service) -> Iterator[Fault]:
    for name, (place, value) in service.subject.places.names(service.name, "environment").items():
        if value is None:
            continue
        mend = f"# its value goes into .env on the host:\n{name}: ${{{name}}}"
        if names_secret(name) and not _HARMLESS.match(value) and "$" not in value.replace("$$", ""):
            yield service.fault("secret-in-environment", place, f"the value of {name} stands in the file", mend)
        elif names_secret(name) and (found := _DEFAULT.match(value)) and not _HARMLESS.match(found["default"]):
            what = f"{name} has a default in the file, which holds wherever the variable is forgotten"
            yield service.fault("secret-in-environment", place, what, mend, "warning")
        elif _IN_URL.search(value):
            severity: Severity = "warning" if _DEFAULT.match(value) else "error"
            what = f"the address in {name} has a password in it"
            yield service.fault("secret-in-environment", place, what, mend, severity)


def _args(service: Service) -> Iterator[Fault]:
    shown = _in_image(service)
    for name, (place, _) in service.subject.places.names(service.name, "build", "args").items():
        if names_secret(name):
            yield _arg(service, place, name, in_image=name in shown or service.dockerfile is None)


def _in_image(service: Service) -> frozenset[str]:
    """Return the ARGs of the stages whose history is the image's; those of others stay with the builder."""
    runtime = service.dockerfile.runtime() if service.dockerfile else []
    return frozenset(
        name for stage in runtime for i in stage.instructions if i.word == "ARG" for name, _ in variables(i)
    )


def _arg(service: Service, place: Place, name: str, *, in_image: bool) -> Fault:
    where = "goes into the image's history" if in_image else "stays in the builder's cache and in the provenance"
    severity: Severity = "error" if in_image else "warning"
    return service.fault("secret-in-build-arg", place, f"the build arg {name} {where}", _secret_mend(name), severity)


def _secret_mend(name: str) -> str:
    secret = name.lower()
    return (
        f"build: {{secrets: [{secret}]}}\n"
        f"# on the top level of the file:\n"
        f"secrets: {{{secret}: {{environment: {name}}}}}\n"
        f"# in the Dockerfile, instead of ARG:\n"
        f"RUN --mount=type=secret,id={secret},env={name} …"
    )


def _dockerfile(service: Service) -> Iterator[Fault]:
    dockerfile = service.dockerfile
    if dockerfile is None:
        return
    passed = service.subject.places.names(service.name, "build", "args")
    runtime = dockerfile.runtime()
    for stage in dockerfile.stages:
        for instruction in stage.instructions:
            place = Place(dockerfile.file, dockerfile.first + instruction.line)
            if instruction.word == "ARG":
                names = [name for name, _ in variables(instruction) if names_secret(name) and name not in passed]
                yield from (_arg(service, place, name, in_image=stage in runtime) for name in names)
            elif instruction.word == "ENV" and stage in runtime:
                for name, value in variables(instruction):
                    if names_secret(name) and not _HARMLESS.match(value):
                        what = f"ENV {name} is in the image for everybody who has it"
                        mend = f"# in the Compose file; its value in .env on the host:\n{name}: ${{{name}}}"
                        yield service.fault("secret-in-environment", place, what, mend)


def _context(service: Service) -> Iterator[Fault]:
    """Look for secrets beside the Dockerfile that a `COPY .` of the image takes along."""
    build, dockerfile = service.service.build, service.dockerfile
    if build is None or dockerfile is None or build.is_remote:
        return
    copies = [i for stage in dockerfile.runtime() for i in stage.instructions if _takes_all(i.word, i.rest)]
    if not copies:
        return
    try:
        rules = ignore_rules(build.context, str(build.dockerfile) if build.dockerfile else None)
        found = sorted({p.name for pattern in _FILES for p in Path(build.context).glob(pattern) if p.is_file()})
        arriving = [name for name in found if not _EXAMPLES.search(name) and not rules.excludes(name)]
    except OnevmError:
        return
    if arriving:
        place = Place(dockerfile.file, dockerfile.first + copies[0].line)
        mend = "\n".join(["# .dockerignore", *arriving])
        yield service.fault("secret-file-in-context", place, f"it copies {', '.join(arriving)} into the image", mend)


def _takes_all(word: str, rest: str) -> bool:
    if word not in {"COPY", "ADD"} or "--from=" in rest:
        return False
    words = [part for part in rest.split() if not part.startswith("--")]
    return len(words) > 1 and any(part in {".", "./", "*", "./*"} for part in words[:-1])
