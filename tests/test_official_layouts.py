"""The official checkpoints' layouts at their real widths: names, shapes, shards, experts fused and apart, MTP heads.

Qwen3.5-0.8B as a whole is in test_real_shape.py. Here a few layers of the others, with holes in the files where zeros
do: the rows of tokens that no prompt has, and most of the experts.
"""

import gc
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from official import raw_config
from official_layout import data_bytes, one_by_one, write_checkpoint

import qwen35_lab as lab
from qwen35_lab.family import tensor_shapes
from qwen35_lab.model import mtp_logits

TOKENS = 2000  # of the vocabulary that the prompts use
FEW = {r"embed_tokens|lm_head": TOKENS, r"\.experts\.|mlp\.gate\.": 32}
IDS = torch.randint(0, TOKENS, (1, 70), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("model", "tensors", "mtp", "size"),
    [
        ("Qwen3.5-0.8B", 320 + 153, 15, 1_746_942_600),
        ("Qwen3.5-2B", 320 + 297, 15, 4_548_221_488),
        ("Qwen3.5-4B", 426 + 297, 15, None),
        ("Qwen3.5-9B", 427 + 333, 15, None),
        ("Qwen3.5-27B", 851 + 333, 15, None),
        ("Qwen3.5-35B-A3B", 693 + 333, 19, None),
        ("Qwen3.5-122B-A10B", 831 + 333, 19, 250_173_250_864),
        ("Qwen3.5-397B-A17B", 1038 + 333, 1553, None),
    ],
)
def test_counts_and_bytes_of_the_published_files(model: str, tensors: int, mtp: int, size: int | None) -> None:
    """Facts read on the Hub, November 2026. Beside its tensors a file has a header, some 100 bytes for each of them."""
    shapes = dict(tensor_shapes(lab.load_config(model)))
    if model == "Qwen3.5-397B-A17B":
        shapes = one_by_one(shapes, r"mtp\.")
    assert sum(not name.startswith("mtp.") for name in shapes) == tensors
    assert sum(name.startswith("mtp.") for name in shapes) == mtp
    if size:
        assert 80 * len(shapes) < size - data_bytes(shapes) < 300 * len(shapes)


def shortened(model: str, **text: Any) -> dict[str, Any]:
    """The official config with one layer of each kind, and two blocks of the vision tower."""
    raw = deepcopy(raw_config(model))
    raw["text_config"] |= {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"]} | text
    raw["vision_config"] |= {"depth": 2}
    return raw


@torch.no_grad()
def transformers_logits(folder: Path) -> torch.Tensor:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    return model(input_ids=IDS, logits_to_keep=8).logits[0, :, :TOKENS].float()


@torch.no_grad()
def our_logits(qwen: lab.Qwen) -> torch.Tensor:
    return qwen.model(IDS, logits_to_keep=8).logits[0, :, :TOKENS].float()


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Within what bfloat16 rounds: a tensor in the wrong place makes them as different as two random texts."""
    assert theirs.std() > 0.3 and theirs.isfinite().all()
    assert (ours - theirs).abs().mean() < 0.03 * theirs.std()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_9b_with_few_layers(tmp_path: Path) -> None:
    folder = tmp_path / "Qwen3.5-9B"
    shapes = write_checkpoint(folder, shortened("Qwen3.5-9B"), shards=4, leading=FEW)
    assert shapes["lm_head.weight"] == shapes["model.language_model.embed_tokens.weight"] == (248_320, 4096)
    assert sorted(p.name for p in folder.glob("*.safetensors"))[3] == "model.safetensors-00004-of-00004.safetensors"
    qwen = lab.load(folder)
    assert qwen.report is not None and qwen.report.ignored == [] and qwen.report.tensors == len(shapes)
    assert qwen.provenance.dtype == "bfloat16" and qwen.model.mtp is not None
    ours = our_logits(qwen)
    del qwen
    assert_close(ours, transformers_logits(folder))
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_35b_a3b_with_few_layers_experts_fused_and_apart(tmp_path: Path) -> None:
    raw, found = shortened("Qwen3.5-35B-A3B"), {}
    for layout, apart in (("fused", ""), ("apart", ".")):
        folder = tmp_path / layout
        shapes = write_checkpoint(folder, raw, shards=14, apart=apart, leading=FEW)
        experts = [name for name in shapes if ".experts." in name]
        assert len(experts) == (6 if layout == "fused" else 3 * 3 * 256)
        qwen = lab.load(folder)
        assert qwen.report is not None and qwen.report.ignored == [] and qwen.report.tensors == len(shapes)
        found[layout] = our_logits(qwen), qwen.model.mtp.layers[0].ffn.down_proj[31].clone()
        del qwen
        gc.collect()
        if layout == "fused":
            theirs = transformers_logits(folder)
        shutil.rmtree(folder)
    assert_close(found["fused"][0], theirs)
    for fused, apart in zip(found["fused"], found["apart"]):
        assert torch.equal(fused, apart)


def test_the_397bs_mtp_head_has_its_experts_one_by_one(tmp_path: Path) -> None:
    """All 512 of them and every tensor's name, at a small width; the layers below have theirs fused."""
    narrow = {
        "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
        "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "vocab_size": TOKENS,
        "eos_token_id": 0,
    }  # fmt: skip
    raw = shortened("Qwen3.5-397B-A17B", **narrow)
    raw["text_config"]["rope_parameters"] |= {"mrope_section": [2, 1, 1]}
    raw["vision_config"] |= {"hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 64}
    raw |= {"image_token_id": 1, "video_token_id": 2, "vision_start_token_id": 3, "vision_end_token_id": 4}
    found = []
    for layout, apart in (("published", r"mtp\."), ("fused", "")):
        shapes = write_checkpoint(tmp_path / layout, raw, shards=3, apart=apart)
        count = sum(name.startswith("mtp.") for name in shapes)
        assert count == (1553 if apart else 19)
        qwen = lab.load(tmp_path / layout)
        assert qwen.report is not None and qwen.report.ignored == []
        with torch.no_grad():
            ids = IDS.clamp(min=10)
            out = qwen.model(ids)
            found.append((out.logits, mtp_logits(qwen.model, out.hidden, ids)))
    for published, fused in zip(*found):
        assert published.isfinite().all() and published.float().std() > 0.1
        assert torch.equal(published, fused)
