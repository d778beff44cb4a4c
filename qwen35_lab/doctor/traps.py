"""Settings that change numbers or speed without a word: of PyTorch, and in the environment."""

import os
import time
from collections.abc import Callable, Iterator, Mapping

import torch

from .report import Finding

TOPIC = "traps"
SIDE = 384  # of the matrices that are timed
SLOW = 1.5  # times the float32 time at which bfloat16 is worth a note

# variable -> what it does, where it is set
VARIABLES = {
    "OMP_NUM_THREADS": "sets how many threads PyTorch begins with",
    "MKL_NUM_THREADS": "sets how many threads matrix products begin with",
    "TOKENIZERS_PARALLELISM": "switches the tokenizers' own threads",
    "CUDA_VISIBLE_DEVICES": "hides GPUs that it does not list",
    "CUDA_LAUNCH_BLOCKING": "makes every GPU operation wait, for debugging",
    "PYTORCH_CUDA_ALLOC_CONF": "changes how GPU memory is set aside",
    "PYTORCH_ENABLE_MPS_FALLBACK": "lets operations that Apple's GPU lacks run on the CPU",
    "TORCH_CUDNN_SDPA_ENABLED": "forces or forbids an attention kernel",
    "VLLM_ATTENTION_BACKEND": "forces vLLM's attention kernel",
}
NOTED = ("CUDA_LAUNCH_BLOCKING", "TORCH_CUDNN_SDPA_ENABLED", "VLLM_ATTENTION_BACKEND")  # rarely wanted for long


def look() -> Iterator[Finding]:
    yield default_dtype()
    yield _default_device()
    yield matmul_precision()
    yield bfloat16(*times())
    yield environment(os.environ)


def default_dtype() -> Finding:
    """The dtype of tensors that nobody gives one."""
    name = str(torch.get_default_dtype()).removeprefix("torch.")
    if name == "float32":
        return Finding(TOPIC, "default dtype", "fine", "float32, as everything here expects.", value=name)
    says = f"It is {name}: new tensors, and models that are built rather than loaded, silently come in it."
    return Finding(TOPIC, "default dtype", "problem", says, "torch.set_default_dtype(torch.float32)", name)


def _default_device() -> Finding:
    name = str(torch.get_default_device())
    if name == "cpu":
        return Finding(TOPIC, "default device", "fine", "The CPU; models go where `device=` says.", value=name)
    says = f"It is {name}: tensors that a cell makes land there, and do not meet a model on the CPU."
    return Finding(TOPIC, "default device", "problem", says, 'torch.set_default_device("cpu")', name)


def matmul_precision() -> Finding:
    name = torch.get_float32_matmul_precision()
    if name == "highest":
        return Finding(TOPIC, "matrix products", "fine", "float32 products are computed in float32.", value=name)
    says = f'Set to "{name}": float32 products may be rounded to fewer bits, and claims at 1e-5 may fail.'
    return Finding(TOPIC, "matrix products", "note", says, 'torch.set_float32_matmul_precision("highest")', name)


@torch.inference_mode()
def times(clock: Callable[[], float] = time.perf_counter) -> tuple[float, float]:
    """Seconds of one small product of matrices in bfloat16 and in float32: the best of a few, taking turns."""
    a = torch.ones(SIDE, SIDE, dtype=torch.float32, device="cpu")
    inputs, best = (a.bfloat16(), a), [float("inf")] * 2
    for _ in range(6):
        for n, x in enumerate(inputs):
            began = clock()
            torch.mm(x, x)
            best[n] = min(best[n], clock() - began)
    return best[0], best[1]


def bfloat16(half: float, single: float) -> Finding:
    ratio = half / single
    if ratio > SLOW:
        says = f"A product on this CPU takes {ratio:.1f} times as long in bfloat16 as in float32."
        return Finding(TOPIC, "bfloat16", "note", says, 'If there is memory for it, load with dtype="float32".', ratio)
    return Finding(TOPIC, "bfloat16", "fine", f"A product on this CPU takes {ratio:.1f} times its float32 time.",
                   value=ratio)  # fmt: skip


def environment(variables: Mapping[str, str]) -> Finding:
    """Which variables are set that change how things run."""
    found = {name: variables[name] for name in VARIABLES if name in variables}
    told = "; ".join(f"{name}={value} {VARIABLES[name]}" for name, value in found.items())
    odd = [name for name in found if name in NOTED]
    if odd:
        return Finding(
            TOPIC, "environment", "note", f"{told}.", f"unset {' '.join(odd)}, unless you want it so.", found
        )
    return Finding(
        TOPIC, "environment", "fine", f"{told}." if found else "No variable changes how it runs.", value=found
    )
