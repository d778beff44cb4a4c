"""What all tests share: one thread each, and random examples that are the same in every run."""

import json
import os
import signal
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: more threads only wait for each other
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["QWEN35_LAB_PROGRESS"] = "off"  # nobody's exercises

import torch
from hypothesis import HealthCheck, settings

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what runs in the background like this
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("lab", derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("lab")

TIMINGS = Path(__file__).resolve().parents[1] / "artefacts" / "browser" / "timings.json"  # see browser/test_speed.py
BEGAN = time.time()
collect_ignore = [] if torch.cuda.is_available() else ["cuda"]


def pytest_terminal_summary(terminalreporter):
    """What was left out, and what was measured and judged nothing by: seconds of notebooks, times in the browser."""
    if collect_ignore:
        terminalreporter.line("left out: tests/cuda, which want an NVIDIA GPU")
    passed = terminalreporter.stats.get("passed", [])
    took = {report.nodeid: dict(report.user_properties).get("seconds") for report in passed if report.when == "call"}
    if took := {name.split("[")[-1].partition("]")[0]: n for name, n in took.items() if n is not None}:
        terminalreporter.section("seconds of the notebooks, on this machine now")
        for name, seconds in sorted(took.items()):
            terminalreporter.line(f"{name:46}{seconds:7.1f}")
    if TIMINGS.exists() and TIMINGS.stat().st_mtime >= BEGAN:
        terminalreporter.section("times in the browser")
        for name, numbers in json.loads(TIMINGS.read_text(encoding="utf-8")).items():
            terminalreporter.line(f"{name:26}" + "  ".join(f"{key} {value:g}" for key, value in numbers.items()))
