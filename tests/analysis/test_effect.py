"""Effects of an edit, against sums written out in plain Python."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import IDS, small

import qwen35_lab as lab
from qwen35_lab.analysis import effect

LOGITS = st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30)), min_size=2, max_size=12)


def logp(scores: list[float]) -> list[float]:
    total = math.log(math.fsum(math.exp(x) for x in scores))
    return [x - total for x in scores]


@given(pairs=LOGITS, answer=st.integers(0, 11))
def test_numbers_are_the_sums_of_the_definitions(pairs, answer):
    before, after = ([float(x) for x in column] for column in zip(*pairs, strict=True))
    answer %= len(before)
    p, q = logp(before), logp(after)
    found = effect(torch.tensor(before, dtype=torch.float64), torch.tensor(after, dtype=torch.float64), answer)
    assert found.delta_logp == pytest.approx(q[answer] - p[answer], abs=1e-9)
    assert found.kl == pytest.approx(math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True)), abs=1e-9)
    assert found.kl > -1e-12
    assert found.rank_before == sum(x > before[answer] for x in before)
    assert found.rank_after == sum(x > after[answer] for x in after)
    assert before[found.top_before] == max(before) and after[found.top_after] == max(after)


def test_no_change_has_no_effect():
    logits = torch.randn(50, generator=torch.Generator().manual_seed(0))
    found = effect(logits, logits + 3)  # a shift of all logits is none of the probabilities
    assert found.kl == pytest.approx(0, abs=1e-12) and found.delta_logp == pytest.approx(0, abs=1e-6)
    assert found.rank_before == found.rank_after == 0


def test_without_an_answer_the_first_choice_before_is_followed():
    found = effect(torch.tensor([0.0, 5.0, 1.0]), torch.tensor([9.0, 0.0, 1.0]))
    assert (found.answer, found.rank_before, found.rank_after, found.top_after) == (1, 0, 2, 0)
    assert found.rank_change == 2
    assert effect(torch.tensor([9.0, 0.0, 1.0]), torch.tensor([0.0, 5.0, 1.0]), 1).rank_change == -2


def test_effects_too_small_for_float32_are_seen():
    before = torch.zeros(4)
    after = torch.tensor([1e-9, 0, 0, 0], dtype=torch.float64)
    assert effect(before.double(), after, 0).delta_logp == pytest.approx(0.75e-9, rel=1e-3)


def test_a_forbidden_token_counts_nothing_in_the_divergence_and_an_impossible_one_everything():
    forbidden = torch.tensor([0.0, 0.0, -torch.inf])
    assert effect(forbidden, torch.zeros(3)).kl == pytest.approx(math.log(3 / 2))
    assert effect(torch.zeros(3), forbidden).kl == math.inf


def test_one_line_says_what_happened():
    found = effect(
        torch.tensor([0.0, 5.0, 1.0]), torch.tensor([9.0, 0.0, 1.0]), name=["red", "blue", "pink"].__getitem__
    )
    assert repr(found).startswith("Effect(blue: Δlog p -") and "rank 1 → 3" in repr(found)
    assert "blue → red" in repr(found) and "\n" not in repr(found)
    assert "first choice stays <1>" in repr(effect(torch.tensor([0.0, 5.0]), torch.tensor([0.0, 4.0])))


def test_logits_that_cannot_be_compared_are_refused():
    with pytest.raises(lab.InputError, match="of one token"):
        effect(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(lab.InputError, match="of one token"):
        effect(torch.zeros(3), torch.zeros(4))
    with pytest.raises(lab.InputError, match="outside the vocabulary of 3"):
        effect(torch.zeros(3), torch.zeros(3), 3)
    for answer in (2.7, "1", True, -1):
        with pytest.raises(lab.InputError, match=r"answer is .*; pass a whole number"):
            effect(torch.zeros(3), torch.zeros(3), answer)
    assert effect(torch.zeros(3), torch.zeros(3), torch.tensor(2)).answer == 2


@pytest.mark.parametrize("bad", [[math.nan, 0.0, 1.0], [math.inf, 0.0, 1.0], [-math.inf] * 3])
def test_what_is_no_probability_is_no_success(bad):
    """NaN is larger than nothing, so that it would rank first."""
    fine, broken = torch.tensor([0.0, 5.0, 1.0]), torch.tensor(bad)
    with pytest.raises(lab.InputError, match="logits after the edit hold no probabilities"):
        effect(fine, broken)
    with pytest.raises(lab.InputError, match="logits before the edit"):
        effect(broken, fine)


def test_an_edit_that_makes_nan_is_said_so():
    qwen = small()
    with pytest.raises(lab.InputError, match="after the edit hold no probabilities"):
        lab.edit_effect(qwen, IDS, lab.edit("layers.1.output").set(math.nan))
    with pytest.raises(lab.InputError, match="None is no edit"):
        lab.edit_effect(qwen, IDS, None)
    with pytest.raises(lab.InputError, match=r"answer is 2\.7"):
        lab.edit_effect(qwen, IDS, [], 2.7)
