"""Predicted seconds against measured ones: the roofline of `analysis/roofline.py` on the shapes of Qwen3.5-0.8B.

    OMP_NUM_THREADS=1 python tests/benchmarks/cost_bench.py              (10 GB of memory are plenty)
    python tests/benchmarks/cost_bench.py --wall --rounds 5

The whole language model with random weights in float32, prefill and decoding behind 512 and 2,048 tokens. In every
round the constants are measured before and after each pass, and what counts is the ratio of prediction to measurement:
1.3 is 30 % too long. By default both are processor time, which leaves out what other programs take; with one thread
and a quiet machine that is the wall clock, which `--wall` takes. Nothing is asserted here.

On one core of an AMD EPYC (November 2026, two rounds, a busy machine, processor time) the ratios were 0.93 to 1.06 for
all four passes. With two constants they were 0.97 to 1.04 for decoding, and 0.85 to 0.88 for prefill, whose arrays
between the products take the rest.
"""

import argparse
import dataclasses
import statistics
import time
from collections import defaultdict
from collections.abc import Callable

import torch

import qwen35_lab as lab
from qwen35_lab.analysis import Machine, measure_machine, pass_cost, predicted_seconds
from qwen35_lab.model import TextModel

NAME = "Qwen3.5-0.8B"
STEPS = 7  # of decoding


def language_model() -> TextModel:
    """All 24 layers and the table of tokens; the head that drafts is left out, since no pass runs it."""
    text = dataclasses.replace(lab.load_config(NAME).text, mtp_num_hidden_layers=0)
    model = TextModel(text)
    for parameter in model.parameters():
        parameter.normal_(0, 0.02)
    return model


def mean(before: Machine, after: Machine) -> Machine:
    """Constants between those of two moments; rates are averaged as times."""

    def between(a: float, b: float) -> float:
        return 2 / (1 / a + 1 / b)

    rates = {name: between(getattr(before, name), getattr(after, name)) for name in ("flops", "reads", "moves")}
    return dataclasses.replace(before, **rates)


def measure(model: TextModel, tokens: int, clock: Callable[[], float]) -> dict[str, tuple[float, Machine]]:
    """Seconds of one prefill and of one step of decoding behind it, each with the constants of that moment."""
    ids, cache = torch.randint(0, model.config.vocab_size, (1, tokens)), model.new_cache()
    first = measure_machine(NAME, clock=clock)
    began = clock()
    model(ids, cache=cache, logits_to_keep=1)
    prefill = clock() - began
    middle, moment, steps = measure_machine(NAME, clock=clock), cache.snapshot(), []
    for _ in range(STEPS + 1):
        cache.restore(moment)
        began = clock()
        model(ids[:, :1], cache=cache)
        steps.append(clock() - began)
    last = measure_machine(NAME, clock=clock)
    return {"prefill": (prefill, mean(first, middle)), "decode": (statistics.median(steps[1:]), mean(middle, last))}


@torch.inference_mode()
def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--wall", action="store_true", help="the wall clock; only on a quiet machine")
    options.add_argument("--tokens", type=int, nargs="*", default=[512, 2048])
    given = options.parse_args()
    clock = time.perf_counter if given.wall else time.thread_time
    if not given.wall and torch.get_num_threads() > 1:
        options.error("processor time adds up threads: set OMP_NUM_THREADS=1, or pass --wall")
    torch.manual_seed(0)
    model, ratios = language_model(), defaultdict(list)
    print(f"{NAME}, float32, {torch.get_num_threads()} threads, {'wall clock' if given.wall else 'processor time'}")
    for round_ in range(given.rounds):
        for tokens in given.tokens:
            for what, (seconds, machine) in measure(model, tokens, clock).items():
                new, past = (tokens, 0) if what == "prefill" else (1, tokens)
                cost = pass_cost(NAME, new, past, dtype="float32")
                three = predicted_seconds(cost, machine) / seconds
                two = predicted_seconds(cost, dataclasses.replace(machine, moves=None)) / seconds
                ratios[what, tokens].append((three, two))
                print(f"round {round_ + 1}: {what} at {tokens}: {seconds:.3f} s; {machine!r}", flush=True)
    print("\n| pass | tokens | predicted / measured, three constants | two constants |\n| --- | ---: | --- | --- |")
    for (what, tokens), found in ratios.items():
        cells = [f"{statistics.median(r):.2f} ({min(r):.2f} to {max(r):.2f})" for r in zip(*found, strict=True)]
        print(f"| {what} | {tokens:,} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
