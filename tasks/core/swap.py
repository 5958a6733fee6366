"""The swap file that a host should have: a net for the moments in which memory runs out, not more memory."""

from tasks.core.errors import OnevmError
from tasks.core.guardrails import FSTAB, SYSCTL, Item, Wanted, differs
from tasks.core.machine import MEGABYTE, Machine
from tasks.core.model import VmSettings
from tasks.core.values import replace

LEAST = 128  # MB; below, it is not worth a file
MOST = 2048  # MB, of "auto"
SHARE = 10  # "auto" takes no more than a tenth of what is free
SIGNATURE = "SWAPSPACE2."
# As stat(1) calls them. Others have no swap files (overlay, tmpfs, NFS), or hang with them under pressure (ZFS).
FILESYSTEMS = frozenset({"ext2/ext3", "ext4", "xfs", "btrfs"})
UNITS = {"k": 1 / 1024, "m": 1, "g": 1024}


def megabytes(size: str) -> int:
    """Return a size like `512m` or `2g` in megabytes."""
    return int(int(size[:-1]) * UNITS[size[-1].lower()])


def item(machine: Machine, settings: VmSettings) -> Item:
    """Return the item of swap: the file, its line in fstab, and how soon the kernel uses it."""
    found = Item(kind="swap", title="swap")
    if settings.swap == "none":
        return replace(found, notes=('swap = "none": nothing is done about it',))
    path = settings.swap_file
    others = [swap for swap in machine.swaps if swap.path != path]
    on = len(others) < len(machine.swaps)
    notes = [f"there is swap: {swap.path}, {swap.size // MEGABYTE} MB" for swap in others]
    changes: list[str] = []
    files: list[Wanted] = []
    make = None
    if not on and not others:
        try:
            make = _to_make(machine, settings)
        except OnevmError as error:
            return replace(found, problem=error.what, next_step=error.next_step)
        changes.append(f"swap file {path}, {make} MB on {machine.filesystem}" if make else f"turn {path} on")
    if (on or not others) and (text := _fstab(machine, path)) is not None:
        files.append(Wanted(path=FSTAB, content=text, mode="keep"))
        changes.append(f"line in {FSTAB}")
    swappiness = None
    wanted = Wanted(path=SYSCTL, content=f"# Written by Onevm.\nvm.swappiness = {settings.swappiness}\n".encode())
    if machine.swappiness_set_in:
        notes.append(f"swappiness {machine.swappiness} is set in {machine.swappiness_set_in}, and stays so")
    else:
        files += [wanted] if differs(machine, wanted) else []
        swappiness = settings.swappiness if machine.swappiness != settings.swappiness else None
        if swappiness is not None or differs(machine, wanted):
            changes.append(f"swappiness {settings.swappiness}")
    return replace(
        found, changes=tuple(changes), files=tuple(files), notes=tuple(notes), make_swap=make, swappiness=swappiness
    )


def _to_make(machine: Machine, settings: VmSettings) -> int:
    """Return how many megabytes to make; 0 if the file is there and only off.

    Raises:
        OnevmError: there can be no such file.
    """
    path = settings.swap_file
    elsewhere = 'name a swap_file on another disk, or write swap = "none"'
    if machine.swap_file == SIGNATURE:
        return 0
    if machine.swap_file is not None:
        raise OnevmError(f"{path} is there, and is no swap file", next_step="move it away, or name another swap_file")
    if not machine.filesystem:
        raise OnevmError(f"the folder of {path} is not there", next_step=elsewhere)
    if machine.filesystem not in FILESYSTEMS:
        raise OnevmError(f"a swap file does not work on {machine.filesystem}", next_step=elsewhere)
    free = machine.free // MEGABYTE
    wanted = min(max(machine.memory // MEGABYTE, LEAST), MOST, free // SHARE)
    size = wanted if settings.swap == "auto" else megabytes(settings.swap)
    if size < (LEAST if settings.swap == "auto" else 1) or size + free // SHARE > free:
        words = f'swap = "{settings.swap}", and {free} MB are free on the disk of {path}'
        raise OnevmError(words, next_step=f"{elsewhere}, or write less")
    return size


def _fstab(machine: Machine, path: str) -> bytes | None:
    """Return fstab with the swap file; None if it has it."""
    file = machine.files.get(FSTAB)
    text = (file.content or b"") if file else b""
    if any(line.split()[:1] == [path.encode()] for line in text.splitlines()):
        return None
    # `nofail`: a disk that is not there shall not keep the machine from starting.
    line = f"{path} none swap sw,nofail 0 0\n".encode()
    return text + (b"\n" if text and not text.endswith(b"\n") else b"") + line
