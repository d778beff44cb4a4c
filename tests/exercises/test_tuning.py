"""The checkers of notebook 15: right answers pass however they are written, and a broken file has one fault."""

import re

import pytest
import torch
from answers import written
from small import DENSE, MOE, small

import qwen35_lab as lab
from qwen35_lab.exercises.broken_file import FAULTS, break_file
from qwen35_lab.exercises.tuning import LORA_MISTAKES, NAME_MISTAKES, adapter_cases, lora_inputs

LORA = """
    def lora_linear(x, W, A, B, alpha):
        return x @ W.T + alpha / A.shape[0] * (x @ A.T @ B.T)
"""


def merged_first(x, W, A, B, alpha):
    return torch.nn.functional.linear(x, W + alpha / len(A) * B @ A)


@pytest.mark.parametrize("answer", [written(LORA), merged_first])
def test_a_right_layer_passes_however_it_is_written(answer):
    assert (verdict := lab.check("15.1", answer)), verdict


WRONG_LAYERS = {
    "The scale is missing": [("alpha / A.shape[0] * ", "")],
    "divide it by r": [("alpha / A.shape[0]", "alpha")],
    "upside down": [("alpha / A.shape[0]", "A.shape[0] / alpha")],
    "The frozen weight is missing": [("x @ W.T + ", "")],
    "The whole sum is scaled": [("x @ W.T + alpha / A.shape[0] * (", "alpha / A.shape[0] * (x @ W.T + ")],
    "r is taken from another axis": [("A.shape[0]", "A.shape[1]")],
    "rank-stabilised": [("A.shape[0]", "A.shape[0] ** 0.5")],
    "not a mistake this checker knows": [("x @ W.T", "2 * x @ W.T")],
    "It raises RuntimeError": [("x @ W.T", "x @ W")],
}


@pytest.mark.parametrize("diagnosis, edits", WRONG_LAYERS.items(), ids=list(WRONG_LAYERS))
def test_a_wrong_layer_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("15.1", written(LORA, *edits))
    assert not verdict and diagnosis in verdict.message, verdict


def test_every_mistake_that_the_checker_knows_is_made_here():
    for mistake in LORA_MISTAKES:
        assert sum(words in mistake.diagnosis for words in WRONG_LAYERS) == 1, mistake.diagnosis


def test_the_oracle_is_what_peft_computes():
    import peft

    for x, W, A, B, alpha in lora_inputs():
        layer = torch.nn.Sequential(torch.nn.Linear(W.shape[1], W.shape[0], bias=False))
        peft.LoraModel(layer, peft.LoraConfig(r=A.shape[0], lora_alpha=alpha, target_modules=["0"]), "default")
        with torch.no_grad():
            for name, value in (("base_layer", W), ("lora_A.default", A), ("lora_B.default", B)):
                layer.get_submodule(f"0.{name}").weight.copy_(value)
            torch.testing.assert_close(layer(x), lab.exercises.tuning.lora_linear(x, W, A, B, alpha))


# ------------------------------------------------------------------------- 15.2


def by_a_pattern(names):
    alone = r"^(base_model\.model\.)model\.(?!language_model|visual)"
    return [re.sub(alone, r"\1model.language_model.", name) for name in names]


def test_right_names_pass_and_the_mistakes_differ_from_them_and_from_each_other():
    assert (verdict := lab.check("15.2", by_a_pattern)), verdict
    assert lab.check("15.2", lambda names: tuple(by_a_pattern(names)))
    given = [tuple(mistake.answer(adapter_cases())) for mistake in NAME_MISTAKES]
    assert len({*given, tuple(by_a_pattern(adapter_cases()))}) == len(NAME_MISTAKES) + 1


def test_an_unknown_mistake_in_the_names_is_shown():
    verdict = lab.check("15.2", lambda names: [*by_a_pattern(names)[:-1], "x"])
    assert not verdict and "1 of 18 names are wrong" in verdict.message, verdict


# ------------------------------------------------------------------------- 15.3


@pytest.mark.parametrize("seed", range(len(FAULTS)))
def test_one_weight_is_wrong_by_much_and_the_others_by_their_rounding(seed, tmp_path):
    qwen = small(MOE, linear_value_head_dim=6)  # out_proj is square
    broken = break_file(qwen, tmp_path / "broken", seed)
    off = {n: lab.gap(p, qwen.model.get_parameter(n)) for n, p in broken.model.named_parameters()}
    worst = max(off, key=off.get)
    assert off.pop(worst) > 0.1 and max(off.values()) < 0.005
    verdict = lab.check("15.3", (worst, FAULTS[seed].word), given=broken)
    assert verdict and FAULTS[seed].story in verdict.message, verdict
    assert not lab.check("15.3", (worst, FAULTS[seed - 1].word), given=broken)


def test_a_model_without_a_place_for_a_fault_says_so(tmp_path):
    with pytest.raises(lab.InputError, match="no place for the fault of seed 0"):
        break_file(small(DENSE), tmp_path / "broken", 0)


def test_another_model_is_no_broken_one():
    assert "`break_file` returned" in lab.check("15.3", ("a", "b"), given=small()).message


def test_a_certificate_says_what_was_found_and_only_then(tmp_path):
    right = lab.exercises.Verdict("15.3", True, "`layers.0.mixer.conv.weight`, reversed: <so it is>.")
    page = lab.exercises.certificate(right, tmp_path / "page.html", name="Ann & Bo").read_text(encoding="utf-8")
    assert "Ann &amp; Bo" in page and "&lt;so it is&gt;" in page and "15.3" in page
    assert "Somebody who gave no name" in lab.exercises.certificate(right, tmp_path / "page.html").read_text("utf-8")
    for wrong in (lab.exercises.Verdict("15.3", False, "no"), True, None):
        with pytest.raises(lab.InputError, match="nothing to certify"):
            lab.exercises.certificate(wrong, tmp_path / "other.html")
