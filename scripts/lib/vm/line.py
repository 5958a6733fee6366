"""Makes a VM's link a long one: `python line.py PID HERE THERE DELAY RATE`, for kernels without netem.

HERE is the link's end in this network, THERE the one in that of the process PID. What leaves an end is diverted by tc
to a TAP device, HERE-slow or THERE-slow; here it is read, kept for its time, and put on the link behind tc's back. So
each packet is late by DELAY, comes at RATE at most (both as tc has them; an empty RATE is none), and neither addresses
nor connections know of it. Says `ready` once the devices are there. Ends with PID, or on SIGTERM, and what is on its
way arrives at once then. Standard library only.
"""

import contextlib
import ctypes
import fcntl
import math
import os
import re
import select
import signal
import socket
import stat
import struct
import sys
import tempfile
import time
from collections import deque

TUN_SET, TAP, NO_HEADER = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
PACKET_LEVEL, BEHIND_TC = 263, 20  # linux/socket.h, linux/if_packet.h: PACKET_QDISC_BYPASS
NETWORK = 0x40000000  # setns(2): CLONE_NEWNET
LONGEST_FRAME = 1 << 16
AT_ONCE = 64
# What finds the line this far behind its rate, or so much on its way, is lost, as in any router.
MOST_SECONDS, MOST_BYTES = 0.4, 1 << 25
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "": 1e-6}


def seconds(text: str) -> float:
    """Returns a time of tc(8), such as 25ms, in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|ms|us|)(?:ecs?)?", text)
    if not found:
        sys.exit(f"not a time: {text}, but 25ms would be one")
    return float(found[1]) * UNITS[found[2]]


def bits(text: str) -> float:
    """Returns a rate of tc(8), such as 20mbit, in bits per second; if it is empty, there is none."""
    if not text:
        return math.inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:([kmgt])(i?))?(bit|bps|)", text.lower())
    if not found or not float(found[1]):
        sys.exit(f"not a rate: {text}, but 20mbit would be one")
    factor = math.pow(1024 if found[3] else 1000, " kmgt".index(found[2] or " "))
    return float(found[1]) * factor * (8 if found[4] == "bps" else 1)


def tun() -> int:
    """Opens the kernel's TUN driver, also where nobody has made its node."""
    with contextlib.suppress(FileNotFoundError):
        return os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    with tempfile.TemporaryDirectory() as folder:
        node = f"{folder}/tun"
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(10, 200))
        return os.open(node, os.O_RDWR | os.O_NONBLOCK)


class Direction:
    """One direction of the line: what is read from one end's TAP leaves the same end when its time has come."""

    def __init__(self, device: str, delay: float, rate: float) -> None:
        self.source = tun()
        fcntl.ioctl(self.source, TUN_SET, struct.pack("16sH22x", f"{device}-slow".encode(), TAP | NO_HEADER))
        self.sink = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sink.bind((device, 0))
        self.sink.setsockopt(PACKET_LEVEL, BEHIND_TC, 1)
        self.sink.setblocking(False)
        self.delay, self.rate = delay, rate
        self.under_way: deque[tuple[float, bytes]] = deque()
        self.bytes = 0
        self.busy_until = 0.0

    def take(self) -> None:
        """Reads what is there, but leaves the other direction its turn."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(AT_ONCE):
                frame = os.read(self.source, LONGEST_FRAME)
                now = time.monotonic()
                begins = max(now, self.busy_until)
                if begins > now + MOST_SECONDS or self.bytes > MOST_BYTES:
                    continue
                self.busy_until = begins + len(frame) * 8 / self.rate
                self.under_way.append((self.busy_until + self.delay, frame))
                self.bytes += len(frame)

    def due(self) -> float:
        """Returns when the next frame has to leave."""
        return self.under_way[0][0] if self.under_way else math.inf

    def give(self, now: float) -> None:
        """Sends what is due."""
        while self.due() <= now:
            _, frame = self.under_way.popleft()
            self.bytes -= len(frame)
            # A link that is down loses it.
            with contextlib.suppress(OSError):
                self.sink.send(frame)


def enter(pid: int) -> None:
    """Goes into a process's network; what was opened before stays where it is."""
    with open(f"/proc/{pid}/ns/net", "rb") as network:  # noqa: PTH123 - a descriptor
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(network.fileno(), NETWORK):
            raise OSError(ctypes.get_errno(), "setns")


def main() -> None:
    """Opens both ends, and passes packets on."""
    pid, here, there, delay, rate = sys.argv[1:]
    late, most = seconds(delay), bits(rate)
    vm = os.pidfd_open(int(pid))
    ends = [Direction(here, late, most)]
    enter(int(pid))
    ends.append(Direction(there, late, most))
    # The line shall not be longer because the machine is busy.
    with contextlib.suppress(OSError):
        os.nice(-15)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print("ready", flush=True)
    try:
        while True:
            soonest = min(end.due() for end in ends)
            wait = None if soonest == math.inf else max(0.0, soonest - time.monotonic())
            ready, _, _ = select.select([vm, *(end.source for end in ends)], [], [], wait)
            if vm in ready:
                return
            for end in ends:
                if end.source in ready:
                    end.take()
                end.give(time.monotonic())
    finally:
        for end in ends:
            end.give(sys.float_info.max)


if __name__ == "__main__":
    main()
