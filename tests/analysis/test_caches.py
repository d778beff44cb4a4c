"""Bytes of caches: the config says what is in memory, for every layer, and transformers holds as much."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from model.strategies import configs
from small import DENSE, IDS, MOE, small
from transformers import DynamicCache

import qwen35_lab as lab
from qwen35_lab.analysis import cache_growth, layer_bytes, predicted_bytes, quiet_transformers, transformers_model


@settings(max_examples=40)
@given(raw=configs(), tokens=some.integers(1, 9), dtype=some.sampled_from(["float32", "bfloat16", "float64"]))
def test_every_layer_keeps_what_the_config_says(raw, tokens, dtype):
    qwen = small(raw)
    qwen.model.to(getattr(torch, dtype))
    cache = qwen.model.new_cache()
    assert layer_bytes(cache) == predicted_bytes(qwen.config, 0, dtype) == [0] * len(cache.layers)
    with torch.no_grad():
        qwen.model(torch.zeros(1, tokens, dtype=torch.long), cache=cache)
    assert layer_bytes(cache) == predicted_bytes(qwen.config, tokens, dtype)
    assert sum(layer_bytes(cache)) == cache.nbytes()


@pytest.mark.parametrize(
    "name, kv, state",
    [
        ("Qwen3.5-0.8B", 2 * 2 * 256 * 2, 16 * 128 * 128 * 4 + 3 * (2 * 16 + 16) * 128 * 2),
        ("Qwen3.5-27B", 2 * 4 * 256 * 2, 48 * 128 * 128 * 4 + 3 * (2 * 16 + 48) * 128 * 2),
    ],
)
def test_official_shapes_by_hand(name, kv, state):
    """Keys and values × key heads × features × bytes; value heads × K × V × 4, and three inputs of the convolution."""
    found = predicted_bytes(lab.load_config(name), 1000)
    assert found[:4] == [state, state, state, 1000 * kv]
    assert len(found) == lab.load_config(name).text.num_hidden_layers


@torch.no_grad()
@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense", "moe"])
def test_transformers_keeps_as_much(raw):
    """Except that its convolutions keep one input more, the oldest of which is never used."""
    qwen, ids = small(raw), torch.tensor([IDS])
    with quiet_transformers():
        model = transformers_model(qwen)
        past = DynamicCache(config=model.config)
        model(input_ids=ids, past_key_values=past)
    predicted = predicted_bytes(qwen.config, len(IDS), "float32")
    for n, (layer, size) in enumerate(zip(past.layers, predicted, strict=True)):
        if qwen.config.text.layer_types[n] == "full_attention":
            assert layer.keys.nbytes + layer.values.nbytes == size
        else:
            conv, kernel = layer.conv_states[0].nbytes, qwen.config.text.linear_conv_kernel_dim
            assert layer.recurrent_states[0].nbytes + conv * (kernel - 1) // kernel == size


def test_growth_has_a_row_for_every_token():
    growth = cache_growth(small(), IDS)
    assert growth.measured.shape == (len(IDS), 4) and torch.equal(growth.measured, growth.predicted)
    steps = growth.measured.diff(dim=0)
    assert [kind == "full_attention" for kind in growth.kinds] == steps[0].bool().tolist()
    assert growth.provenance.startswith("RANDOM")
