"""Rotation and YaRN: our clocks against transformers' own, random settings; and a whole model that reads with YaRN."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from reference import ours_like, reference_model
from small import DENSE
from transformers import Qwen3_5TextConfig
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5TextRotaryEmbedding

from qwen35_lab.config import ModelConfig
from qwen35_lab.family import load_config
from qwen35_lab.model.rope import inverse_frequencies, rotary_angles, rotate, yarn_keep

SECTIONS = [[11, 11, 10], [3, 3, 2], [1, 1, 0], [4, 1, 1], [0, 0, 0]]


@some.composite
def rotations(draw: some.DrawFn) -> dict[str, Any]:
    """A config whose rotation has every setting that YaRN knows; an even number of features turns."""
    rope: dict[str, Any] = {
        "rope_type": "yarn",
        "rope_theta": draw(some.sampled_from([1e2, 1e4, 1e6, 1e7])),
        "partial_rotary_factor": draw(some.sampled_from([0.25, 0.5, 1.0])),
        "mrope_section": draw(some.sampled_from(SECTIONS)),
        "mrope_interleaved": True,
        "factor": draw(some.floats(1, 8)),
        "original_max_position_embeddings": draw(some.sampled_from([64, 1000, 4096, 32_768, 262_144])),
    }
    for name, values in {
        "beta_fast": some.floats(2, 64), "beta_slow": some.floats(0.25, 2), "attention_factor": some.floats(0.5, 2),
        "truncate": some.booleans(),
    }.items():  # fmt: skip
        if draw(some.booleans()):
            rope[name] = draw(values)
    head_dim = draw(some.sampled_from([16, 32, 64, 128, 256]))
    return DENSE | {"head_dim": head_dim, "rope_parameters": rope, "max_position_embeddings": 300_000}


@settings(max_examples=150)
@given(rotations(), some.integers(0, 2**31))
def test_clocks_and_angles_are_transformers(raw, seed):
    text = ModelConfig.from_dict(raw).text
    theirs = Qwen3_5TextRotaryEmbedding(Qwen3_5TextConfig(**{k: v for k, v in raw.items() if k != "model_type"}))
    ours, scale = inverse_frequencies(text.head_dim, text.rope)
    torch.testing.assert_close(ours, theirs.inv_freq, rtol=1e-6, atol=1e-12)
    assert scale == pytest.approx(theirs.attention_scaling, rel=1e-6)
    positions = torch.randint(0, 2000, (3, 2, 7), generator=torch.Generator().manual_seed(seed))
    cos, sin = theirs(torch.zeros(1), positions)
    mine = rotary_angles(positions, text.head_dim, text.rope, torch.float32)
    # an angle of 2,000 radians is known to about 2,000 · 2⁻²⁴ in float32
    torch.testing.assert_close(mine[0], cos, rtol=0, atol=5e-4)
    torch.testing.assert_close(mine[1], sin, rtol=0, atol=5e-4)


@settings(max_examples=40)
@given(rotations(), some.integers(0, 1000))
def test_a_whole_model_with_yarn_gives_transformers_logits(raw, seed):
    raw = raw | {"head_dim": 16, "layer_types": ["linear_attention", "full_attention"] * 2}
    reference = reference_model(raw, torch.float64, seed)
    ids = torch.randint(0, raw["vocab_size"], (2, 40), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        theirs = reference(input_ids=ids).logits
        ours = ours_like(reference, raw)(ids).logits
        plain = ours_like(reference, raw | {"rope_parameters": raw["rope_parameters"] | {"rope_type": "default"}})(ids)
    scale = theirs.abs().max()
    assert (ours - theirs).abs().max() < 1e-9 * scale
    if raw["rope_parameters"]["factor"] > 1.05 and "attention_factor" not in raw["rope_parameters"]:
        assert (plain.logits - theirs).abs().max() > 1e-5 * scale  # YaRN was on, and is seen


def test_the_recipe_of_the_model_cards():
    text = load_config("Qwen3.5-4B").text
    raw = {"rope_type": "yarn", "rope_theta": 1e7, "partial_rotary_factor": 0.25, "mrope_section": [11, 11, 10],
           "factor": 4.0, "original_max_position_embeddings": 262_144}  # fmt: skip
    rope = ModelConfig.from_dict(DENSE | {"head_dim": 256, "rope_parameters": raw}).text.rope
    keep = yarn_keep(64, rope)
    assert [(keep == 1).sum(), ((keep > 0) & (keep < 1)).sum(), (keep == 0).sum()] == [15, 7, 10]
    slowed, scale = inverse_frequencies(text.head_dim, rope)
    own, _ = inverse_frequencies(text.head_dim, text.rope)
    assert scale == pytest.approx(0.1 * math.log(4) + 1)
    torch.testing.assert_close(slowed[:15], own[:15])
    torch.testing.assert_close(slowed[22:], own[22:] / 4)


def test_only_the_distance_counts_and_only_the_first_features_turn():
    text = load_config("Qwen3.5-0.8B").text
    x = torch.randn(2, 1, 1, text.head_dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def score(q_place: int, k_place: int) -> torch.Tensor:
        places = torch.tensor([[q_place], [k_place]]).expand(3, -1, -1)
        cos, sin = rotary_angles(places, text.head_dim, text.rope, torch.float64)
        q, k = (rotate(x[n : n + 1], cos[n : n + 1], sin[n : n + 1]) for n in (0, 1))
        assert torch.equal(q[..., 64:], x[:1, ..., 64:]) and not torch.equal(q[..., :64], x[:1, ..., :64])
        return (q * k).sum()

    torch.testing.assert_close(score(70_040, 70_000), score(40, 0), rtol=1e-9, atol=1e-9)
    assert abs(score(41, 0) - score(40, 0)) > 1e-3
