"""A small client of the store: RESP, the protocol of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec/)."""

import os
import socket
import time

HOST = os.environ.get("STORE_HOST", "store")
PATIENCE = 8  # seconds to wait for a store that is being replaced


class StoreError(Exception):
    """What the store answered instead of a value."""


class Store:
    """One connection. `store("SET", "name", "value")` sends a command and returns the reply."""

    def __init__(self, patience=PATIENCE, timeout=None):
        deadline = time.monotonic() + patience
        while True:
            try:
                self.socket = socket.create_connection((HOST, 6379), timeout=2)
                self.lines = self.socket.makefile("rb")
                self("PING")
                break
            except (OSError, StoreError):  # away, or still loading its data
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        self.socket.settimeout(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def __call__(self, *words):
        parts = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        return self.reply()

    def reply(self):
        line = self.lines.readline()
        if not line:
            raise ConnectionError("the store closed the connection")
        kind, value = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise StoreError(value)
        if kind == b":":
            return int(value)
        if kind == b"$":
            return None if value == "-1" else self.lines.read(int(value) + 2)[:-2].decode()
        if kind == b"*":
            return None if value == "-1" else [self.reply() for _ in range(int(value))]
        return value

    def all(self, *commands):
        """Send commands that take effect together, or not at all."""
        self("MULTI")
        for words in commands:
            self(*words)
        return self("EXEC")

    def hash(self, name):
        words = self("HGETALL", name)
        return dict(zip(words[::2], words[1::2]))


def with_store(work):
    """Return `work(store)`. If the store is replaced meanwhile, do it again: work must bear being repeated."""
    for last in (False, True):
        try:
            with Store() as store:
                return work(store)
        except ConnectionError:
            if last:
                raise
