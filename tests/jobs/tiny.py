"""Notebooks that run in a moment: they import nothing heavy, and leave word of what they do."""

import json
import os
import time
from pathlib import Path

PARAMETERS = "seed: int = 0  # of nothing, 0 to 99\nscale: float = 1.0  # of the result, above 0"
# A kernel that has not imported the package has no notes: here is a module that answers as it would.
NOTED = """
import json, sys, types
claims = [{"statement": "small", "measured": seed, "bound": "below 50", "holds": True}]
answer = json.dumps({"claims": claims, "values": {"square": scale * seed**2, "odd": seed % 2 == 1}})
sys.modules["qwen35_lab.views.notes"] = types.SimpleNamespace(record=lambda: answer)
"""
PID = """
import os, pathlib
pathlib.Path(f"{seed}.tmp").write_text(str(os.getpid()))
os.replace(f"{seed}.tmp", f"pid-{seed}")
"""


def notebook(folder: Path, *sources: str, name: str = "01_tiny", parameters: str = PARAMETERS) -> Path:
    """Write a notebook: parameters, then one cell for each source."""
    cells = [
        {"cell_type": "code", "id": f"cell-{n}", "metadata": {"tags": ["parameters"] * (n == 0)}, "source": source,
         "outputs": [], "execution_count": None}
        for n, source in enumerate((parameters, *sources))
    ]  # fmt: skip
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    (folder / f"{name}.ipynb").write_text(json.dumps(whole), encoding="utf-8")
    return folder / f"{name}.ipynb"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:1]
    except FileNotFoundError:  # no /proc here
        return True
    except ProcessLookupError:
        return False


def wait_for(condition, seconds: float = 150) -> bool:
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return bool(found)
