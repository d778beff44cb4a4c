"""Our code against transformers' on the same weights, dtype and threads, side by side; and what taps cost.

    make bench                    make bench BENCH_ARGS=--quick                make bench BENCH_ARGS="--device cuda"

The two take turns, after a warm-up, so that a noisy machine slows both; what counts is the median of the ratios,
transformers' time over ours (above 1 we are faster), with the spread between the quartiles. Nothing is asserted here.
The model has the layer shapes of Qwen3.5-0.8B, but a smaller vocabulary, and fewer layers on a CPU.
"""

import argparse
import copy
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from reference import ours_like, reference_model
from torch import Tensor

import qwen35_lab as lab
from qwen35_lab.capture import record
from qwen35_lab.model import Tap
from qwen35_lab.model.delta_rule import chunked
from qwen35_lab.model.norm import l2_norm
from qwen35_lab.paths import data_path

Work = Callable[[], object]


def race(ours: Work, theirs: Work, rounds: int) -> tuple[float, float, list[float]]:
    """Median seconds of each, and the ratio theirs / ours of every round."""
    ours(), theirs()
    times: list[tuple[float, float]] = []
    for round_ in range(rounds):
        taken = {}
        for work in (ours, theirs) if round_ % 2 else (theirs, ours):
            start = time.perf_counter()
            work()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            taken[work] = time.perf_counter() - start
        times.append((taken[ours], taken[theirs]))
    mine, yours = zip(*times, strict=True)
    return statistics.median(mine), statistics.median(yours), [b / a for a, b in times]


def delta_rule(heads: int, tokens: int) -> tuple[Work, Work]:
    """The chunked recurrence alone, float32."""
    from transformers.models.qwen3_5.modeling_qwen3_5 import torch_chunk_gated_delta_rule

    q, k, v = (torch.randn(1, tokens, heads, 128) for _ in range(3))
    q, k, g, beta = l2_norm(q) * 128**-0.5, l2_norm(k), -torch.rand(1, tokens, heads), torch.rand(1, tokens, heads)
    return lambda: chunked(q, k, v, g, beta), lambda: torch_chunk_gated_delta_rule(
        q, k, v, g=g, beta=beta, output_final_state=True
    )


def model_pair(dtype: torch.dtype, layers: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    raw = json.loads(data_path("family", "Qwen3.5-0.8B.json").read_text())["text_config"]
    raw |= {"num_hidden_layers": layers, "layer_types": raw["layer_types"][:layers], "vocab_size": 1000}
    here = torch.get_default_device()
    with torch.device("cpu"):  # where its weights are drawn
        reference = reference_model(raw).to(dtype)
        ours = ours_like(reference, raw)
    return ours.to(here), reference.to(here)


def prefill(ours: torch.nn.Module, theirs: torch.nn.Module, tokens: int) -> tuple[Work, Work]:
    ids = torch.randint(0, 1000, (1, tokens))
    return lambda: ours(ids, cache=ours.new_cache(), logits_to_keep=1), lambda: theirs(
        ids, use_cache=True, logits_to_keep=1
    )


def decode(ours: torch.nn.Module, theirs: torch.nn.Module, tokens: int) -> tuple[Work, Work]:
    """One token at a time behind a prompt of 128."""
    prompt, one = torch.randint(0, 1000, (1, 128)), torch.zeros(1, 1, dtype=torch.long)

    def run_ours() -> Tensor:
        cache = ours.new_cache()
        for _ in range(tokens):
            logits = ours(one if cache.length else prompt, cache=cache, logits_to_keep=1).logits
        return logits

    def run_theirs() -> Tensor:
        cache = None
        for _ in range(tokens):
            out = theirs(one if cache else prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
            cache = out.past_key_values
        return out.logits

    return run_ours, run_theirs


class Gone:
    """In place of a tap: as if the line were not there."""

    wanted = False

    def __call__(self, value: Tensor) -> Tensor:
        return value


def without_taps(model: torch.nn.Module) -> torch.nn.Module:
    """A copy that shares the weights and has no taps."""
    bare = copy.deepcopy(model, {id(p): p for p in model.parameters()})
    for module in list(bare.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Tap):
                del module._modules[name]
                object.__setattr__(module, name, Gone())
    return bare


def taps(model: torch.nn.Module, tokens: int) -> dict[str, tuple[Work, Work]]:
    """The first of each pair is the plain model, the second the same with something done to its taps."""
    bare, ids = without_taps(model), torch.randint(0, model.config.vocab_size, (1, tokens))

    def recorded() -> None:
        with record(model, "*"):
            model(ids)

    def edited() -> None:
        with lab.edits.edited(model, lab.edit("layers.*.mixer.beta", token=3).scale(0.5)):
            model(ids)

    plain = lambda: model(ids)  # noqa: E731
    return {
        "nobody listens, against no taps at all": (lambda: bare(ids), plain),
        "all default taps recorded, against none": (plain, recorded),
        "β of one token edited in every layer, against none": (plain, edited),
    }


@torch.inference_mode()
def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="fewer rounds, shorter texts: under two minutes")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    given = options.parse_args()
    rounds, tokens = (5, 512) if given.quick else (11, 2048)
    torch.manual_seed(0)
    torch.set_default_device(given.device)
    on_gpu = given.device == "cuda"
    machine = torch.cuda.get_device_name() if on_gpu else platform.processor() or platform.machine()
    print(f"{machine}, {torch.get_num_threads()} threads, torch {torch.__version__}\n")
    print("| what | ours, ms | transformers, ms | ratio | quartiles |\n| --- | ---: | ---: | ---: | ---: |")

    def report(what: str, pair: tuple[Work, Work]) -> None:
        mine, yours, ratios = race(*pair, rounds)
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"| {what} | {mine * 1e3:.1f} | {yours * 1e3:.1f} | {middle:.2f} | {low:.2f} … {high:.2f} |", flush=True)

    for heads in (16, 32):
        report(f"delta rule, {heads} heads of 128, {tokens} tokens, float32", delta_rule(heads, tokens))
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        pair = model_pair(dtype, layers=24 if on_gpu else 4)
        report(f"prefill of {tokens} tokens, {name}", prefill(*pair, tokens))
        report(f"decoding 16 tokens, {name}", decode(*pair, 16))

    print("\n| taps | without, ms | with, ms | ratio | quartiles |\n| --- | ---: | ---: | ---: | ---: |")
    model = model_pair(torch.float32, layers=4)[0]
    for what, pair in taps(model, 256).items():
        report(f"0.8B shapes, 256 tokens: {what}", pair)
    small = lab.load("recall", device=given.device).model
    for what, pair in taps(small, 104).items():
        report(f"recall, 104 tokens: {what}", pair)


if __name__ == "__main__":
    main()
