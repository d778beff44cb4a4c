"""The logit lens against its equation, computed here one layer and one token at a time."""

import pytest
import torch
from small import DENSE, IDS, MOE, small
from torch.nn import functional as F

import qwen35_lab as lab
from qwen35_lab.analysis import lens as module


def by_hand(qwen: lab.Qwen, x: torch.Tensor) -> torch.Tensor:
    """Probabilities of one vector of the stream."""
    normed = x / (x.pow(2).sum() / len(x) + qwen.config.text.rms_norm_eps).sqrt() * (1 + qwen.model.norm.weight)
    head = qwen.model.embed_tokens if qwen.model.lm_head is None else qwen.model.lm_head
    return F.softmax(torch.stack([row @ normed for row in head.weight]), dim=0)


@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense, tied", "moe, untied"])
def test_every_layer_and_token_is_the_equation(raw):
    qwen = small(raw)
    trace = qwen.trace(IDS)
    lens = lab.logit_lens(qwen.model, trace, k=4)
    states = [trace["embed"], *(trace[f"layers.{n}.output"] for n in range(4))]
    assert lens.ids.shape == lens.probabilities.shape == (5, len(IDS), 4)
    for row, state in enumerate(states):
        for token in range(len(IDS)):
            wanted = by_hand(qwen, state[token]).detach()
            best = wanted.sort(descending=True)
            assert lens.ids[row, token].tolist() == best.indices[:4].tolist()
            torch.testing.assert_close(lens.probabilities[row, token], best.values[:4], atol=1e-6, rtol=1e-5)


def test_after_the_last_layer_it_is_the_prediction_of_the_model():
    qwen = small()
    trace = qwen.trace(IDS)
    lens = lab.logit_lens(qwen.model, trace, k=3)
    best = trace["logits"].softmax(-1).topk(3)
    torch.testing.assert_close(lens.probabilities[-1], best.values)
    assert torch.equal(lens.ids[-1], best.indices)
    assert (lens.chosen_rank[-1] == 0).all()


def test_the_rank_counts_the_tokens_that_are_better():
    qwen = small()
    trace = qwen.trace(IDS)
    lens = lab.logit_lens(qwen.model, trace, k=40)
    final = trace["logits"].argmax(-1)
    for row in range(5):
        for token in range(len(IDS)):
            assert lens.ids[row, token].tolist().index(int(final[token])) == lens.chosen_rank[row, token]


@pytest.mark.parametrize("ranks, settled", [([3, 0, 0], 1), ([0, 0, 0], 0), ([0, 2, 0], 2), ([5, 1, 0], 2)])
def test_it_has_settled_from_where_on_the_best_guess_stays(ranks, settled):
    rank = torch.tensor(ranks)[:, None]
    assert lab.analysis.Lens(rank, rank, rank).settled(0) == settled


def test_long_prompts_in_blocks_give_the_same(monkeypatch):
    qwen = small()
    trace = qwen.trace(IDS)
    whole = lab.logit_lens(qwen.model, trace)
    monkeypatch.setattr(module, "BLOCK", 3 * 40)  # three tokens at a time
    parts = lab.logit_lens(qwen.model, trace)
    assert torch.equal(whole.ids, parts.ids) and torch.equal(whole.chosen_rank, parts.chosen_rank)
    torch.testing.assert_close(whole.probabilities, parts.probabilities)


def test_a_trace_of_another_model_is_refused():
    with pytest.raises(lab.InputError, match="24 features and the model 36"):
        lab.logit_lens(small(hidden_size=36).model, small().trace(IDS))


def test_a_trace_without_the_stream_is_refused_with_a_remedy():
    qwen = small()
    with pytest.raises(lab.InputError, match=r"record .*layers\.\*\.output"):
        lab.logit_lens(qwen.model, qwen.trace(IDS, ["logits"]))


def test_the_last_recorded_layer_is_not_taken_for_the_last_one():
    qwen = small()
    trace = qwen.trace(IDS, ["layers.0.input", "layers.[01].output"])
    with pytest.raises(lab.InputError, match="stream after 2 of 4 layers"):
        lab.logit_lens(qwen.model, trace)


def test_it_takes_the_model_or_its_holder_and_refuses_what_is_no_count():
    qwen = small()
    trace = qwen.trace(IDS)
    assert torch.equal(lab.logit_lens(qwen, trace).ids, lab.logit_lens(qwen.model, trace).ids)
    for k in (0, -1, 2.5):
        with pytest.raises(lab.InputError, match=r"k is .*; pass a whole number, 1 or more"):
            lab.logit_lens(qwen, trace, k=k)
