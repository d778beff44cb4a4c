"""Counts against counting, entropies against sums, and what rounding can do to a choice."""

import math
from collections import Counter
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import IDS, MOE, small
from torch import Tensor

import qwen35_lab as lab
from qwen35_lab.analysis import coactivation, jensen_shannon, routing, routing_of, ties

CASES = {"tokens": st.integers(1, 30), "experts": st.integers(1, 8), "seed": st.integers(0, 2**31)}
WEIGHTS = st.lists(st.floats(0, 1), min_size=5, max_size=5).filter(lambda x: sum(x) > 1e-3)


def logits(tokens: int, experts: int, seed: int = 0) -> Tensor:
    return torch.randn(tokens, experts, generator=torch.Generator().manual_seed(seed))


def chosen(tokens: int, experts: int, seed: int) -> Tensor:
    return logits(tokens, experts, seed).topk(1 + seed % experts).indices


@given(**CASES)
def test_load_is_the_share_of_choices(tokens, experts, seed):
    ids = chosen(tokens, experts, seed)
    found, counted = routing.load(ids, experts), Counter(ids.flatten().tolist())
    assert found.tolist() == pytest.approx([counted[e] / ids.numel() for e in range(experts)])
    assert float(found.sum()) == pytest.approx(1)


def test_weighted_load_counts_what_each_answer_counts():
    ids, weights = torch.tensor([[0, 2], [2, 1]]), torch.tensor([[0.75, 0.25], [0.5, 0.5]])
    assert routing.load(ids, 4, weights).tolist() == [0.375, 0.25, 0.375, 0]


@given(**CASES)
def test_loads_of_groups_average_to_the_load(tokens, experts, seed):
    ids = chosen(tokens, experts, seed)
    groups = ["letter" if t % 3 else "digit" for t in range(tokens)]
    found = routing.load_by(ids, groups, experts)
    assert list(found) == list(dict.fromkeys(groups))
    average = sum(found[label] * groups.count(label) / tokens for label in found)
    torch.testing.assert_close(average, routing.load(ids, experts))
    torch.testing.assert_close(found["digit"], routing.load(ids[::3], experts))


@given(**CASES)
def test_entropy_is_the_sum_of_its_definition(tokens, experts, seed):
    x = logits(tokens, experts, seed).double()
    for row, found in zip(x.tolist(), routing.entropy(x).tolist(), strict=True):
        total = math.fsum(math.exp(v) for v in row)
        expected = -math.fsum(math.exp(v) / total * math.log(math.exp(v) / total) for v in row)
        assert found == pytest.approx(expected, abs=1e-12)


def test_normalised_entropy_is_one_without_preference_and_zero_without_doubt():
    x = torch.tensor([[0.0, 0.0, 0.0], [0.0, 200.0, 0.0]])
    assert routing.entropy(x, normalised=True).tolist() == pytest.approx([1, 0])
    assert float(routing.entropy(x)[0]) == pytest.approx(math.log(3))
    assert float(routing.entropy(torch.zeros(1), normalised=True)) == 0  # a single expert


@given(**CASES)
def test_pairs_are_counted_once_per_token(tokens, experts, seed):
    ids = chosen(tokens, experts, seed)
    pairs = Counter(pair for row in ids.tolist() for pair in permutations(row, 2))
    alone = Counter(ids.flatten().tolist())
    found = coactivation(ids, experts)
    for a in range(experts):
        for b in range(experts):
            assert int(found[a, b]) == (pairs[a, b] if a != b else alone[a])


@given(a=WEIGHTS, b=WEIGHTS)
def test_jensen_shannon_is_the_mean_divergence_from_the_middle(a, b):
    p, q = ([x / sum(row) for x in row] for row in (a, b))
    middle = [(x + y) / 2 for x, y in zip(p, q, strict=True)]

    def kl(x: list[float]) -> float:
        return math.fsum(u * math.log2(u / m) for u, m in zip(x, middle, strict=True) if u > 0)

    found = jensen_shannon(torch.tensor(p).double(), torch.tensor(q).double())
    assert float(found) == pytest.approx((kl(p) + kl(q)) / 2, abs=1e-6)  # p and q went through float32
    assert 0 <= float(found) <= 1


def test_jensen_shannon_is_zero_for_equal_and_one_for_disjoint_and_its_root_is_the_distance():
    p, q = torch.tensor([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])
    assert jensen_shannon(p, q).tolist() == pytest.approx([0, 1])
    half = jensen_shannon(p[0], p[1])
    assert 0 < float(half) < 1 and float(jensen_shannon(p[0], p[1], distance=True)) == pytest.approx(float(half) ** 0.5)


@given(a=WEIGHTS, b=WEIGHTS, c=WEIGHTS)
def test_the_distance_takes_no_short_cuts(a, b, c):
    p, q, r = (torch.tensor(x).double() / torch.tensor(x).double().sum() for x in (a, b, c))
    pq, qr, pr = (float(jensen_shannon(x, y, distance=True)) for x, y in ((p, q), (q, r), (p, r)))
    assert pr <= pq + qr + 1e-7  # a root of a rounded zero


@settings(max_examples=200)
@given(**CASES, top_k=st.integers(1, 8), scale=st.sampled_from([0.001, 0.1, 10.0]))
def test_rounding_changes_a_choice_only_where_it_makes_a_tie(tokens, experts, seed, top_k, scale):
    top_k = min(top_k, experts)
    x = 3 + scale * logits(tokens, experts, seed)
    found = ties(x, top_k)
    assert not (found.changed & ~found.rounded).any()
    assert not (found.exact & ~found.rounded).any()
    for t in range(tokens):
        ranked = sorted(x[t].tolist(), reverse=True)
        margin = ranked[top_k - 1] - ranked[top_k] if top_k < experts else math.inf
        assert float(found.margin[t]) == pytest.approx(margin)
        assert bool(found.exact[t]) == (margin == 0)
        before, after = (
            {e for _, e in sorted((-v, e) for e, v in enumerate(row.tolist()))[:top_k]}
            for row in (x[t], x[t].bfloat16().float())
        )
        assert bool(found.changed[t]) == (before != after)


def test_a_choice_that_bfloat16_turns_round():
    # 1.001 and 1.002 are one number in bfloat16, and then the lower expert wins
    x = torch.tensor([[1.001, 1.002, 0.0], [1.002, 1.001, 0.0], [1.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    found = ties(x, 1)
    assert found.changed.tolist() == [True, False, False, False]
    assert found.rounded.tolist() == [True, True, True, False]
    assert found.exact.tolist() == [False, False, True, False]
    assert not ties(x, 1, torch.float32).changed.any()
    assert not ties(x, 3).rounded.any()  # who chooses everybody refuses nobody


def test_the_routing_of_a_traced_layer():
    trace = small(MOE).trace(IDS)
    found = routing_of(trace, 2)
    scores, ids = trace["layers.2.ffn.router_logits"], trace["layers.2.ffn.expert_ids"]
    assert torch.equal(found.ids, scores.topk(2).indices)
    assert torch.equal(found.coactivation.diagonal(), torch.bincount(ids.flatten(), minlength=6))
    assert int(found.coactivation.sum()) == len(IDS) * 2 * 2
    assert float(found.load.sum()) == pytest.approx(1) and float(found.weighted_load.sum()) == pytest.approx(1)
    assert found.entropy.shape == found.ties.margin.shape == (len(IDS),)
    torch.testing.assert_close(found.weights.sum(-1), torch.ones(len(IDS)).double(), atol=1e-6, rtol=0)


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(lab.InputError, match="no routing"):
        routing_of(small().trace(IDS), 0)
    with pytest.raises(lab.InputError, match=r'record "layers\.0\.ffn\.expert_ids"'):
        routing_of(small(MOE).trace(IDS, ["layers.0.ffn.router_logits", "layers.0.ffn.expert_weights"]), 0)
    with pytest.raises(lab.InputError, match="Expert 7 is not one of 6"):
        routing.load(torch.tensor([[7, 1]]), 6)
    with pytest.raises(lab.InputError, match="no choices"):
        coactivation(torch.zeros(0, 2), 6)
    with pytest.raises(lab.InputError, match="2 labels"):
        routing.load_by(torch.zeros(3, 2), "ab", 6)
    with pytest.raises(lab.InputError, match="top_k is 4"):
        ties(torch.zeros(2, 3), 4)
    for q in (torch.tensor([0.5, 0.6]), torch.tensor([1.5, -0.5]), torch.tensor([1 / 3] * 3)):
        with pytest.raises(lab.InputError, match="distributions"):
            jensen_shannon(torch.tensor([0.5, 0.5]), q)
