"""Every rule, as data: what it is called, how bad it is, why it matters. Its page is docs/rules/<id>.md."""

from collections.abc import Mapping

from tasks.core.lint.rule import Rule, Severity


def _rule(name: str, severity: Severity, why: str) -> Rule:
    return Rule(id=name, severity=severity, why=why)


def _image_rule(name: str, severity: Severity, why: str) -> Rule:
    return Rule(id=name, severity=severity, why=why, needs_image=True)


_ALL = (
    # Health
    _rule(
        "no-health-check",
        "warning",
        "Nobody can tell a service that works from one that only runs, so a broken release is called good.",
    ),
    _rule(
        "localhost-health-check",
        "warning",
        "localhost is ::1 first: a client that tries no second address never reaches a server on IPv4.",
    ),
    _rule(
        "exec-form-health-check",
        "error",
        "CMD starts one program without a shell: operators, variables and spaces reach it as plain text.",
    ),
    _rule(
        "lying-health-check",
        "warning",
        "A check that cannot fail calls every release good, and nothing ever goes back.",
    ),
    _rule(
        "slow-health-check", "warning", "A deploy waits for the first check, which comes only after a whole interval."
    ),
    # Bounds
    _rule(
        "no-memory-limit",
        "warning",
        "A leak in one service takes the memory of all, and the kernel picks whom to kill.",
    ),
    _rule("no-log-rotation", "warning", "A log that nobody rotates grows until the disk is full."),
    _rule("no-restart-policy", "warning", "After a crash or a reboot of the host nobody starts it again."),
    # Rollouts
    _rule("container-name", "warning", "A name can be taken only once, so a new copy cannot start beside the old one."),
    _rule(
        "host-port",
        "warning",
        "A port of the host can be taken only once, so a new copy cannot start beside the old one.",
    ),
    _rule("unpinned-image", "warning", "The tag moves: what is tested today is not what is pulled tomorrow."),
    _rule(
        "commit-in-build-arg",
        "warning",
        "The value changes with every commit, so every commit rebuilds and replaces the service.",
    ),
    _rule(
        "commit-in-container",
        "warning",
        "Compose hashes environment and labels, so every commit recreates the container, whatever changed.",
    ),
    _rule(
        "early-commit-arg",
        "warning",
        "An ARG belongs to the cache key of every RUN below it, so each commit runs them all again.",
    ),
    # Secrets
    _rule("secret-in-build-arg", "error", "Build args stay in the image's history, for whoever can pull it."),
    _rule(
        "secret-in-environment",
        "error",
        "A secret in a file of the repository is known to whoever ever had a copy of it.",
    ),
    _rule(
        "secret-file-in-context",
        "warning",
        "COPY takes the whole folder along, secrets included, into an image that is pushed.",
    ),
    # Mounts
    _rule(
        "mount-does-not-travel",
        "error",
        "Compose runs on the host, where the checkout is not: the mount would be an empty folder.",
    ),
    _rule(
        "single-file-mount",
        "warning",
        "A release renames files into place, and a container keeps the old file that it mounts alone.",
    ),
    _rule(
        "docker-socket",
        "warning",
        "Who can write to the engine's socket is root on the host; read-only mounting does not change that.",
    ),
    _rule(
        "open-database-port",
        "warning",
        "Docker publishes past the host's firewall: the database answers the whole internet.",
    ),
    _rule(
        "data-without-volume",
        "warning",
        "Data in an unnamed volume is lost to the service when its container is removed.",
    ),
    # Images
    _rule(
        "no-dockerignore",
        "warning",
        "Everything in the folder is sent to the builder and counts for the key: .git and logs rebuild the service.",
    ),
    _rule(
        "dev-dependencies",
        "warning",
        "What only development needs makes each pull longer, fills the disk, and is one more thing to patch.",
    ),
    _rule(
        "package-cache",
        "warning",
        "A package manager's cache is of no use in an image: it is pulled, stored and never read.",
    ),
    _rule(
        "build-tools",
        "warning",
        "Compilers belong into a build stage: in the image they cost hundreds of megabytes and help an intruder.",
    ),
    _image_rule(
        "health-tool-missing", "error", "A check that cannot start fails every time, and a deploy never gets healthy."
    ),
    _image_rule("health-port-silent", "error", "The check asks where nobody listens, and a deploy never gets healthy."),
    _image_rule(
        "runs-as-root", "warning", "Root in the container is root on the host, as soon as something lets it out."
    ),
    _image_rule("image-growth", "warning", "An image that suddenly grew carries something that nobody meant to ship."),
    # Proxy
    _rule("proxy-asks-service", "warning", "While the service is replaced, requests under its own name wait or fail."),
    _rule("proxy-upstreams-not-mounted", "warning", "The proxy cannot read which copy to ask."),
    _rule(
        "proxy-no-retry",
        "warning",
        "A request that meets a copy on its way out is lost, where a second try would find the new one.",
    ),
    _rule("proxy-caches-addresses", "warning", "For a minute the proxy still asks the address of a copy that is gone."),
    # services.toml
    _rule("unused-ignore", "warning", "An exception that nothing needs hides the next real finding."),
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in _ALL}
IMAGE_RULES = frozenset(rule.id for rule in _ALL if rule.needs_image)
