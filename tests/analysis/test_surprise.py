"""Surprise: −log p of an answer's tokens, and what a change costs."""

import math

import pytest
import torch

import qwen35_lab as lab
from qwen35_lab.analysis import surprise, surprise_change


@pytest.fixture(scope="module")
def qwen():
    return lab.load("recall")


def test_it_is_the_log_probability_of_every_token_of_the_answer(qwen):
    prompt, answer = "cat red . dog blue . ? cat", "red . ? dog"
    found = surprise(qwen, prompt, answer)
    ids = torch.cat((qwen.encode(prompt), qwen.encode(answer)), dim=1)
    with torch.no_grad():
        p = qwen.model(ids).logits[0].double().softmax(-1)
    before = qwen.encode(prompt).shape[1]
    own = [-math.log(p[n - 1, ids[0, n]]) for n in range(before, ids.shape[1])]
    assert found.tolist() == pytest.approx(own, rel=1e-4) and found.dtype == torch.float64
    assert found[0] < surprise(qwen, prompt, "blue")[0]


def test_an_edit_counts(qwen):
    prompt = "cat red . dog blue . cat green . ? cat"
    with qwen.edited(lab.edit("layers.*.mixer.erase").zero()):
        without = surprise(qwen, prompt, "green")
    assert without[0] > surprise(qwen, prompt, "green")[0]


def test_a_change_is_counted_text_by_text():
    before = [torch.tensor([1.0, 3.0]).double(), torch.tensor([2.0]).double()]
    after = [torch.tensor([2.0, 3.0]).double(), torch.tensor([5.0]).double()]
    found = surprise_change(before, after)
    assert (found.before, found.after, found.texts) == (pytest.approx(2), pytest.approx(10 / 3), 2)
    assert found.change == pytest.approx((0.5 + 3) / 2)
    assert found.error == pytest.approx(2.5 / 2)  # of 0.5 and 3: half of what they are apart
    assert "2.000 → 3.333 nats a token, +1.7500 ± 1.2500" in repr(found)


def test_what_cannot_be_compared_is_refused(qwen):
    with pytest.raises(lab.InputError, match="not empty"):
        surprise(qwen, "cat red", "")
    one = [torch.zeros(3)]
    for before, after in ((one, one), (2 * one, [*one, torch.zeros(2)]), ([], [])):
        with pytest.raises(lab.InputError, match="same answers"):
            surprise_change(before, after)
