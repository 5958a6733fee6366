"""A short campaign of faults; `scripts/faults --rounds 200` is a long one."""

import subprocess
import sys

import pytest

from tests.e2e.conftest import require_vms
from tests.e2e.vm import PROJECT

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

ROUNDS = 8
SEED = 9
# Other tests run beside this one: an outage that lasts till the next deploy is found here, seconds are the campaign's.
FACTOR = 6


def test_whatever_happens_to_a_deploy_the_next_one_mends_it() -> None:
    require_vms()
    options = ["--rounds", str(ROUNDS), "--seed", str(SEED), "--factor", str(FACTOR)]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.campaign.rounds", *options],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )
    assert f"{ROUNDS} of {ROUNDS} rounds survived" in done.stdout, f"{done.stdout}\n{done.stderr}"
    assert done.returncode == 0
