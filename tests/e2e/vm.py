"""A host to deploy to, as `scripts/lab vm` makes them, in the hands of a test."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.shop import until

PROJECT = Path(__file__).resolve().parents[2]
LAB = PROJECT / "scripts" / "lab"
LONGEST = 120

Done = subprocess.CompletedProcess[str]


def call(*command: str | Path, check: bool = True, seconds: float = LONGEST) -> Done:
    """Run a command of this machine."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert not check or done.returncode == 0, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done


@dataclass(frozen=True, kw_only=True, slots=True)
class Vm:
    """A running VM.

    Attributes:
        name: what `ssh_config` calls it: `address = "ssh://deploy@<name>"`.
        address: its IPv4 address, reachable from this machine alone; published ports are there too.
        ssh_config: for `ssh -F` and ONEVM_SSH_CONFIG.
        state: the lab's folder of this VM, on this machine.
        root: the folder for Onevm on the VM; it belongs to the user deploy.
    """

    name: str
    address: str
    ssh_config: Path
    state: Path
    root: str = "/srv/onevm"

    @property
    def destination(self) -> str:
        """Return what services.toml has as the host's address."""
        return f"ssh://deploy@{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables with which Onevm finds the VM."""
        return {"ONEVM_SSH_CONFIG": str(self.ssh_config)}

    def here(self, path: str) -> Path:
        """Return where this machine finds a file that the VM has written."""
        return self.state / "disk" / path.lstrip("/")

    def pid(self) -> int:
        """Return this machine's pid of the VM's first process: killed, the VM is without power."""
        return int((self.state / "init.pid").read_text().split()[0])

    def ssh(self, *words: str, user: str = "deploy", options: tuple[str, ...] = (), check: bool = True) -> Done:
        """Run a command over SSH, in a connection of its own."""
        return call("ssh", "-F", self.ssh_config, *options, f"{user}@{self.name}", *words, check=check)

    def run(self, command: str, *, user: str = "deploy") -> str:
        """Run a line of shell over SSH; what it says."""
        return self.ssh(command, user=user).stdout

    def inside(self, *command: str, check: bool = True) -> Done:
        """Run a command on the VM as root and without the network: it works during a cut and is no handshake."""
        return call(LAB, "vm", "inside", self.name, *command, check=check)

    def docker(self, *args: str, check: bool = True) -> str:
        """Ask the VM's engine, without the network; what it says."""
        return call("docker", "-H", f"unix:///proc/{self.pid()}/root/run/docker.sock", *args, check=check).stdout

    def handshakes(self) -> int:
        """Count the SSH connections since the VM was booted that got as far as a login."""
        return self.here("/var/log/sshd.log").read_text(encoding="utf-8").count("Accepted publickey for ")

    def cut(self) -> None:
        """Let no packet through from now on, in either direction."""
        call(LAB, "vm", "cut", self.name)

    def heal(self) -> None:
        """End a cut."""
        call(LAB, "vm", "heal", self.name)

    def slow(self, *, delay: str = "", rate: str = "", check: bool = True) -> Done:
        """Delay every packet of the link, in each direction, or limit its rate, or both.

        Args:
            delay: in the units of tc, such as 25ms.
            rate: in the units of tc, such as 20mbit.
            check: whether a refusal is an error.
        """
        given = [word for name, value in (("--delay", delay), ("--rate", rate)) if value for word in (name, value)]
        return call(LAB, "vm", "slow", self.name, *given, check=check)

    def fast(self) -> None:
        """End that."""
        call(LAB, "vm", "fast", self.name)

    @contextmanager
    def sshd_with(self, *lines: str) -> Iterator[None]:
        """Put lines before those of sshd_config, for connections made until the end of the block."""
        config = self.here("/etc/ssh/sshd_config")
        before = config.read_text(encoding="utf-8")
        self._configure_sshd("\n".join((*lines, before)))
        try:
            yield
        finally:
            self._configure_sshd(before)

    def _configure_sshd(self, text: str) -> None:
        log = self.here("/var/log/sshd.log")
        heard = log.read_text(encoding="utf-8").count("Server listening")
        self.here("/etc/ssh/sshd_config").write_text(text, encoding="utf-8")
        self.inside("sh", "-c", "kill -HUP $(cat /run/sshd.pid)")
        until(
            lambda: log.read_text(encoding="utf-8").count("Server listening") > heard, "sshd has read its configuration"
        )

    def boot(self) -> None:
        """Boot it again after a power cut, or mend what is missing of it."""
        call(LAB, "vm", "up", self.name)


@contextmanager
def running_vm(name: str, *options: str) -> Iterator[Vm]:
    """Bring up a VM, and take it down with all that is on it."""
    try:
        config = Path(call(LAB, "vm", "up", name, *options).stdout.strip())
        words = config.read_text(encoding="utf-8").split()
        address = words[words.index("HostName") + 1]
        yield Vm(name=name, address=address, ssh_config=config, state=config.parent)
    finally:
        call(LAB, "vm", "down", name)
