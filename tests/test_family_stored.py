"""What a checkpoint weighs in few bits, with what stays in 16."""

import pytest

import qwen35_lab as lab
from qwen35_lab.family import OFFICIAL, load_config, parameters, tensor_shapes, weight_bytes
from qwen35_lab.family.stored import kept_share, stays, stored_bytes


@pytest.mark.parametrize("name", OFFICIAL)
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_in_whole_precisions_the_parts_add_up_to_the_checkpoint(name, dtype):
    config = load_config(name)
    assert sum(stored_bytes(config, dtype).values()) == weight_bytes(config, dtype)


@pytest.mark.parametrize("name", OFFICIAL)
def test_fewer_bits_are_smaller_and_larger_than_the_ideal(name):
    config = load_config(name)
    sizes = {dtype: sum(stored_bytes(config, dtype).values()) for dtype in ("bfloat16", "int8", "fp8", "int4")}
    assert sizes["bfloat16"] > sizes["int8"] > sizes["fp8"] > sizes["int4"]
    for dtype in ("int8", "fp8", "int4"):
        assert sizes[dtype] > weight_bytes(config, dtype)


def test_the_tables_and_the_tower_do_not_shrink_and_experts_do():
    config = load_config("35B-A3B")
    wide, four = stored_bytes(config), stored_bytes(config, "int4")
    for part in ("embedding", "head", "router", "vision", "norms"):
        assert four[part] == wide[part], part
    # four bits, and a scale of 16 for every 128 numbers
    assert four["routed_experts"] == parameters(config).routed_experts * (4 + 16 / 128) / 8
    assert four["shared_experts"] < 0.27 * wide["shared_experts"]


def test_blocks_that_are_not_full_need_a_scale_too():
    config = lab.ModelConfig.from_dict(
        {"model_type": "qwen3_5_text", "vocab_size": 10, "hidden_size": 130, "num_hidden_layers": 4,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 140,
         "linear_num_key_heads": 1, "linear_num_value_heads": 1, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
         "tie_word_embeddings": True, "mtp_num_hidden_layers": 0}
    )  # fmt: skip
    # gate and up [140, 130], down [130, 140]: 2 x 2 blocks each, in all four layers
    assert stored_bytes(config, "fp8")["dense_ffn"] == 4 * 3 * (130 * 140 + 4 * 4)


def test_what_stays_is_what_the_official_fp8_files_leave_alone():
    """checkpoints' quantization_config, as noted in maxtext PR 5076 and sglang PR 18926."""
    names = tensor_shapes(load_config("35B-A3B"))
    few = {name.split("layers.0.")[1] for name in names if ".layers.0." in name and not stays(name)}
    assert few == {
        "linear_attn.in_proj_qkv.weight", "linear_attn.in_proj_z.weight", "linear_attn.out_proj.weight",
        "mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.shared_expert.gate_proj.weight",
        "mlp.shared_expert.up_proj.weight", "mlp.shared_expert.down_proj.weight", "self_attn.q_proj.weight",
        "self_attn.k_proj.weight", "self_attn.v_proj.weight", "self_attn.o_proj.weight",
    }  # fmt: skip
    assert all(stays(name) for name in names if "visual" in name or "embed" in name or name.startswith("lm_head"))


def test_the_share_that_stays_falls_with_size():
    shares = [kept_share(load_config(name)) for name in ("0.8B", "9B", "397B-A17B")]
    assert shares == sorted(shares, reverse=True) and 0.4 < shares[0] < 0.42 and shares[-1] < 0.01


def test_an_unknown_dtype_is_refused():
    with pytest.raises(lab.InputError, match="The dtype 'int3' is not known"):
        stored_bytes(load_config("0.8B"), "int3")
