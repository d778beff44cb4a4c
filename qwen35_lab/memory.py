"""How many bytes this machine has, and has left."""

import os
from pathlib import Path

import torch


def total() -> float:
    """Bytes of this machine's memory; infinite where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def free(device: torch.device) -> float:
    """Bytes that can still be taken on a device: what the system calls available, within a container's limit."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    found = total()
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        group = Path("/sys/fs/cgroup")
        limit, used = ((group / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
        return found if limit == "max" else min(found, int(limit) - int(used))
    except (OSError, ValueError, StopIteration):  # no Linux, or one without control groups
        return found


def in_words(size: float) -> str:
    """12,345,678 -> "12.3 MB" """
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:,.3g} {unit}"
    return f"{size:,.0f} bytes"
