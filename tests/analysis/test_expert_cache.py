"""Hit rates out of one trace, against an LRU that is played through, and against what a model really reads."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis import asked_experts, hit_rates


@given(st.lists(st.integers(0, 6), min_size=1, max_size=50))
def test_every_budget_has_the_rate_of_an_lru_that_is_played_through(asked):
    for room, rate in enumerate(hit_rates(asked, 8).tolist(), 1):
        kept: list[int] = []  # the last used one last
        hits = 0
        for key in asked:
            hits += key in kept
            kept = [*(other for other in kept if other != key), key][-room:]
        assert rate == hits / len(asked)


@pytest.mark.parametrize("piece", [2048, 3])
def test_a_trace_tells_what_a_run_with_any_budget_reads(piece, tmp_path, monkeypatch):
    monkeypatch.setattr("qwen35_lab.generate.PREFILL_TOKENS", piece)  # longer prompts are read in pieces
    lab.save(small(MOE), tmp_path / "x")
    qwen = lab.load(tmp_path / "x", experts="disk")
    rates = hit_rates(asked_experts(qwen.trace(IDS, "layers.*.ffn.expert_ids", max_new_tokens=9)), 24)
    for budget in (1, 5, 9, 24):
        qwen.experts.keep(budget)
        qwen.experts.forget()
        qwen.generate(IDS, max_new_tokens=9)
        assert qwen.experts.hit_rate == pytest.approx(rates[budget - 1].item(), abs=1e-12)
    assert rates[-1] > 0.3


def test_a_pass_asks_for_each_expert_once_layer_by_layer():
    ids = {"layers.10.ffn.expert_ids": [[5, 0], [0, 5], [4, 5]], "layers.0.ffn.expert_ids": [[3, 1], [1, 2], [0, 3]]}
    trace = lab.Trace(
        ["a", "b", "c"], torch.arange(3), {n: torch.tensor(v) for n, v in ids.items()},
        dict.fromkeys(ids, ("token", "choice")), lab.load("recall").provenance,
    )  # fmt: skip
    assert asked_experts(trace) == [(0, 0), (0, 1), (0, 2), (0, 3), (10, 0), (10, 4), (10, 5)]
    alone = [(0, 1), (0, 3), (10, 0), (10, 5), (0, 1), (0, 2), (10, 0), (10, 5), (0, 0), (0, 3), (10, 4), (10, 5)]
    assert asked_experts(trace, one_by_one=True) == alone


def test_what_has_no_rate_is_refused():
    with pytest.raises(lab.InputError, match="holds no routing"):
        asked_experts(lab.load("recall").trace("cat red", "logits"))
    with pytest.raises(lab.InputError, match="Nothing was asked for"):
        hit_rates([], 3)
