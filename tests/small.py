"""Small models for tests of what looks at models: every kind of layer, and weights at which every parameter matters."""

from typing import Any

import torch

import qwen35_lab as lab
from qwen35_lab.model.norm import RMSNorm

DENSE: dict[str, Any] = {
    "model_type": "qwen3_5_text", "vocab_size": 40, "hidden_size": 24, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 12,
    "intermediate_size": 32, "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 0],
                        "partial_rotary_factor": 0.25},
}  # fmt: skip
MOE = {name: value for name, value in DENSE.items() if name != "intermediate_size"} | {
    "model_type": "qwen3_5_moe_text", "tie_word_embeddings": False, "num_experts": 6, "num_experts_per_tok": 2,
    "moe_intermediate_size": 8, "shared_expert_intermediate_size": 8,
}  # fmt: skip
IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]


@torch.no_grad()
def small(raw: dict[str, Any] = DENSE, seed: int = 0, **changes: Any) -> lab.Qwen:
    """A model of that config, with `changes`."""
    qwen = lab.from_config({**raw, **changes}, seed)
    draw = torch.Generator().manual_seed(seed)
    for module in qwen.model.modules():
        if isinstance(module, RMSNorm):
            module.weight.copy_(0.3 * torch.randn(module.weight.shape, generator=draw))
        elif isinstance(module, torch.nn.Linear):
            module.weight.mul_(module.weight.shape[1] ** -0.5 / qwen.config.text.initializer_range)
    qwen.model.embed_tokens.weight.mul_(1 / qwen.config.text.initializer_range)
    return qwen
