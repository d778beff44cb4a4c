"""What few bits cost: outliers, kinds of tensors, fading, and the size of checkpoints."""

import math

import pytest
import torch
from small import DENSE, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis.forgetting import WAYS
from qwen35_lab.analysis.outliers import octaves
from qwen35_lab.analysis.rounding import KINDS, Bench, rounded_weight, with_rounded
from qwen35_lab.fp8 import is_rounded
from qwen35_lab.names import name_map

PROMPTS = [[3, 1, 4, 1, 5, 9], [2, 6, 5, 3, 5, 8, 9]]

# ------------------------------------------------------------------------- outliers


def test_block_scales_help_only_where_there_are_outliers():
    found = lab.analysis.spoilt_by_outliers(("e4m3", "int8", "int4"), strengths=(1, 100, 100_000))
    e4, i8, i4 = found.output
    whole, block, group = 0, 2, 3
    assert e4[whole, 0] == pytest.approx(0.0265, abs=0.001) == pytest.approx(float(e4[block, 0]), abs=0.001)
    assert i4[group, 0] == pytest.approx(0.118, abs=0.003), "int4 in groups of 128"
    assert i8[whole, 1] > 5 * i8[group, 1] and e4[whole, 1] < 1.1 * e4[group, 1], "fp8 bears what int8 cannot"
    assert e4[whole, 2] > 2 * e4[group, 2], "until they are very large"


def test_the_error_is_of_the_small_weights_and_lies_in_the_blocks_with_outliers():
    tile = lab.analysis.tile(256, 1, seed=3)
    found = lab.analysis.spoilt_by_outliers(("int8",), (1_000,), ("block",), tile)
    w = tile.spoiled(1_000)
    assert w[tile.outliers].abs().item() == 1_000 and torch.equal(w[~tile.outliers], tile.weights[~tile.outliers])
    row, column = (int(n) for n in tile.outliers.nonzero()[0])
    halves = found.off[0, 0, 0].unflatten(0, (2, 12)).unflatten(2, (2, 12)).mean((1, 3))
    spoilt = halves[row // 128, column // 128]
    assert spoilt > 5 * (halves.sum() - spoilt) / 3


def test_octaves_count_every_weight_once():
    w = torch.tensor([0.0, 0.001, 0.5, 0.75, 1.0, 3.0, 100.0, -0.5])
    assert octaves(w, -1, 2).tolist() == pytest.approx([2 / 8, 3 / 8, 1 / 8, 1 / 8, 1 / 8])
    assert octaves(torch.randn(1000), -6, 2).sum().item() == pytest.approx(1)


def test_a_tile_without_room():
    with pytest.raises(lab.InputError, match="5 outliers do not fit a tile of 2 × 2"):
        lab.analysis.tile(2, 5)


# ------------------------------------------------------------------------- kinds of tensors


@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense", "experts"])
def test_every_parameter_has_one_kind(raw):
    qwen = small({**raw, "mtp_num_hidden_layers": 1})
    kinds = lab.analysis.kinds_of(qwen)
    names = [name for names in kinds.values() for name in names]
    assert sorted(names) == sorted(n for n, _ in qwen.model.named_parameters() if not n.startswith("mtp."))
    assert set(kinds) < set(KINDS)
    for found in kinds.values():  # a kind is wholly in FP8 or not at all
        assert len({is_rounded(name) for name in found}) == 1
    assert {n for n in names if is_rounded(n)} == {n for n in name_map(qwen.config.text) if is_rounded(n)} - {
        n for n in name_map(qwen.config.text) if n.startswith("mtp.")
    }  # fmt: skip


def test_harm_is_that_of_the_rounded_model_and_leaves_the_model_alone():
    qwen = small(MOE)
    before = {n: p.clone() for n, p in qwen.model.named_parameters()}
    bench = Bench(qwen, PROMPTS)
    found = bench.harm("experts", "int4")
    kl, moved = bench.against(with_rounded(qwen, bench.kinds["experts"], "int4"))
    assert (found.kl, found.moved) == (kl, moved) and found.kl > 0 and found.official
    assert bench.harm("experts", "bf16").kl < 0.01 * found.kl
    assert bench.against(bench.twin) == (0, 0), "the bench is as it was"
    assert all(torch.equal(before[n], p) for n, p in qwen.model.named_parameters())
    weights = torch.cat([before[name].flatten(1) for name in bench.kinds["experts"]], 1).numel()
    assert found.weights == weights and found.before == 4 * weights
    rows = sum(before[name].shape[:-1].numel() for name in bench.kinds["experts"])
    assert found.bytes == weights / 2 + 4 * rows, "four bits, and a scale in float32 for each short row"


def test_kl_is_the_definition():
    qwen = small()
    bench = Bench(qwen, [PROMPTS[0]], new_tokens=3)
    other = with_rounded(qwen, bench.kinds["norms"], "int4")
    answer = qwen.generate(PROMPTS[0], 3)
    read = torch.cat((torch.tensor(PROMPTS[:1]), answer[None]), 1)
    with torch.no_grad():  # the last token of the prompt chooses the first of the answer
        p, q = (each.model(read).logits[0, 5:8].double().softmax(-1) for each in (qwen, other))
    assert torch.equal(p.argmax(-1), answer), "what is judged are the tokens that it chose"
    assert bench.against(other)[0] == pytest.approx(float((p * (p / q).log()).sum(-1).mean()), rel=1e-6)


def test_all_kinds_together_do_not_do_less_than_the_least():
    bench = Bench(small(MOE), PROMPTS)
    alone = [bench.harm(kind, "int4").kl for kind in bench.kinds]
    assert bench.harm(list(bench.kinds), "int4").kl > min(alone)
    assert len(lab.analysis.rounding_harm(small(MOE), PROMPTS, ("int8",))) == len(bench.kinds)


def test_shapes_of_every_kind_are_rounded_and_kept():
    for shape in ((7,), (12, 1, 4), (6, 8), (3, 4, 8)):
        w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        for fmt in ("bf16", "e4m3", "int8", "int4"):
            left, took = rounded_weight(w, fmt)
            assert left.shape == w.shape and 0 < (left - w).norm() / w.norm() < 0.3
            assert 0 < took <= w.nbytes + 4 * len(w)


def test_what_cannot_be_measured():
    bench = Bench(small(), PROMPTS)
    with pytest.raises(lab.InputError, match="no 'experts'; its kinds of tensors are embeddings and head"):
        bench.harm("experts", "int8")
    with pytest.raises(lab.InputError, match="nothing to read"):
        Bench(small(), [])
    with pytest.raises(lab.InputError, match="no answer; pass 1 or more"):
        Bench(small(), PROMPTS, new_tokens=0)


# ------------------------------------------------------------------------- fading


def test_alpha_in_bf16_never_forgets():
    found = lab.analysis.fading(lab.analysis.random_decays(4_096))
    left = dict(zip(WAYS, found.left[:, -1].tolist(), strict=True))
    assert left["all in fp32"] == pytest.approx(float(found.exact[-1]), rel=1e-4) and left["all in fp32"] < 0.2
    assert left["g rounded to bf16"] == pytest.approx(left["all in fp32"], rel=0.02)
    assert left["α rounded to bf16"] == 1 and found.distinct == 1 and found.in_float32 > 3_000
    assert left["state rounded to bf16"] == 1


def test_where_a_half_life_becomes_endless():
    for fmt in ("bf16", "fp16"):
        end = lab.analysis.longest_half_life(fmt)
        below, above = lab.analysis.half_life_after([0.999 * end, 1.001 * end], fmt)
        assert math.isfinite(below) and above == math.inf
    assert lab.analysis.longest_half_life("bf16") == pytest.approx(354.5, abs=0.1)
    meant = [1, 10, 100, 1_000, 10_000]
    kept = lab.analysis.half_life_after(meant, "bf16", logarithm=True)
    assert all(abs(a / b - 1) < 2**-8 for a, b in zip(kept, meant, strict=True)), "the logarithm keeps it"


# ------------------------------------------------------------------------- sizes


def test_a_checkpoint_weighs_what_will_it_fit_says():
    for name in ("Qwen3.5-0.8B", "Qwen3.5-35B-A3B"):
        config = lab.load_config(name)
        assert lab.analysis.weigh(config, "bfloat16").bytes == lab.family()[name]["weight_bytes"]
        for dtype in lab.analysis.PRECISIONS:
            fit = lab.analysis.will_it_fit(config, dtype)
            weights = sum(fit.terms[term] for term in ("text weights", "vision tower", "MTP head"))
            assert lab.analysis.weigh(config, dtype).bytes == weights


def test_bits_are_a_mean_with_scales_and_what_is_kept():
    small, large = (lab.analysis.weigh(lab.load_config(name), "int4") for name in ("0.8B", "397B-A17B"))
    assert 4 < large.bits < 4.5 < 8 < small.bits < 10
    assert large.bits == 8 * sum(large.parts.values()) / large.parameters
    with pytest.raises(lab.InputError, match="dtype 'e4m3' is not known"):
        lab.analysis.weigh(lab.load_config("0.8B"), "e4m3")


def test_the_count_is_that_of_a_file(tmp_path):
    from safetensors.torch import load_file

    qwen = lab.load("nano", dtype="bfloat16")
    lab.save(qwen, tmp_path / "x", quantised="fp8")
    tensors = load_file(tmp_path / "x/model.safetensors")
    stored = sum(t.numel() * t.element_size() for t in tensors.values())
    assert lab.analysis.weigh(qwen.config, "fp8").bytes == stored
