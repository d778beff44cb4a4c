"""Bytes that a process of its own holds, as the system counts them (/proc, so Linux only): for tests and benchmarks."""

import json
import subprocess
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
# What scripts may use: `status("VmRSS")`, bytes that are resident now; `status("VmHWM")`, the most that ever were;
# `touch(qwen)`, which brings every page of a memory-mapped checkpoint in.
TOOLS = f"""
import json, sys
import torch
import qwen35_lab as lab

def status(key):
    lines = open({str(STATUS)!r}).read().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024

def touch(qwen):
    for p in qwen.model.parameters():
        p.view(-1)[::997].float().sum().item()
"""


def run(script: str, *arguments: object) -> dict:
    """What a script prints last, as JSON; it has `TOOLS` and these arguments."""
    command = [sys.executable, "-c", TOOLS + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
