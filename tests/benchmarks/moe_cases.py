"""The feed-forward of experts at the width of Qwen3.5-35B-A3B, ours against transformers' on the same weights.

256 experts of 512, eight for each token, and a shared one: 805 million parameters in one layer, of which a token uses
28. transformers has three ways to run them: `grouped_mm` (the default), `batched_mm` and `eager`, a loop.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from benchmarks.race import Case, Given
from torch import Tensor, nn
from transformers import Qwen3_5MoeTextConfig
from transformers.models.qwen3_5_moe.modeling_qwen3_5_moe import Qwen3_5MoeSparseMoeBlock

import qwen35_lab as lab
from qwen35_lab.model.moe import SparseMoE
from qwen35_lab.model.one_row import reading

NAME = "Qwen3.5-35B-A3B"
GOAL = 1.3
NOT_QUICK = "more than 32 experts, more than 64 tokens"  # 16 tokens for each expert, as with 256 and 512
WAYS = ("grouped_mm", "batched_mm", "eager")
SAME = {"router.weight": "gate.weight", "gate_up_proj": "experts.gate_up_proj", "down_proj": "experts.down_proj",
        "shared_expert.gate_proj.weight": "shared_expert.gate_proj.weight",
        "shared_expert.up_proj.weight": "shared_expert.up_proj.weight",
        "shared_expert.down_proj.weight": "shared_expert.down_proj.weight",
        "shared_gate_proj.weight": "shared_expert_gate.weight"}  # fmt: skip


def cases(given: Given) -> Iterator[Case]:
    """One token and many, in both dtypes."""
    for dtype in (torch.bfloat16, torch.float32):
        yield from compared(*layers(dtype, given.device, experts=32 if given.quick else 256), given)


def compared(ours: SparseMoE, theirs: nn.Module, given: Given) -> Iterator[Case]:
    """transformers' `batched_mm` copies the matrices of every pair of token and expert, which for many tokens are more
    than there is memory."""
    weight = ours.router.weight
    for tokens in (1, 64 if given.quick else 512):
        x = torch.randn(1, tokens, weight.shape[1], device=given.device, dtype=weight.dtype)
        what = f"experts of the 35B-A3B, tokens: {tokens}, {str(weight.dtype).removeprefix('torch.')}"
        for way in WAYS if tokens == 1 else ("grouped_mm", "eager"):
            yield Case(what, partial(as_read, ours, x), partial(run, theirs, way, x), GOAL, f"transformers, {way}")


def as_read(ours: SparseMoE, x: Tensor) -> Tensor:
    """As in a pass of the whole model, which chooses the kernel of a single token's products."""
    with reading(x):
        return ours(x)


def run(theirs: Any, way: str, x: Tensor) -> Tensor:
    theirs.experts.config._experts_implementation = way
    return theirs(x)


def layers(dtype: torch.dtype, device: str, experts: int) -> tuple[SparseMoE, nn.Module]:
    """Both with the same tensors."""
    raw = lab.load_config(NAME).raw["text_config"] | {"num_experts": experts}
    config = lab.ModelConfig.from_dict(raw | {"model_type": "qwen3_5_moe_text"})
    with torch.device("meta"):
        ours, theirs = SparseMoE(config.text), Qwen3_5MoeSparseMoeBlock(Qwen3_5MoeTextConfig(**raw))
    weights = {
        name: torch.empty_like(p, dtype=dtype, device=device).normal_(0, p.shape[-1] ** -0.5)
        for name, p in ours.named_parameters()
    }
    ours.load_state_dict(weights, assign=True)
    theirs.load_state_dict({SAME[name]: weight for name, weight in weights.items()}, assign=True)
    return ours.eval(), theirs.eval()
