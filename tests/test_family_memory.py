"""Memory computed from a config against published sizes, and against a real cache of transformers to the byte."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model.strategies import configs
from official import raw_config, reference_model

from qwen35_lab.config import ModelConfig
from qwen35_lab.errors import InputError
from qwen35_lab.family import (
    break_even_tokens,
    conv_state_bytes,
    kv_bytes_per_token,
    load_config,
    load_predecessor,
    memory,
    parameters,
    state_bytes,
    weight_bytes,
)

tens = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
MIB, GIB = 2**20, 2**30


@pytest.mark.parametrize(
    ("name", "kv", "state_mib", "even"),
    [
        ("0.8B", 12_288, 18, 1536),
        ("2B", 12_288, 18, 1536),
        ("4B", 32_768, 48, 1536),
        ("9B", 32_768, 48, 1536),
        ("27B", 65_536, 144, 2304),
        ("35B-A3B", 20_480, 60, 3072),
        ("122B-A10B", 24_576, 144, 6144),
        ("397B-A17B", 30_720, 180, 6144),
    ],
)
def test_cache_sizes_are_the_published_ones(name, kv, state_mib, even):
    config = load_config(name)
    assert kv_bytes_per_token(config) == kv
    assert state_bytes(config) == state_mib * MIB
    assert break_even_tokens(config) == even
    assert break_even_tokens(config, "fp8") == 2 * even


def test_cache_of_the_9b_is_what_llama_cpp_prints():
    """llama.cpp: 65,536 tokens of context are 2048 MiB of keys and values in 8 layers."""
    needed = memory(load_config("9B"), 65_536)
    assert needed.kv == 2048 * MIB
    assert memory(load_config("9B"), 262_144).kv == 8 * GIB
    assert needed.total == needed.weights + needed.cache == weight_bytes(load_config("9B")) + needed.cache


@tens
@given(configs(), st.sampled_from(["float32", "bfloat16"]), st.integers(1, 3), st.integers(1, 9))
def test_cache_of_transformers_has_exactly_the_predicted_bytes(raw, dtype, batch, tokens):
    torch.manual_seed(0)
    config = ModelConfig.from_dict(raw)
    model = reference_model(raw).to(getattr(torch, dtype))
    with torch.no_grad():
        cache = model(torch.zeros(batch, tokens, dtype=torch.long), use_cache=True).past_key_values
    linear = [layer for layer in cache.layers if hasattr(layer, "recurrent_states")]
    full = [layer for layer in cache.layers if hasattr(layer, "keys")]
    predicted = memory(config, tokens, batch, kv_dtype=dtype)
    assert predicted.kv == sum(layer.keys.nbytes + layer.values.nbytes for layer in full)
    assert predicted.state == sum(layer.recurrent_states[0].nbytes for layer in linear)
    # one column more than the convolution looks back, see the next test
    assert predicted.conv_state == sum(layer.conv_states[0][..., 1:].nbytes for layer in linear)
    assert state_bytes(config, "bfloat16") * 2 == state_bytes(config) == state_bytes(config, "float32")


def test_oldest_column_of_the_conv_state_of_transformers_is_never_used():
    raw = raw_config("Qwen3.5-0.8B")["text_config"] | {
        "vocab_size": 50,
        "hidden_size": 16,
        "intermediate_size": 8,
    }
    raw |= {"num_hidden_layers": 4, "layer_types": None, "head_dim": 16}
    torch.manual_seed(0)
    model = reference_model(raw)

    @torch.no_grad()
    def next_logits(column: int | None) -> torch.Tensor:
        cache = model(torch.arange(9)[None], use_cache=True).past_key_values
        for layer in cache.layers:
            if hasattr(layer, "conv_states") and column is not None:
                layer.conv_states[0][..., column] = 1e3
        return model(torch.tensor([[9]]), past_key_values=cache).logits

    assert torch.equal(next_logits(0), next_logits(None))
    assert not torch.allclose(next_logits(1), next_logits(None))


@pytest.mark.parametrize(
    ("name", "file_bytes"),
    [("0.8B", 1_746_942_600), ("2B", 4_548_221_488), ("122B-A10B", 250_173_250_864)],
)
def test_weights_in_bfloat16_fill_the_published_files_up_to_their_headers(name, file_bytes):
    assert 0 < file_bytes - weight_bytes(load_config(name)) < 300_000


def test_weights_of_the_397b_are_those_its_index_states():
    """2834 bfloat16 and 90 float32 tensors: `A_log` and the gated norm of 45 DeltaNet layers."""
    config = load_config("397B-A17B")
    assert weight_bytes(config) == 806_795_875_168
    assert weight_bytes(config, text_only=True) == 792_692_717_952
    assert weight_bytes(config) - 2 * parameters(config).total == 2 * 45 * (64 + 128)


def test_quantised_sizes_are_ideal():
    config = load_config("0.8B")
    total = parameters(config).total
    sizes = [weight_bytes(config, dtype) for dtype in ("float32", "fp8", "int8", "int4")]
    assert sizes == [4 * total, total, total, total // 2]
    assert weight_bytes(config, torch.float16) == weight_bytes(config, "bfloat16")  # type: ignore[arg-type]
    assert kv_bytes_per_token(config, torch.float8_e4m3fn) == kv_bytes_per_token(config, "int8")  # type: ignore[arg-type]


def test_models_without_one_kind_of_layer():
    assert break_even_tokens(load_predecessor("Qwen3-8B")) == 0
    assert state_bytes(load_predecessor("Qwen3-8B")) == conv_state_bytes(load_predecessor("Qwen3-8B")) == 0
    raw = raw_config("Qwen3.5-0.8B")
    raw["text_config"]["layer_types"] = ["linear_attention"] * 24
    assert break_even_tokens(ModelConfig.from_dict(raw)) == math.inf


@pytest.mark.parametrize(("tokens", "batch"), [(-1, 1), (1.5, 1), (1, -1), (True, 1)])
def test_memory_refuses_what_is_not_a_count(tokens, batch):
    with pytest.raises(InputError, match=r"tokens|batch"):
        memory(load_config("0.8B"), tokens, batch)


def test_unknown_dtype_is_refused():
    with pytest.raises(InputError, match="int3"):
        weight_bytes(load_config("0.8B"), "int3")
