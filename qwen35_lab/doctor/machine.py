"""Cores and threads, memory, GPUs."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

from .. import memory
from .report import Finding

TOPIC = "machine"
CPU = torch.device("cpu")
LITTLE = 2e9  # bytes; a small model needs a part of it


def look() -> Iterator[Finding]:
    yield threads(torch.get_num_threads(), usable_cores())
    yield _memory(memory.free(CPU), memory.total())
    yield from _gpus()


def usable_cores() -> int:
    """Cores that this process may use: its affinity, within a container's quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        cores = os.cpu_count() or 1
    try:
        quota, period = (memory.CGROUPS / "cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no such group, or the quota is "max"
        return cores


def threads(used: int, cores: int) -> Finding:
    value = {"threads": used, "cores": cores}
    if used > cores:
        says = f"PyTorch uses {used} threads on {cores} usable core{'s' * (cores > 1)}: they wait for each other."
        return Finding(TOPIC, "threads", "problem", says, f"torch.set_num_threads({cores})", value)
    if used < cores // 2:
        says = f"PyTorch uses {used} thread{'s' * (used > 1)} of {cores} cores; that suits tiny models, not large ones."
        return Finding(TOPIC, "threads", "note", says, f"torch.set_num_threads({cores})", value)
    return Finding(TOPIC, "threads", "fine", f"PyTorch uses {used} on {cores} usable cores.", value=value)


def _memory(free: float, total: float) -> Finding:
    value = {"free_bytes": free, "total_bytes": total}
    says = f"{memory.in_words(free)} of {memory.in_words(total)} are free."
    if free < LITTLE:
        return Finding(TOPIC, "memory", "problem", says, "Close other programs, or restart kernels you no longer need.",
                       value)  # fmt: skip
    return Finding(TOPIC, "memory", "fine", says, value=value)


def _gpus() -> Iterator[Finding]:
    if torch.cuda.is_available():
        for n in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(n)
            name, half = torch.cuda.get_device_name(n), torch.cuda.get_device_capability(n) >= (8, 0)
            value = {"name": name, "free_bytes": free, "total_bytes": total, "bfloat16": half}
            says = f"{name}: {memory.in_words(free)} of {memory.in_words(total)} free"
            if half:
                yield Finding(TOPIC, f"GPU {n}", "fine", f"{says}; it computes in bfloat16.", 'Use it: device="cuda"',
                              value)  # fmt: skip
            else:
                yield Finding(TOPIC, f"GPU {n}", "note", f"{says}; it is too old to compute in bfloat16 itself.",
                              'Load with dtype="float16" or "float32".', value)  # fmt: skip
    elif torch.backends.mps.is_available():
        yield Finding(TOPIC, "GPU", "fine", "Apple's, which shares the machine's memory.", 'Use it: device="mps"',
                      {"name": "mps"})  # fmt: skip
    elif Path("/proc/driver/nvidia").exists():
        build = "a build without CUDA" if torch.version.cuda is None else f"built for CUDA {torch.version.cuda}"
        says = f"There is an NVIDIA driver, but PyTorch ({build}) finds no GPU."
        yield Finding(TOPIC, "GPU", "problem", says, "Install PyTorch's CUDA build; pytorch.org has the line.", [])
    else:
        yield Finding(TOPIC, "GPU", "fine", "None; everything in the notebooks runs on the CPU.", value=[])
