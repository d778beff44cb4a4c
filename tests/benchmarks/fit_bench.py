"""Predicted bytes against resident memory: `will_it_fit` on the shapes of Qwen3.5-0.8B, with random weights.

    PYTHONPATH=tests OMP_NUM_THREADS=1 python tests/benchmarks/fit_bench.py               (5 GB of memory, 2 GB of disk)
    PYTHONPATH=tests python tests/benchmarks/fit_bench.py --contexts 512 2048 6000

The checkpoint is written once. Each run has a process of its own: it loads the checkpoint, brings every weight into
memory, and generates two tokens behind a prompt. Columns: `runtime`, the package alone; `weights`, what loading adds;
`peak`, the most that the system ever held for that process; `predicted`, all of it; `ratio`, predicted over peak, so
that 1.1 is 10 % too much; `of the rest`, the same ratio without runtime and weights. Nothing is asserted here.

In November 2026 (one core, a busy machine, bfloat16, 64 to 3,000 tokens) the ratio was 1.02 to 1.05, and that of the
rest, some hundred megabytes, 0.73 to 1.12.
"""

import argparse
import tempfile
from pathlib import Path

from resident import run

import qwen35_lab as lab
from qwen35_lab.family.stored import WEIGHTS
from qwen35_lab.memory import in_words

NAME = "Qwen3.5-0.8B"
RUN = """
runtime = status("VmRSS")
qwen = lab.load(sys.argv[1])
touch(qwen)
loaded = status("VmHWM")
ids = torch.arange(int(sys.argv[2])) * 7 % qwen.config.text.vocab_size
with torch.inference_mode():
    qwen.generate(ids, max_new_tokens=2)
print(json.dumps({"runtime": runtime, "loaded": loaded, "peak": status("VmHWM")}))
"""


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
            found, told = run(RUN, folder, tokens), lab.will_it_fit(NAME, given.dtype, tokens)
            weights, rest = found["loaded"] - found["runtime"], found["peak"] - found["loaded"]
            own = sum(told.terms[name] for name in (*WEIGHTS, "runtime"))
            cells = [f"{tokens:,}", *map(in_words, (found["runtime"], weights, found["peak"], told.total)),
                     f"{told.total / found['peak']:.2f}", f"{(told.total - own) / max(1, rest):.2f}"]  # fmt: skip
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
