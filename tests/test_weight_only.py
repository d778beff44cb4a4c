"""Weights held in int8 and int4 by torchao: what is rounded, what it weighs, and that the rest of the package works."""

import subprocess
import sys

import pytest
import torch
from small import small

import qwen35_lab as lab
from qwen35_lab.fp8 import is_rounded
from qwen35_lab.quantise import rounded
from qwen35_lab.weight_only import ExpertStack, stored_bytes, to_weight_only, weight_bytes

WIDE = {
    "hidden_size": 64, "head_dim": 16, "num_attention_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "intermediate_size": 96,
}  # fmt: skip
KINDS = ["int8", "int4"]


def plain_copy(qwen: lab.Qwen, kind: str) -> lab.Qwen:
    """What the rounded weights are, multiplied with the unit vectors, in ordinary tensors."""
    found = lab.load("nano")
    for name, parameter in found.model.named_parameters():
        if is_rounded(name):
            held = qwen.model
            for part in name.split(".")[:-1]:
                held = getattr(held, part)
            held = getattr(held, name.split(".")[-1])
            stack = list(held) if isinstance(held, ExpertStack) else [held]
            shown = [torch.nn.functional.linear(torch.eye(each.shape[1]), each).T for each in stack]
            parameter.data = torch.stack(shown) if isinstance(held, ExpertStack) else shown[0]
    return found


@pytest.mark.parametrize("kind, below", [("int8", 0.05), ("int4", 0.5)])
@torch.no_grad()
def test_the_nano_runs_with_rounded_matrices(kind, below):
    exact, found = lab.load("nano"), lab.load("nano", quantised=kind)
    ids = exact.encode("Mia likes tea. Tom likes soup. Now Mia likes cake.")
    gap = lab.gap(found.model(ids).logits, exact.model(ids).logits)
    assert 1e-4 < gap < below
    assert lab.gap(plain_copy(found, kind).model(ids).logits, found.model(ids).logits) < 1e-4
    assert f"matrices in {kind}" in str(found.provenance)
    assert f"42 matrices are held in {kind}" in repr(found.report)


@pytest.mark.parametrize("kind, each", [("int8", 1), ("int4", 0.5)])
def test_what_they_weigh(kind, each):
    exact, found = lab.load("nano"), lab.load("nano", quantised=kind)
    matrices = {n: p.numel() for n, p in exact.model.named_parameters() if is_rounded(n)}
    saved = weight_bytes(exact.model) - weight_bytes(found.model)
    most = sum(matrices.values()) * (4 - each)
    assert 0.9 * most < saved < most, "scales take a little of it"
    assert sum(p.numel() for p in found.model.parameters()) == sum(p.numel() for p in exact.model.parameters())


@torch.no_grad()
def test_int8_by_torchao_errs_as_much_as_our_own_rounding():
    exact, found = lab.load("nano"), lab.load("nano", quantised="int8")
    for name in ("layers.0.mixer.in_proj_qkv.weight", "layers.3.mixer.o_proj.weight"):
        w = exact.model.get_parameter(name)
        theirs, ours = (float((each - w).norm()) for each in (
            found.model.get_parameter(name).dequantize(), rounded(w, "int8", "channel")
        ))  # fmt: skip
        assert theirs == pytest.approx(ours, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_of_the_package_works_on_it(kind):
    found = lab.load("nano", quantised=kind)
    plain = found.generate("Mia likes", 8)
    assert found.generate("Mia likes", 8, speculative=lab.Drafts(2)) == plain
    assert found.twin().generate("Mia likes", 8) == plain
    assert found.model(found.encode("Mia likes")).logits.requires_grad, "also where gradients are on"
    trace = found.trace("Mia likes tea.", record=["*", "layers.0.mixer.state"])
    assert torch.isfinite(torch.as_tensor(trace["logits"])).all()
    with found.edited(lab.routing(top_k=1), lab.routing(0, mask=0)):
        assert found.generate("Mia likes", 2) is not None
    with pytest.raises(lab.InputError, match="load it without quantised="):
        found.save("never")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dense_model_and_its_head_and_eyes_stay(kind):
    qwen = small(**WIDE)
    before = {n: p.clone() for n, p in qwen.model.named_parameters()}
    to_weight_only(qwen.model, kind)
    for name, parameter in qwen.model.named_parameters():
        assert hasattr(parameter, "__tensor_flatten__") == is_rounded(name)
        if not is_rounded(name):
            assert torch.equal(parameter, before[name])


def test_what_does_not_fit_int4_stays_and_is_named():
    qwen = small(**{**WIDE, "intermediate_size": 40})  # down_proj has rows of 40, and the others 40 of them
    notes = to_weight_only(qwen.model, "int4")
    assert "matrices do not fit int4 and stay as they were, the first layers.0.ffn.gate_proj.weight" in notes[1]
    assert stored_bytes(qwen.model.get_parameter("layers.0.ffn.down_proj.weight")) == 64 * 40 * 4


def test_what_is_refused(monkeypatch):
    with pytest.raises(lab.InputError, match="no weights in 'fp4' here; use quantised='int8' or 'int4'"):
        lab.load("nano", quantised="fp4")
    with torch.device("meta"):
        model = lab.model.build(lab.load("recall").config)
    with pytest.raises(lab.InputError, match="Weights in int4 are for CPUs here, and this is meta"):
        to_weight_only(model, "int4")
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(lab.InputError, match=r"need torchao 0\.18 or later .*pip install torchao"):
        lab.load("nano", quantised="int8")


def test_importing_torchao_after_us_is_quiet():
    """On a machine without CUDA it has three lines to say, which would stand in every notebook."""
    code = "import qwen35_lab, torchao.quantization, torchao.prototype.quantization.int4"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (said.returncode, said.stderr) == (0, "")
