"""From a folder to the first token, and from nothing to a loaded package, beside transformers.

The folder has random weights in the shapes of Qwen3.5-0.8B, with its eyes and its whole vocabulary, in bfloat16; it is
in the page cache for both. `peaks` has what loading holds at most.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import resident
import torch
from benchmarks.race import Case, Given, Work

import qwen35_lab as lab
from qwen35_lab.paths import data_path

GOAL = 1 / 0.7
NOT_QUICK = "24 layers, whole programs with their imports, the most that loading holds"
IDS = "torch.arange(5)[None]"
OURS = f"""
import sys, torch, qwen35_lab as lab
model = lab.load(sys.argv[1]).model
with torch.inference_mode():
    print(model({IDS}, logits_to_keep=1).logits.argmax().item())
"""
THEIRS = f"""
import sys, torch
from transformers import AutoModelForImageTextToText as Auto
model = Auto.from_pretrained(sys.argv[1], dtype="auto")
with torch.inference_mode():
    print(model({IDS}, logits_to_keep=1).logits.argmax().item())
"""
PEAK = "before = status('VmHWM')\n{}\nprint(json.dumps({{'bytes': status('VmHWM') - before}}))"


def checkpoint(folder: Path, layers: int) -> Path:
    """Write it, and nothing else into the folder."""
    config = json.loads(data_path("family", "Qwen3.5-0.8B.json").read_text(encoding="utf-8"))
    text = config["text_config"]
    text |= {"num_hidden_layers": layers, "layer_types": text["layer_types"][:layers]}
    return lab.save(lab.from_config(config, dtype="bfloat16"), folder / "checkpoint")


def peaks(folder: Path) -> dict[str, float]:
    """The most that a program holds beyond what PyTorch takes, in sizes of the file; Linux only."""
    size = (folder / "model.safetensors").stat().st_size
    return {
        name: resident.run(PEAK.format(script), folder)["bytes"] / size
        for name, script in {"ours": OURS, "transformers": THEIRS}.items()
    }


def program(script: str, *arguments: object) -> Work:
    """A Python of its own, from its start to its end."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return lambda: subprocess.run(command, check=True, capture_output=True)


def loaded(script: str, folder: Path) -> Work:
    """The same in this process, where the libraries are imported already."""
    code = compile(script.replace("print(", "("), "start", "exec")

    def load() -> None:
        argv, sys.argv = sys.argv, ["start", str(folder)]
        try:
            exec(code, {})
        finally:
            sys.argv = argv

    return load


def cases(given: Given) -> Iterator[Case]:
    ours = program("import torch, qwen35_lab as lab; lab.load")
    theirs = program("import torch; from transformers import Qwen3_5ForConditionalGeneration")
    if not given.quick:
        yield Case("imports, PyTorch with them", ours, theirs)
    with tempfile.TemporaryDirectory() as temporary, torch.device("cpu"):
        folder = checkpoint(Path(temporary), 4 if given.quick else 24)
        what = "0.8B's shape" + (", 4 layers" if given.quick else "")
        yield Case(f"folder to first token, {what}", loaded(OURS, folder), loaded(THEIRS, folder), GOAL)
        if given.quick:
            return
        ours, theirs = program(OURS, folder), program(THEIRS, folder)
        yield Case(f"the same with the start of Python, {what}", ours, theirs, GOAL, warm=True)  # files have been read
        for name, share in peaks(folder).items():
            print(f"{name}: holds at most {share:.2f} × the file (goal of ours: ≤ 1.15)")
