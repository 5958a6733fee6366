"""Packs and ships: takes orders from the queue, one at a time. An order it could not finish is taken up at the next start."""

import os
import pathlib
import signal
import sys
import time

from store import Store

COMMIT = os.environ.get("COMMIT_SHA", "unknown")
PACKING_SECONDS = 1.5  # with a short queue; the longer it is, the faster the hands
HEARTBEAT = pathlib.Path("/tmp/heartbeat")

stopping = False
idle = True


def stop(*_):
    global stopping
    stopping = True
    if idle:
        sys.exit(0)


def handle(store, number):
    key = f"order:{number}"
    store("HSET", key, "status", "packed", "packed_by", COMMIT)
    time.sleep(PACKING_SECONDS / (1 + store("LLEN", "orders:queue") / 3))
    store("HSET", key, "status", "shipped", "shipped", f"{time.time():.3f}")
    store("LREM", "orders:packing", 1, number)
    print(f"order {number} shipped")


def work(store):
    """Take orders until told to stop; each is in `orders:packing` from when it is taken to when it is shipped."""
    global idle
    left = store("LRANGE", "orders:packing", 0, -1)
    while not stopping:
        HEARTBEAT.touch()
        number = left.pop() if left else store("BLMOVE", "orders:queue", "orders:packing", "RIGHT", "LEFT", 2)
        if number:
            idle = False
            handle(store, number)
            idle = True


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"worker {COMMIT} waits for orders")
    while not stopping:
        try:
            with Store(timeout=5) as shop:
                work(shop)
        except OSError as error:
            idle = True
            print(f"the store is away: {error}")
            time.sleep(0.5)
