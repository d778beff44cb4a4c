"""The delta rule by fla's CUDA kernels, where they are installed: the same arguments and results as delta_rule.py.

They want 16 bits and an NVIDIA GPU. They keep the memory S in float32 and round all that they multiply to the values'
dtype, so they are as exact as a 16-bit model is. QWEN35_LAB_FLA=off leaves them out.
Source: https://github.com/fla-org/flash-linear-attention, `fla.ops.gated_delta_rule`.
"""

import os
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

from .delta_rule import FORGOTTEN

WIDTHS = (16, 32, 64, 128, 256)  # features of a key for which the kernels are made


@cache
def installed() -> bool:
    return find_spec("fla") is not None and find_spec("triton") is not None


def fits(k: Tensor, v: Tensor) -> bool:
    """Whether the kernels are there, not switched off, and made for such keys and values."""
    return (
        v.is_cuda and v.dtype in (torch.bfloat16, torch.float16) and k.shape[-1] in WIDTHS and installed()
        and os.environ.get("QWEN35_LAB_FLA", "on") != "off"
    )  # fmt: skip


def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """In chunks for a text, step by step for one token, which has no gradient; symbols as in delta_rule.py."""
    from fla.ops.gated_delta_rule import (  # pyright: ignore[reportMissingImports]
        chunk_gated_delta_rule,
        fused_recurrent_gated_delta_rule,
    )

    step = v.shape[1] == 1 and not torch.is_grad_enabled()
    kernel = fused_recurrent_gated_delta_rule if step else chunk_gated_delta_rule
    q, k, v, beta = (x.to(v.dtype).contiguous() for x in (q, k, v, beta))
    start = None if state is None else state.float()
    g = g.float().clamp_min(FORGOTTEN)
    o, S = kernel(q, k, v, g=g, beta=beta, scale=1.0, initial_state=start, output_final_state=True)
    return o, S
