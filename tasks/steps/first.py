"""What is begun before the rest of Onevm is loaded: a connection takes as long as loading it."""

import atexit
import gc
from contextlib import suppress

import doit

# To load Onevm makes many objects and drops none: looking for cycles after every 700 of them is a twentieth of it.
COLLECT_AFTER = 50_000
gc.set_threshold(COLLECT_AFTER)

from tasks.core.errors import OnevmError  # noqa: E402
from tasks.steps.configuration import configuration  # noqa: E402

# When all is done, Python would search everything for cycles to free: 80 ms, for memory that goes away anyway.
atexit.register(gc.freeze)

if doit.get_initial_workdir():
    # Whoever needs services.toml reads it once more then, and says what is wrong with it.
    with suppress(OnevmError):
        configuration()
