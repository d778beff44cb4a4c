"""The balance loss against its definition, routers that come back, and distinct experts against counting."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis import (
    Routes,
    active_share,
    balance_loss,
    even_out,
    expected_touched,
    imitate,
    lean,
    step_bytes,
    touched_experts,
)
from qwen35_lab.family.sizes import parameters


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------- balance


@given(tokens=st.integers(1, 20), experts=st.integers(1, 6), seed=st.integers(0, 999))
def test_the_loss_is_the_sum_of_its_definition(tokens, experts, seed):
    logits, k = drawn(tokens, experts, seed=seed).double(), 1 + seed % experts
    total = 0.0
    for e in range(experts):
        f = sum(e in row.topk(k).indices for row in logits) / (k * tokens)
        P = sum(math.exp(row[e]) / sum(map(math.exp, row.tolist())) for row in logits) / tokens
        total += experts * f * P
    assert float(balance_loss(logits, k)) == pytest.approx(total)


def test_even_is_one_and_collapsed_is_experts_over_k():
    assert float(balance_loss(1e-4 * drawn(4000, 8), 2)) == pytest.approx(1, abs=1e-3)
    collapsed = torch.zeros(5, 8).index_fill(1, torch.tensor([1, 6]), 60.0)
    assert float(balance_loss(collapsed, 2)) == pytest.approx(4)
    e = math.exp(0.5)
    assert float(balance_loss(collapsed, 2, softmaxes=2)) == pytest.approx(8 * e / (2 * e + 6))


def test_a_leaning_router_scores_its_experts_higher_by_so_much_on_the_mean():
    router, x = drawn(6, 8), drawn(50, 8, seed=1) + 0.5
    moved = (x @ lean(router, x, [0, 3], 2.5).T - x @ router.T).mean(0)
    torch.testing.assert_close(moved, torch.tensor([2.5, 0, 0, 2.5, 0, 0]), atol=1e-4, rtol=0)


def test_one_softmax_evens_a_router_out_and_two_are_behind():
    x = drawn(400, 16) + 1
    start = lean(0.3 * drawn(8, 16, seed=1), x, [0, 1])
    kept = start.clone()
    one, two = (even_out(start, x, 2, softmaxes=n, steps=12) for n in (1, 2))
    assert torch.equal(start, kept) and len(one.loss) == len(one.busiest) == 12
    assert float(one.busiest[0]) > 2.9 and float(one.busiest[-1]) < 0.8 * float(two.busiest[-1])
    assert float(one.loss[0]) == pytest.approx(float(balance_loss(x @ start.T, 2)))


def test_a_pace_means_the_same_at_every_scale_of_the_inputs():
    x, router = drawn(200, 16) + 1, drawn(8, 16, seed=1)
    a, b = even_out(router, x, 2, steps=5), even_out(router / 10, 10 * x, 2, steps=5)
    torch.testing.assert_close(a.loss, b.loss, atol=1e-4, rtol=1e-4)


def test_a_layer_that_imitates_learns_and_the_coefficient_evens_it_out():
    qwen = small(MOE, num_experts_per_tok=2)
    x = drawn(600, 24) + 0.7
    with torch.no_grad():
        y = qwen.model.layers[0].ffn(x[None])[0]
    begun, none, much = (
        imitate(qwen.config.text, x, y, c, experts=8, steps=n) for c, n in ((0.0, 1), (0.0, 80), (1.0, 80))
    )
    assert none.error < 0.5 * begun.error
    assert much.busiest < none.busiest and float(much.load.sum()) == pytest.approx(1)
    assert torch.equal(imitate(qwen.config.text, x, y, 1.0, experts=8, steps=80).load, much.load), "not reproducible"


# ------------------------------------------------------------------------- touched


def test_the_expectation_is_the_mean_over_all_choices():
    choices = [(a, b) for a in range(4) for b in range(a)]
    mean = sum(len({*x, *y, *z}) for x, y, z in product(choices, repeat=3)) / len(choices) ** 3
    assert expected_touched(4, 2, 3) == pytest.approx(mean)
    assert expected_touched(4, 2, 0) == 0 and expected_touched(4, 2, 1) == pytest.approx(2)


def routed(ids: torch.Tensor, document: torch.Tensor, experts: int) -> Routes:
    return Routes(torch.zeros(len(ids), experts), ids, torch.zeros(len(ids), 1), document, ("a",))


def test_the_simulation_follows_the_formula_and_neighbours_do_not_leave_their_document():
    ids = (drawn(4000, 8) + torch.linspace(0, 2, 8)).topk(2).indices
    found = touched_experts(routed(ids, torch.arange(4000) // 50, 8), [1, 3, 10], draws=2000)
    torch.testing.assert_close(found.strangers, found.loads, atol=0.01, rtol=0)
    assert (found.even[1:] > found.loads[1:] + 0.005).all(), "uneven loads touch fewer"
    alike = (torch.arange(400) // 10)[:, None] % 4 * 2 + torch.arange(2)
    found = touched_experts(routed(alike, torch.arange(400) // 10, 8), [1, 5, 10])
    assert found.neighbours.tolist() == [0.25] * 3


@pytest.mark.parametrize("name", ["Qwen3.5-35B-A3B", "Qwen3.5-397B-A17B"])
def test_a_step_reads_what_one_token_needs_and_in_the_end_nearly_everything(name):
    config = lab.load_config(name)
    count = parameters(config)
    assert step_bytes(config, 1) == pytest.approx(2 * count.read_per_token)
    assert step_bytes(config, 10**6, "fp8") == pytest.approx(count.text - count.embedding)
    found = active_share(config)
    assert (found.active, found.text) == (count.active, count.text)
    assert found.experts == (config.text.num_experts_per_tok + 1) / config.text.num_experts


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda: expected_touched(4, 5, 1), "top_k is 5"),
        (lambda: expected_touched(4, 2, -1), "tokens is -1"),
        (lambda: step_bytes(lab.load_config("0.8B"), 1), "no experts"),
        (lambda: active_share(lab.load_config("0.8B")), "no experts"),
        (lambda: step_bytes(lab.load_config("35B-A3B"), 1, "fp3"), "fp3"),
        (lambda: balance_loss(torch.zeros(0, 4), 2), "0 tokens"),
        (lambda: balance_loss(torch.zeros(3, 4), 5), "top_k is 5"),
        (lambda: touched_experts(routed(torch.zeros(4, 1).long(), torch.arange(4), 2), [2]), "No document has 2"),
        (lambda: even_out(drawn(4, 4), drawn(5, 4), 1, steps=0), "steps is 0"),
    ],
)
def test_what_cannot_be_computed_is_refused(act, words):
    with pytest.raises(lab.InputError, match=words):
        act()
