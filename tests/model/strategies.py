"""Random architectures and inputs, small enough to run by the hundred."""

from itertools import pairwise
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

LENGTHS = st.one_of(st.integers(1, 20), st.sampled_from([63, 64, 65, 127, 128, 129]), st.integers(21, 150))


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A text-only `config.json`: dense or MoE, tied or not, any head counts, ratios and layer order."""
    moe, layers = draw(st.booleans()), draw(st.integers(1, 4))
    kinds = st.lists(st.sampled_from(["linear_attention", "full_attention"]), min_size=layers, max_size=layers)
    key_heads, kv_heads = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rope: dict[str, Any] = {
        "rope_type": "default",
        "rope_theta": draw(st.sampled_from([1e2, 1e4, 1e7])),
        "partial_rotary_factor": draw(st.sampled_from([0.25, 0.5, 1.0])),
        "mrope_section": draw(st.sampled_from([[11, 11, 10], [1, 1, 1], [2, 1, 1]])),
        "mrope_interleaved": True,
    }
    head_dim = draw(st.sampled_from([4, 8, 12, 16]))
    # with an odd number of rotated features transformers' YaRN ramp is one pair short
    if draw(st.integers(0, 3)) == 0 and int(head_dim * rope["partial_rotary_factor"]) % 2 == 0:
        rope |= {"rope_type": "yarn", "factor": draw(st.sampled_from([1.0, 2.0, 4.0]))}
        rope |= {"original_max_position_embeddings": draw(st.sampled_from([32, 256, 4096]))}
    raw = {
        "model_type": "qwen3_5_moe_text" if moe else "qwen3_5_text",
        "vocab_size": draw(st.integers(5, 60)),
        "hidden_size": draw(st.sampled_from([8, 12, 20, 32])),
        "num_hidden_layers": layers,
        # transformers' cache needs one attention layer to know its own length
        "layer_types": draw(kinds.filter(lambda found: "full_attention" in found)),
        "num_attention_heads": kv_heads * draw(st.integers(1, 3)),
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "linear_num_key_heads": key_heads,
        "linear_num_value_heads": key_heads * draw(st.integers(1, 3)),
        "linear_key_head_dim": draw(st.sampled_from([2, 5, 8])),
        "linear_value_head_dim": draw(st.sampled_from([3, 4, 8])),
        "linear_conv_kernel_dim": draw(st.sampled_from([2, 3, 4])),
        "rope_parameters": rope,
        "tie_word_embeddings": draw(st.booleans()),
        "attention_bias": draw(st.booleans()),
        "rms_norm_eps": draw(st.sampled_from([1e-6, 1e-3])),
        "max_position_embeddings": 4096,
    }
    if moe:
        experts = draw(st.integers(1, 6))
        raw |= {
            "num_experts": experts,
            "num_experts_per_tok": draw(st.integers(1, experts)),
            "moe_intermediate_size": draw(st.integers(1, 12)),
            "shared_expert_intermediate_size": draw(st.integers(1, 12)),
        }
    else:
        raw["intermediate_size"] = draw(st.integers(1, 24))
    return raw


@st.composite
def inputs(draw: st.DrawFn, vocabulary: int) -> tuple[Tensor, Tensor | None]:
    """Token ids [batch, token] and a mask with padding on the left or on the right of some rows, or None."""
    batch, length = draw(st.integers(1, 3)), draw(LENGTHS)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    ids = torch.randint(0, vocabulary, (batch, length), generator=generator)
    side = draw(st.sampled_from(["none", "left", "right"]))
    if side == "none":
        return ids, None
    mask = torch.ones_like(ids)
    for row in mask:
        padding = draw(st.integers(0, length - 1))
        row[slice(0, padding) if side == "left" else slice(length - padding, length)] = 0
    return ids, mask


@st.composite
def pieces(draw: st.DrawFn, length: int) -> list[int]:
    """A way to cut a sequence: sizes that sum to its length."""
    cuts = draw(st.lists(st.integers(1, length), max_size=4))
    edges = [0, *sorted(set(cuts) | {length})]
    return [b - a for a, b in pairwise(edges)]
