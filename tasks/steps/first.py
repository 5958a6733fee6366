"""What is begun before the rest of Onevm is loaded: a connection takes as long as loading it."""

import atexit
import gc
from contextlib import suppress

import doit

from tasks.core.errors import OnevmError
from tasks.steps.configuration import configuration

# When all is done, Python would search everything for cycles to free: 80 ms, for memory that goes away anyway.
atexit.register(gc.freeze)

if doit.get_initial_workdir():
    # Whoever needs services.toml reads it once more then, and says what is wrong with it.
    with suppress(OnevmError):
        configuration()
