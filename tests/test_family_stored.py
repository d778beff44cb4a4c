"""What a checkpoint weighs in few bits, with what stays in 16."""

import json
from collections import Counter
from math import prod

import pytest

import qwen35_lab as lab
from qwen35_lab.family import OFFICIAL, load_config, parameters, tensor_shapes, weight_bytes
from qwen35_lab.family.stored import kept_share, stored_bytes
from qwen35_lab.fp8 import is_rounded


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
    assert stored_bytes(config, "fp8")["dense_ffn"] == 4 * 3 * (130 * 140 + 4 * 2)


def test_what_stays_is_what_the_official_fp8_files_leave_alone():
    """checkpoints' quantization_config, as noted in maxtext PR 5076 and sglang PR 18926."""
    names = tensor_shapes(load_config("35B-A3B"))
    few = {name.split("layers.0.")[1] for name in names if ".layers.0." in name and is_rounded(name)}
    assert few == {
        "linear_attn.in_proj_qkv.weight", "linear_attn.in_proj_z.weight", "linear_attn.out_proj.weight",
        "mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.shared_expert.gate_proj.weight",
        "mlp.shared_expert.up_proj.weight", "mlp.shared_expert.down_proj.weight", "self_attn.q_proj.weight",
        "self_attn.k_proj.weight", "self_attn.v_proj.weight", "self_attn.o_proj.weight",
    }  # fmt: skip
    kept = [name for name in names if "visual" in name or "embed" in name or name.startswith("lm_head")]
    assert not any(map(is_rounded, kept))


def test_as_many_tensors_as_the_official_fp8_file_of_35b_has():
    """64,196, of them 1,560 of the MTP head (0xBakeer/inference-atlas PR 145): so its `mtp.fc` has no scale."""
    shapes = tensor_shapes(load_config("35B-A3B"))
    counts = Counter()
    for name, shape in shapes.items():
        single = 1 if ".mlp.experts." not in name else shape[0] * (2 if name.endswith("gate_up_proj") else 1)
        counts[name.split(".")[0]] += single * (1 + is_rounded(name))  # one by one, with their scales
    assert counts.total() == 64_196 and counts["mtp"] == 1_560


@pytest.mark.parametrize("scale, dtype", [("BF16", 2), ("F32", 4)])
def test_scales_have_16_bits_by_the_size_of_a_published_shard(scale, dtype):
    """layers-0.safetensors of Qwen3.8-27B-FP8 (the shapes of 27B) has 383,865,448 bytes on the Hub, 2026-08-27."""
    found = {}
    for name, shape in tensor_shapes(load_config("27B")).items():
        if name.startswith("model.language_model.layers.0."):
            found[name] = ("F8_E4M3", shape, 1) if is_rounded(name) else ("BF16", shape, 2)
            if is_rounded(name):
                found[name + "_scale_inv"] = (scale, tuple(-(-size // 128) for size in shape), dtype)
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, (kind, shape, width) in sorted(found.items(), key=lambda item: (-item[1][2], item[0])):
        begin, end = end, end + prod(shape) * width
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    words = len(json.dumps(header, separators=(",", ":")))
    assert (8 + words + -words % 8 + end == 383_865_448) == (scale == "BF16")


def test_the_share_that_stays_falls_with_size():
    shares = [kept_share(load_config(name)) for name in ("0.8B", "9B", "397B-A17B")]
    assert shares == sorted(shares, reverse=True) and 0.4 < shares[0] < 0.42 and shares[-1] < 0.01


def test_an_unknown_dtype_is_refused():
    with pytest.raises(lab.InputError, match="The dtype 'int3' is not known"):
        stored_bytes(load_config("0.8B"), "int3")
