"""The official FP8 layout: read as transformers reads it, written as it can read it, refused where unknown."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from small import DENSE, MOE, small
from transformers.integrations.finegrained_fp8 import Fp8Dequantize, Fp8Quantize
from transformers.utils.quantization_config import FineGrainedFP8Config

import qwen35_lab as lab
from qwen35_lab.checkpoint import write_model
from qwen35_lab.fp8 import BlockFP8, is_rounded, parse_fp8
from qwen35_lab.names import name_map
from qwen35_lab.quantise import dequantise, quantise

IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]])
MTP = {**MOE, "mtp_num_hidden_layers": 1}
transformers.logging.set_verbosity_error()


class Quantiser:
    """As much of transformers' quantiser as its two operations ask for."""

    quantization_config = FineGrainedFP8Config()


def written(folder: Path, raw: dict[str, Any] = DENSE, block: tuple[int, int] = (8, 8)) -> lab.Qwen:
    qwen = small(raw)
    write_model(qwen.model, qwen.config, folder, fp8_block=block)
    return qwen


def change(folder: Path, tensors=lambda found: found, **config: Any) -> None:
    """Spoil a folder: its tensors, or its `quantization_config`."""
    file = folder / "model.safetensors"
    save_file(tensors(load_file(file)), file, metadata={"format": "pt"})
    words = json.loads((folder / "config.json").read_text())
    words["quantization_config"] |= config
    (folder / "config.json").write_text(json.dumps(words))


@torch.no_grad()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model(input_ids=IDS).logits


@pytest.mark.parametrize("shape", [(256, 384), (2, 128, 256)])
def test_codes_and_scales_are_those_of_transformers(shape):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    theirs = Fp8Quantize(Quantiser())._quantize_one("x.weight", w)
    ours = quantise(w, "e4m3", (128, 128))
    torch.testing.assert_close(ours.scale, theirs["x.weight_scale_inv"], rtol=1e-6, atol=0)
    same = ours.codes.to(torch.float8_e4m3fn).view(torch.uint8) == theirs["x.weight"].view(torch.uint8)
    assert same.float().mean() > 0.999, "they multiply by 1/scale, so that a tie may fall the other way"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dequantised_as_transformers_does_it_and_as_a_loop_in_float64(dtype):
    theirs = Fp8Quantize(Quantiser())._quantize_one("x.weight", torch.randn(256, 384))
    codes, scale = theirs["x.weight"], theirs["x.weight_scale_inv"]
    found = dequantise(codes, scale, (128, 128), dtype)
    referee = torch.stack([
        torch.cat([codes[i, 128 * b : 128 * (b + 1)].double() * scale[i // 128, b].double() for b in range(3)])
        for i in range(256)
    ])  # fmt: skip
    torch.testing.assert_close(found.double(), referee, rtol=torch.finfo(dtype).eps, atol=0)
    if dtype != torch.float64:
        assert torch.equal(found, Fp8Dequantize(Quantiser())._dequantize_one(codes, scale, dtype))


@pytest.mark.parametrize("raw", [DENSE, MOE, MTP], ids=["dense", "experts", "with an MTP head"])
def test_what_we_write_and_read_gives_transformers_logits(raw, tmp_path):
    written(tmp_path / "x", raw)
    ours = lab.load(tmp_path / "x")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "x", experts_implementation="eager", dtype=torch.float32
    ).eval()
    torch.testing.assert_close(logits(ours.model), logits(theirs), atol=1e-5, rtol=1e-5)


def test_the_nano_with_eyes_is_read_by_transformers_too(tmp_path):
    lab.save(lab.load("nano"), tmp_path / "x", quantised="fp8")
    ours = lab.load(tmp_path / "x")
    theirs = transformers.AutoModelForImageTextToText.from_pretrained(
        tmp_path / "x", experts_implementation="eager", dtype=torch.float32
    ).eval()
    torch.testing.assert_close(logits(ours.model), logits(theirs), atol=1e-4, rtol=1e-5)
    assert ours.chat("Which is larger, 463 or 229?").content == lab.load("nano").chat(
        "Which is larger, 463 or 229?"
    ).content  # fmt: skip


@pytest.mark.parametrize("raw", [DENSE, MTP])
def test_it_is_the_dequantised_checkpoint(raw, tmp_path):
    """The same folder with its matrices dequantised by hand, and no word of FP8, gives the same logits."""
    written(tmp_path / "x", raw)
    found = lab.load(tmp_path / "x")
    tensors = load_file(tmp_path / "x/model.safetensors")
    plain = {name: t for name, t in tensors.items() if not name.endswith("_scale_inv")}
    for name in [name for name in plain if f"{name}_scale_inv" in tensors]:
        plain[name] = dequantise(plain[name], tensors[f"{name}_scale_inv"], (8, 8), torch.float32)
    words = json.loads((tmp_path / "x/config.json").read_text())
    del words["quantization_config"]
    (tmp_path / "y").mkdir()
    (tmp_path / "y/config.json").write_text(json.dumps(words))
    save_file(plain, tmp_path / "y/model.safetensors", metadata={"format": "pt"})
    assert torch.equal(logits(found.model), logits(lab.load(tmp_path / "y").model))


def test_beside_a_model_in_bfloat16_the_scales_are_in_it_too(tmp_path):
    """As in official files. The codes are made with the rounded scale, so that nothing is lost twice."""
    qwen = lab.from_config(DENSE, dtype="bfloat16")
    lab.save(qwen, tmp_path / "x", quantised="fp8")
    tensors = load_file(tmp_path / "x/model.safetensors")
    assert {t.dtype for name, t in tensors.items() if name.endswith("_scale_inv")} == {torch.bfloat16}
    found = lab.load(tmp_path / "x")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "x", dtype=torch.bfloat16)
    name = "layers.0.mixer.in_proj_z.weight"
    exact, read = (each.model.get_parameter(name) for each in (qwen, found))
    assert torch.equal(read, theirs.get_parameter("model.layers.0.linear_attn.in_proj_z.weight"))
    assert (read - exact).norm() / exact.norm() < 0.03


def test_only_the_matrices_of_layers_are_in_fp8(tmp_path):
    qwen = written(tmp_path / "x", MTP)
    tensors = load_file(tmp_path / "x/model.safetensors")
    small_ones = {name for name, t in tensors.items() if t.dtype == torch.float8_e4m3fn}
    assert {name + "_scale_inv" for name in small_ones} == {name for name in tensors if name.endswith("_scale_inv")}
    kept = {name.split(".")[-2] for name in tensors if name.endswith(".weight") and name not in small_ones}
    assert kept == {
        "embed_tokens", "lm_head", "norm", "input_layernorm", "post_attention_layernorm", "q_norm", "k_norm", "conv1d",
        "in_proj_a", "in_proj_b", "gate", "shared_expert_gate", "fc", "pre_fc_norm_embedding", "pre_fc_norm_hidden",
    }  # fmt: skip
    assert any(".experts.5.down_proj.weight" in name for name in small_ones), "experts stand one by one"
    assert {name for name in name_map(qwen.config.text) if is_rounded(name)}, "and by our names there are some"
    listed = json.loads((tmp_path / "x/config.json").read_text())["quantization_config"]["modules_to_not_convert"]
    assert {"lm_head", "mtp.fc", "model.layers.0.mlp.gate", "model.layers.0.linear_attn.conv1d"} < set(listed)
    assert not any(f"{name}.weight" in small_ones for name in listed)


def test_stacked_experts_in_fp8_are_read_too(tmp_path):
    """The layout of a file in which experts were not taken apart."""
    written(tmp_path / "x", MOE)
    before = logits(lab.load(tmp_path / "x").model)

    def taken(tensors, names):
        """Out of the file, as bytes where it is FP8: PyTorch cannot join that type."""
        found = [tensors.pop(name) for name in names]
        return [t.view(torch.uint8) if t.dtype == torch.float8_e4m3fn else t for t in found]

    def stacked(tensors):
        for stem in (f"model.layers.{n}.mlp.experts" for n in range(4)):
            for end in ("", "_scale_inv"):
                gate, up, down = (
                    torch.stack(taken(tensors, [f"{stem}.{e}.{part}_proj.weight{end}" for e in range(6)]))
                    for part in ("gate", "up", "down")
                )
                for name, t in (("gate_up_proj", torch.cat((gate, up), 1)), ("down_proj", down)):
                    tensors[f"{stem}.{name}{end}"] = t if end else t.view(torch.float8_e4m3fn)
        return tensors

    change(tmp_path / "x", stacked)
    assert torch.equal(logits(lab.load(tmp_path / "x").model), before)


def test_the_report_counts_stored_bytes_and_says_what_was_done(tmp_path):
    written(tmp_path / "x")
    report = lab.load(tmp_path / "x").report
    tensors = load_file(tmp_path / "x/model.safetensors")
    assert report.bytes == sum(t.numel() * t.element_size() for t in tensors.values())
    assert report.tensors == len(tensors)
    assert "were in FP8, with a scale for each 8 × 8 block: dequantised" in repr(report)


def test_a_loaded_fp8_model_is_saved_without_fp8(tmp_path):
    written(tmp_path / "x")
    found = lab.load(tmp_path / "x")
    lab.save(found, tmp_path / "y")
    assert "quantization_config" not in json.loads((tmp_path / "y/config.json").read_text())
    assert torch.equal(logits(lab.load(tmp_path / "y").model), logits(found.model))


def test_the_dtype_that_was_asked_for(tmp_path):
    written(tmp_path / "x")
    wide = lab.load(tmp_path / "x", dtype="float64").model
    for name in ("layers.0.mixer.in_proj_z.weight", "embed_tokens.weight"):
        assert wide.get_parameter(name).dtype == torch.float64
    narrow = lab.load(tmp_path / "x", dtype="bfloat16").model
    exact = wide.get_parameter("layers.0.mixer.in_proj_z.weight")
    assert torch.equal(narrow.get_parameter("layers.0.mixer.in_proj_z.weight"), exact.float().bfloat16())


Z = "model.layers.0.linear_attn.in_proj_z.weight"
SPOILT = {
    f"{Z} is in FP8 without {Z}_scale_inv": lambda t: {n: x for n, x in t.items() if n != Z + "_scale_inv"},
    rf"{Z}_scale_inv has shape \[3, 3\], expected \[6, 3\]": lambda t: t | {Z + "_scale_inv": torch.ones(3, 3)},
    f"{Z} has a scale, but is not in FP8": lambda t: t | {Z: t[Z].float()},
    f"{Z}_scale_inv is not part": lambda t: {n: x for n, x in t.items() if n != Z},
    "promises FP8 weights, and there are none": lambda t: {
        n: x.float() for n, x in t.items() if not n.endswith("_scale_inv")
    },
}


@pytest.mark.parametrize("words", SPOILT)
def test_a_spoilt_folder_says_what_is_wrong(words, tmp_path):
    written(tmp_path / "x")
    change(tmp_path / "x", SPOILT[words])
    with pytest.raises(lab.CheckpointError, match=words):
        lab.load(tmp_path / "x")


def test_fp8_without_a_word_of_it_in_the_config_is_refused(tmp_path):
    written(tmp_path / "x")
    words = json.loads((tmp_path / "x/config.json").read_text())
    del words["quantization_config"]
    (tmp_path / "x/config.json").write_text(json.dumps(words))
    with pytest.raises(lab.CheckpointError, match=r"is in FP8, and config\.json has no"):
        lab.load(tmp_path / "x")


REFUSED = [
    ("quant_method", "gptq"), ("quant_method", "awq"), ("quant_method", "compressed-tensors"), ("quant_method", None),
    ("fmt", "e5m2"), ("activation_scheme", "static"), ("scale_fmt", "ue8m0"), ("expert_dtype", "fp4"),
    ("modules_to_convert", ["embed_tokens"]), ("weight_block_size", None), ("weight_block_size", [128]),
    ("weight_block_size", [0, 128]), ("weight_block_size", "128"), ("modules_to_not_convert", "lm_head"),
]  # fmt: skip


@pytest.mark.parametrize("field, value", REFUSED)
def test_other_kinds_of_quantisation_are_refused_by_the_name_of_the_field(field, value, tmp_path):
    written(tmp_path / "x")
    change(tmp_path / "x", **{field: value})
    with pytest.raises(lab.ConfigError, match=f"`quantization_config.{field}`"):
        lab.load(tmp_path / "x")


def test_what_the_config_says_is_read():
    assert parse_fp8({"quant_method": "fp8", "weight_block_size": [64, 32], "ignored_layers": ["a"]}) == BlockFP8(
        (64, 32), ("a",)
    )  # fmt: skip
    assert parse_fp8({"quant_method": "fp8"}).block == (128, 128)


def test_saving_in_something_else(tmp_path):
    with pytest.raises(lab.InputError, match="not written in 'int8'; use quantised='fp8'"):
        lab.save(small(), tmp_path / "x", quantised="int8")
    assert not (tmp_path / "x").exists()
