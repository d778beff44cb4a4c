"""Drafts watched: tapes hold the text that plain decoding writes, and counts are what counting by hand gives."""

import math

import pytest
import torch
from small import DENSE, small

import qwen35_lab as lab
from qwen35_lab.analysis import acceptance, draft_speed, record_tapes
from qwen35_lab.analysis.drafting import DraftSpeed
from qwen35_lab.analysis.taking_back import WAYS
from qwen35_lab.speculative import Draft

MTP = {**DENSE, "mtp_num_hidden_layers": 1, "tie_word_embeddings": False, "vocab_size": 6}
PROMPT, NEW, COUNTS = [3, 1, 4, 1, 5], 24, (0, 1, 3)


@pytest.fixture(scope="module")
def qwen():
    """A model with a head, and words for its tokens."""
    found = small(MTP, seed=5)
    found.model.double()
    found.token_text = lambda token: f"t{token}"
    return found


@pytest.fixture(scope="module")
def tapes(qwen):
    return record_tapes(qwen, PROMPT, NEW, COUNTS)


def test_every_tape_holds_the_text_of_plain_decoding(qwen, tapes):
    text = tuple(qwen.generate(torch.tensor(PROMPT), NEW).tolist())
    assert [tape.tokens for tape in tapes.tapes] == [text] * 3
    assert tapes.prompt == tuple(PROMPT) and set(text) <= set(tapes.names)
    assert tapes.names[text[0]] == f"t{text[0]}"


def test_a_tape_is_the_record_of_its_generation(qwen, tapes):
    drafts = lab.Drafts(3)
    qwen.generate(torch.tensor(PROMPT), NEW, speculative=drafts)
    assert tapes[3].steps == tuple(drafts.steps) and tapes[3].per_forward == drafts.per_forward
    assert tapes[0].per_forward == 1 and all(len(step.tokens) == 1 for step in tapes[0].steps)
    assert 0 < sum(step.accepted for step in tapes[3].steps) < sum(len(step.drafted) for step in tapes[3].steps)


@torch.no_grad()
def test_the_states_are_compared_with_those_of_the_text_alone(qwen, tapes):
    """Written again, the slow way: both caches are made anew for every pass."""
    last, before, found = tapes[3].first, list(PROMPT), []
    for step in tapes[3].steps:
        kept = [last, *step.drafted[: step.accepted]]
        right, wrong = qwen.model.new_cache(), qwen.model.new_cache()
        qwen.model(torch.tensor([[*before, *kept]]), cache=right)
        qwen.model(torch.tensor([[*before, last, *step.drafted]]), cache=wrong)
        pairs = [(a.state, b.state) for a, b in zip(wrong.layers, right.layers, strict=True) if hasattr(a, "state")]
        found.append(max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs))
        before, last = before + kept, step.tokens[-1]
    torch.testing.assert_close(tapes[3].states[:, WAYS.index("crop")], torch.tensor(found).double())
    assert tapes[3].states[:, : WAYS.index("crop")].max() < 1e-12 < 1e-3 < max(found)


def test_a_text_of_one_token_has_no_passes(qwen):
    tape = record_tapes(qwen, PROMPT, 1, (2,))[2]
    assert tape.steps == () and len(tape.tokens) == 1 and math.isnan(tape.per_forward)
    assert tape.states.shape == (0, len(WAYS))


def test_acceptance_counts_only_drafts_that_were_up_for_a_decision():
    steps = [Draft(0, (1, 2, 3), 3, (1, 2, 3, 4)), Draft(4, (5, 6, 7), 1, (5, 9)), Draft(6, (8,), 0, (1,))]
    found = acceptance(steps)
    assert found.offered == (3, 2, 1) and found.accepted == (2, 1, 1)
    assert found.shares == [2 / 3, 1 / 2, 1] and found.overall == 4 / 6


def test_nothing_drafted_is_no_acceptance():
    assert acceptance([Draft(0, (), 0, (1,))]).offered == ()
    assert math.isnan(acceptance([]).overall)


def test_speed_has_a_row_for_every_text(qwen):
    found = draft_speed(qwen, [PROMPT, [2, 2]], NEW, (1, 3), repeats=2)
    assert found.counts == (0, 1, 3) and found.same
    assert found.tokens.tolist() == [NEW, NEW] and found.passes[:, 0].tolist() == [NEW, NEW]
    drafts = lab.Drafts(3)
    rates = []
    for prompt in (PROMPT, [2, 2]):
        qwen.generate(torch.tensor(prompt), NEW, speculative=drafts)
        rates.append(drafts.per_forward)
    assert found.per_forward[:, 2].tolist() == pytest.approx(rates)
    assert all(len(steps) == int(n - 2) for steps, n in zip(found.steps, found.passes.sum(0), strict=True))
    assert (found.seconds > 0).all() and found.noise >= 1


def test_speeds_are_of_all_texts_together():
    passes, seconds = torch.tensor([[10.0, 5.0], [3.0, 3.0]]), torch.tensor([[2.0, 1.0], [1.0, 1.0]])
    found = DraftSpeed((0, 2), torch.tensor([10.0, 3.0]), passes, seconds, ((), ()), True, 1.0, "TINY · x")
    assert found.per_forward.tolist() == [[1, 9 / 4], [1, 1]]
    per_pass, per_token = found.together
    assert per_pass.tolist() == pytest.approx([1, 11 / 6]) and per_token.tolist() == pytest.approx([3 / 13, 2 / 13])
    assert found.speedup.tolist() == [1, 1.5]


def test_a_model_without_a_head_is_refused():
    with pytest.raises(lab.InputError, match="no MTP head"):
        record_tapes(small(), PROMPT, 4, (2,))
