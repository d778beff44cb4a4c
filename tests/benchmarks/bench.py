"""Our code against transformers' on the same weights, dtype and threads, side by side; and other marks of speed.

    make bench                    make bench BENCH_ARGS=--quick                make bench BENCH_ARGS="--device cuda"
    make bench BENCH_ARGS="--only text taps"              make bench BENCH_ARGS=--busy    (on a machine that others use)

The two take turns, after a warm-up, so that a noisy machine slows both; what counts is the median of the ratios,
the rival's time over ours (above 1 we are faster), with the spread between the quartiles. Where the machine sets a
bound, it is measured in the same rounds, and a second table says what share of it is reached; a third one has numbers
without a rival. Nothing is asserted here: a mark that is missed is said. Tables, JSON and a figure go to
artefacts/benchmarks/.

Each area is a module `<area>_cases.py` with `cases(given)`, `marks(given)` or both, which make one thing after the
other, so that only one's weights are in memory. `--quick` is for a look, in under two minutes on two cores: only what
a mark is set for, in fewer rounds, on shorter texts and fewer layers. What it leaves out is said below each table.
"""

import argparse
import gc
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import torch
import transformers
from benchmarks import host, report
from benchmarks.race import Given, Mark, processor_time, race
from benchmarks.report import Row

from qwen35_lab.heap import keep_freed_memory

AREAS = ("text", "product", "weights", "moe", "vision", "start", "taps", "growth")  # in this order
ROOT = Path(__file__).resolve().parents[2]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="only what has a mark; fewer rounds, smaller inputs")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--only", nargs="+", choices=AREAS, default=AREAS, metavar="AREA", help=", ".join(AREAS))
    parser.add_argument("--busy", action="store_true", help="one thread, and processor time instead of the wall clock")
    parser.add_argument("--to", type=Path, default=ROOT / "artefacts" / "benchmarks", help="folder for the results")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device that PyTorch can use; leave out --device, or see `qwen35-lab doctor`")
    if given.busy and given.device == "cuda":
        parser.error("processor time says nothing about a GPU; leave out --busy")
    return given


def main() -> None:
    asked = options()
    if asked.busy:
        torch.set_num_threads(1)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()  # it would say that its kernels are missing, which the table says
    given = Given(asked.quick, asked.device, processor_time if asked.busy else time.perf_counter)
    keep_freed_memory()  # as `lab.load` does; transformers, in the same process, gains as much by it
    machine = host.describe(asked.device) | {"clock": "processor time" if asked.busy else "wall clock"}
    machine |= {"extent": "--quick"} if asked.quick else {}
    print(" · ".join(f"{name} {value}" for name, value in machine.items()))
    rows, marks = [], []
    for area in asked.only:
        for found in run(area, given):
            (rows if isinstance(found, Row) else marks).append(found)
        report.write(asked.to, machine, rows, marks, picture=area == asked.only[-1])  # the next may be interrupted
    for table in (report.bounds(rows), report.marks(marks), *report.verdict(rows, marks)):
        print(f"\n{table}" if table else "", flush=True)
    print(f"\nWritten to {asked.to}: {', '.join(sorted(path.name for path in asked.to.iterdir()))}")


@torch.inference_mode()
def run(area: str, given: Given) -> list[Row | Mark]:
    """All of an area, told as it comes."""
    module, found = import_module(f"benchmarks.{area}_cases"), []
    print(f"\n{area}")
    for row in compare(area, module.cases(given) if hasattr(module, "cases") else iter(()), given):
        if not found:
            print(report.head(report.HEAD))
        print(report.line(row.cells()), flush=True)
        found.append(row)
    for mark in module.marks(given) if hasattr(module, "marks") else ():
        print(f"{mark.what}: {mark.value:.3g} {mark.unit}", flush=True)
        found.append(mark)
    if given.quick and (left_out := getattr(module, "NOT_QUICK", "")):
        print(f"Only without --quick: {left_out}.", flush=True)
    return found


def compare(area: str, cases: Iterator, given: Given) -> Iterator[Row]:
    for case in cases:
        row = Row.of(area, case, race(case, given.rounds, given.clock, given.patience))
        del case  # and with it the last hold on its weights, before the next one makes its own
        gc.collect()
        yield row


if __name__ == "__main__":
    main()
