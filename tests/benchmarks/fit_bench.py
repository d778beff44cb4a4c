"""Predicted bytes against resident memory: `will_it_fit` on the shapes of Qwen3.5-0.8B, with random weights.

    OMP_NUM_THREADS=1 python tests/benchmarks/fit_bench.py               (5 GB of memory, 2 GB of disk)
    python tests/benchmarks/fit_bench.py --contexts 512 2048 6000

The checkpoint is written once. Each run has a process of its own: it loads the checkpoint, brings every weight into
memory, and generates two tokens behind a prompt. What counts is the most that the system ever held for that process
(VmHWM in /proc, so Linux only), against the prediction without and with its `runtime`; a ratio of 1.1 is 10 % too much.
Nothing is asserted here.

In November 2026 (one core, a busy machine, bfloat16, 64 to 3,000 tokens) the ratios with runtime were 1.02 to 1.05;
what a run takes beside weights and runtime, some hundred megabytes, was told at 0.73 to 1.12 of what was measured.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import qwen35_lab as lab
from qwen35_lab.memory import in_words

NAME = "Qwen3.5-0.8B"
RUN = """
import json, sys

def status(key):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024

import torch
import qwen35_lab as lab
runtime = status("VmRSS")
qwen = lab.load(sys.argv[1])
touched = sum(float(p.view(-1)[::997].float().sum()) for p in qwen.model.parameters())  # bring every page in
loaded = status("VmHWM")
ids = torch.arange(int(sys.argv[2])) * 7 % qwen.config.text.vocab_size
with torch.inference_mode():
    qwen.generate(ids, max_new_tokens=2)
print(json.dumps({"runtime": runtime, "loaded": loaded, "peak": status("VmHWM")}))
"""


def measure(folder: Path, tokens: int) -> dict[str, int]:
    """Resident bytes of a process: with the package alone, with the weights, and at the peak."""
    command = [sys.executable, "-c", RUN, str(folder), str(tokens)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--contexts", type=int, nargs="*", default=[64, 512, 2048, 3000])
    options.add_argument("--dtype", default="bfloat16")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "random")
        lab.from_config(NAME, dtype=given.dtype).save(folder)
        print(f"{NAME}, {given.dtype}\n\n| tokens | runtime | weights | peak | predicted | ratio | of the rest |")
        print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        for tokens in given.contexts:
            found, told = measure(folder, tokens), lab.will_it_fit(NAME, given.dtype, tokens)
            weights, rest = found["loaded"] - found["runtime"], found["peak"] - found["loaded"]
            own = sum(told.terms[name] for name in ("text weights", "vision tower", "MTP head", "runtime"))
            cells = [f"{tokens:,}", *map(in_words, (found["runtime"], weights, found["peak"], told.total)),
                     f"{told.total / found['peak']:.2f}", f"{(told.total - own) / max(1, rest):.2f}"]  # fmt: skip
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
