"""How many bytes this machine has, and has left."""

import os
import re
from pathlib import Path

import torch

from .errors import InputError
from .heap import give_back_freed_memory

CGROUPS = Path("/sys/fs/cgroup")
# A container's limit, its use, and what of the use is files that the system drops when asked; version 2, then 1.
LIMITS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def total() -> float:
    """Bytes of this machine's memory; infinite where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def free(device: torch.device, enough: float = float("inf")) -> float:
    """Bytes that can still be taken on a device: what the system calls available, within a container's limit.

    What this process has freed and only keeps (heap.py) goes back to the system first, unless `enough` are there.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    there = _on_this_machine()
    if there < enough:
        give_back_freed_memory()
        there = _on_this_machine()
    return there


def _on_this_machine() -> float:
    return min(_available(), *(_within_limit(*names) for names in LIMITS))


def _available() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):  # no Linux
        return total()


def _within_limit(limit: str, used: str, details: str, reclaimable: str) -> float:
    """Bytes until a control group's limit; infinite where there is none."""
    try:
        most, taken = (int((CGROUPS / name).read_text(encoding="ascii")) for name in (limit, used))
    except (OSError, ValueError):  # no such group, or the limit is "max"
        return float("inf")
    try:
        rows = (line.split() for line in (CGROUPS / details).read_text(encoding="ascii").splitlines())
        dropped = next((int(size) for name, size in rows if name == reclaimable), 0)
    except (OSError, ValueError):
        dropped = 0
    return max(0, most - taken + dropped)


UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6, "kB": 1e3}


def resident() -> float:
    """Bytes of this process that are in memory, the pages of mapped files included; NaN where there is no /proc.

    What it has freed and only keeps (heap.py) goes back to the system first.
    """
    give_back_freed_memory()
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("VmRSS:"))
    except (OSError, StopIteration):
        return float("nan")


def in_bytes(words: str) -> float:
    """ "12.3 MB" -> 12,300,000.0. Raises InputError for what is no size."""
    units = {name.casefold(): factor for name, factor in UNITS.items()}
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)\s*", words.casefold())
    if not found or found[2] not in units:
        raise InputError(f"{words!r} is no size; write a number and one of {', '.join(UNITS)}, such as '4 GB'.")
    return float(found[1]) * units[found[2]]


def in_words(size: float) -> str:
    """12,345,678 -> "12.3 MB" """
    for unit, factor in UNITS.items():
        if size >= factor:
            return f"{size / factor:,.3g} {unit}"
    return f"{size:,.0f} bytes"
