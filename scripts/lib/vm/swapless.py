"""Runs a program that cannot turn swap on or off: `python swapless.py ours|machine PROGRAM…`.

Swap belongs to the kernel, so to the whole machine: a VM of the lab that turned it on would do so for everybody. The
program and its children get EPERM for swapon(2) and swapoff(2), by a filter of seccomp(2); with `machine` they may.
"""

import ctypes
import os
import platform
import struct
import sys

# By machine: the audit architecture, and the numbers of seccomp, swapon, swapoff.
CALLS = {"x86_64": (0xC000003E, 317, 167, 168), "aarch64": (0xC00000B7, 277, 224, 225)}
SET_MODE_FILTER = 1
LOAD, EQUAL, ANSWER = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050001


def program(audit: int, *refused: int) -> bytes:
    """Returns the filter: of the struct seccomp_data the call's number is at 0, the architecture at 4."""
    count = len(refused)
    steps = [(LOAD, 0, 0, 4), (EQUAL, 0, count + 1, audit), (LOAD, 0, 0, 0)]
    steps += [(EQUAL, count - index, 0, number) for index, number in enumerate(refused)]
    steps += [(ANSWER, 0, 0, ALLOW), (ANSWER, 0, 0, REFUSE)]
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def main() -> None:
    """Filters, and becomes the program."""
    if sys.argv[1] != "machine":
        audit, seccomp, *refused = CALLS[platform.machine()]
        code = program(audit, *refused)
        buffer = ctypes.create_string_buffer(code)
        rule = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(seccomp, SET_MODE_FILTER, 0, ctypes.byref(rule)):
            raise OSError(ctypes.get_errno(), "seccomp")
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - that is its purpose


if __name__ == "__main__":
    main()
