"""Rotary position embedding, as this family has it.

* Partial: only the first `partial_rotary_factor` of a head's features turn (64 of 256); the rest carry no position.
* Pairs are (i, i + half), the two halves of the rotated part.
* Multimodal and interleaved (M-RoPE): a token has three positions (time, height, width); of the frequencies,
  1, 4, 7, … follow the height, 2, 5, 8, … the width, the others time. On text the three are equal and nothing differs.
* YaRN stretches the context: fast pairs are left alone, slow ones are slowed by `factor`, those between are blended.

Reference: Su et al. 2021 (arXiv 2104.09864); Peng et al. 2023, YaRN (arXiv 2309.00071), §3.2 and eq. 17 to 23;
`Qwen3_5TextRotaryEmbedding` and `modeling_rope_utils.py` in transformers.
"""

import math

import torch
from torch import Tensor

from ..config import RopeConfig


def inverse_frequencies(head_dim: int, rope: RopeConfig, dtype: torch.dtype = torch.float32) -> tuple[Tensor, float]:
    """Radians per position of each rotated pair, fastest first: [pairs], and the scale of cos and sin."""
    rotated = int(head_dim * rope.partial_rotary_factor)
    exponents = torch.arange(0, rotated, 2, dtype=dtype) / max(rotated, 1)
    base = 1.0 / rope.theta**exponents
    if rope.type == "default":
        return base, 1.0
    keep = yarn_keep(rotated, rope, dtype)
    scale = rope.attention_factor
    if scale is None:
        scale = 0.1 * math.log(rope.factor) + 1.0 if rope.factor > 1 else 1.0
    return base * keep + base / rope.factor * (1 - keep), scale


def yarn_keep(rotated: int, rope: RopeConfig, dtype: torch.dtype = torch.float32) -> Tensor:
    """How much of each pair's own frequency YaRN keeps: 1 fast, 0 slow, a straight ramp between. [pairs]"""
    context = rope.original_max_position_embeddings
    assert context is not None  # the config parser fills it in

    def pair_that_turns(times: float) -> float:
        return rotated * math.log(context / (times * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = pair_that_turns(rope.beta_fast), pair_that_turns(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rotated - 1)
    width = high - low or 0.001
    pairs = torch.arange(-(-rotated // 2), dtype=dtype)
    return 1 - ((pairs - low) / width).clamp(0, 1)


def rotary_angles(positions: Tensor, head_dim: int, rope: RopeConfig, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """cos and sin for every token, each [batch, token, 2·pairs], in `dtype`.

    Args:
        positions: [3, batch, token], whole numbers: time, height, width.
    """
    wide = torch.promote_types(dtype, torch.float32)
    frequencies, scale = inverse_frequencies(head_dim, rope, wide)
    angles = positions[..., None].to(wide) * frequencies.to(positions.device)
    time, height, width = angles.unbind(0)
    mixed = time.clone()
    for axis, offset in ((height, 1), (width, 2)):
        section = slice(offset, 3 * rope.mrope_section[offset], 3)
        mixed[..., section] = axis[..., section]
    both = torch.cat((mixed, mixed), dim=-1)
    return (both.cos() * scale).to(dtype), (both.sin() * scale).to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the first features of every head: x [batch, token, head, feature], cos and sin [batch, token, 2·pairs]."""
    cos, sin = cos[:, :, None], sin[:, :, None]
    turning, still = x[..., : cos.shape[-1]], x[..., cos.shape[-1] :]
    first, second = turning.chunk(2, dim=-1)
    turned = turning * cos + torch.cat((-second, first), dim=-1) * sin
    return torch.cat((turned, still), dim=-1)
