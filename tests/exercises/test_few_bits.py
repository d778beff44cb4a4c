"""The checkers of notebook 10: right answers pass, and each mistake is told from the others."""

import pytest
import torch
from answers import written
from small import DENSE, small

import qwen35_lab as lab
from qwen35_lab.exercises.few_bits import HAND_MISTAKES, QUANTISE_MISTAKES, TWELVE, VALUES, quantise, quantise_inputs
from qwen35_lab.quantise import quantise as package

# ------------------------------------------------------------------------- 10.1  by hand


def test_what_pytorch_makes_of_the_eight_numbers_is_right():
    right = torch.tensor(VALUES).to(torch.float8_e4m3fn).float()
    assert lab.check("10.1", right) and lab.check("10.1", right.tolist())


def test_the_mistakes_by_hand_differ_and_none_is_right():
    lists = [tuple(mistake) for _, mistake in HAND_MISTAKES]
    assert len(set(lists)) == len(lists)
    assert tuple(torch.tensor(VALUES).to(torch.float8_e4m3fn).tolist()) not in lists


@pytest.mark.parametrize("answer, words", [
    (None, "Not written yet"), ([1.0], "you have 1"), (3, "Write a list of 8 numbers"),
    ([0.0] * 8, "0 of 8 are right"), (["a"] * 8, "Write a list of 8 numbers"), ([float("nan")] * 8, "0 of 8 are right"),
])  # fmt: skip
def test_what_is_no_list_of_eight_numbers(answer, words):
    verdict = lab.check("10.1", answer)
    assert not verdict and words in verdict.message, verdict


# ------------------------------------------------------------------------- 10.2  a block quantiser

QUANTISER = """
    def quantise(w, block):
        rows, columns = w.shape
        tiles = w.reshape(rows // block, block, columns // block, block)
        most = tiles.abs().amax((1, 3))
        scale = torch.where(most == 0, torch.ones_like(most), most / 127)
        codes = (tiles / scale[:, None, :, None]).round()
        return codes.reshape(rows, columns), scale
"""


def in_a_loop(w, block):
    rows, columns = w.shape
    codes, scale = torch.empty(rows, columns, dtype=torch.int8), torch.ones(rows // block, columns // block)
    for i in range(rows // block):
        for j in range(columns // block):
            at = slice(i * block, (i + 1) * block), slice(j * block, (j + 1) * block)
            scale[i, j] = float(w[at].abs().max()) / 127 or 1.0
            codes[at] = (w[at] / scale[i, j]).round().to(torch.int8)
    return codes, scale


@pytest.mark.parametrize("answer", [written(QUANTISER), in_a_loop])
def test_a_right_quantiser_passes_however_it_is_written(answer):
    verdict = lab.check("10.2", answer)
    assert verdict and "0.50 of its block's step" in verdict.message, verdict


def test_the_oracle_is_the_packages_quantiser():
    for w, block in quantise_inputs():
        codes, scale = quantise(w, block)
        found = package(w, "int8", (block, block))
        assert torch.equal(codes, found.codes) and torch.equal(scale, found.scale)


WRONG = {
    "each block has its own": [("tiles.abs().amax((1, 3))", "tiles.abs().amax().expand(*tiles.shape[::2])")],
    "row of blocks share": [("amax((1, 3))", "amax((1, 2, 3))[:, None].expand(*tiles.shape[::2])")],
    "column of blocks share": [("amax((1, 3))", "amax((0, 1, 3))[None].expand(*tiles.shape[::2])")],
    "turned over": [("columns), scale", "columns), 1 / scale")],
    "cut off toward zero": [(".round()", ".trunc()")],
    "rounded down": [(".round()", ".floor()")],
    "no whole numbers": [(".round()", "")],
    "return the weights again": [("return codes", "codes = codes * scale[:, None, :, None]; return codes")],
    "divide by 128": [("/ 127", "/ 128")],
    "divide by 255": [("/ 127", "/ 255")],
    "without its sign": [(".abs()", "")],
    "mean of |w|": [("amax((1, 3))", "mean((1, 3))")],
    "becomes NaN": [("torch.where(most == 0, torch.ones_like(most), most / 127)", "most / 127")],
    "not a mistake this checker knows": [("/ 127", "/ 100")],
    "Your function must take two arguments": [("(w, block)", "(w)")],
    "returns nothing yet": [("return codes.reshape(rows, columns), scale", "return None")],
}  # fmt: skip


@pytest.mark.parametrize("diagnosis, edits", WRONG.items(), ids=list(WRONG))
def test_a_wrong_quantiser_is_told_what_is_wrong(diagnosis, edits):
    verdict = lab.check("10.2", written(QUANTISER, *edits))
    assert not verdict and diagnosis in verdict.message, verdict


def test_every_mistake_that_the_checker_knows_is_made_here():
    for mistake in QUANTISE_MISTAKES:
        assert sum(words in mistake.diagnosis for words in WRONG) == 1, mistake.diagnosis


# ------------------------------------------------------------------------- 10.3  which tensors

OFFICIAL = ["in_proj_qkv", "in_proj_z", "out_proj", "attention q", "shared expert", "experts"]


def test_the_official_choice_passes_and_so_does_another():
    for answer in (OFFICIAL, {*OFFICIAL, "router"}):
        verdict = lab.check("10.3", answer)
        assert verdict and "What you left out costs" in verdict.message, verdict


def test_a_choice_is_judged_by_the_model_it_is_about():
    verdict = lab.check("10.3", ["experts"], given=small(DENSE))
    assert not verdict and "has no tokenizer" in verdict.message


@pytest.mark.parametrize("answer, words", [
    (None, "Not written yet"), ([], "Not written yet"), ("experts", "Write a list of names"),
    ([1, 2], "Write a list of names"), (list(TWELVE), "Leave out `norms`"), (["experts"], "saves too little"),
])  # fmt: skip
def test_a_choice_that_is_none_or_too_much_or_too_little(answer, words):
    verdict = lab.check("10.3", answer)
    assert not verdict and words in verdict.message, verdict
