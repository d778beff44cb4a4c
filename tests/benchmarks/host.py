"""The machine that a benchmark ran on, in words: what the numbers depend on besides the code."""

import platform
from pathlib import Path

import torch
import transformers

from qwen35_lab.doctor.machine import usable_cores
from qwen35_lab.memory import in_words, total

WIDE = {"avx512f": "AVX-512", "avx512_bf16": "AVX-512 bf16", "amx_bf16": "AMX bf16", "bf16": "bf16"}  # flags of a CPU


def describe(device: str) -> dict[str, str]:
    """Name -> value, in the order in which they are told."""
    cpu, flags = read_cpu(Path("/proc/cpuinfo"))
    wide = [name for flag, name in WIDE.items() if flag in flags]
    told = {
        "CPU": cpu, "cores": str(usable_cores()), "threads": str(torch.get_num_threads()),
        "memory": in_words(total()),
        "instructions": f"{torch.backends.cpu.get_cpu_capability()}; {', '.join(wide) or 'no 16-bit products'}",
        "torch": torch.__version__, "transformers": transformers.__version__, "Python": platform.python_version(),
    }  # fmt: skip
    return ({"GPU": torch.cuda.get_device_name()} if device == "cuda" else {}) | told


def read_cpu(path: Path) -> tuple[str, set[str]]:
    """Name and flags as Linux lists them; elsewhere what Python knows, and no flags."""
    if not path.exists():
        return platform.processor() or platform.machine(), set()
    lines = [line.partition(":") for line in path.read_text(encoding="utf-8").splitlines()]
    found = {key.strip(): value.strip() for key, _, value in reversed(lines)}  # of the first core
    return found.get("model name", platform.machine()), set(found.get("flags", found.get("Features", "")).split())
