"""What the counter sees, what it passes over, and that watching leaves nothing behind."""

import torch
from small import IDS, MOE, small
from torch.nn import functional as F

from qwen35_lab.analysis import count_mixer, count_operators, written_out
from qwen35_lab.config import FULL, LINEAR
from qwen35_lab.model import taps

A, B = torch.ones(3, 4), torch.ones(4, 5)


def test_products_are_counted_and_sums_are_passed_over():
    count = count_operators(lambda: (A @ B).exp())
    assert count.flops == count.operators["mm"].flops == 2 * 3 * 4 * 5
    assert count.passed_over == ["exp"]
    assert count.moved == 2 * 15 * 4, "read once and written once, four bytes each"
    assert count.operators["mm"].moved == 4 * (12 + 20 + 15)


def test_views_and_room_move_nothing_that_was_not_there():
    count = count_operators(lambda: (A.T.reshape(12), A.expand(7, 3, 4) + 1, A.new_zeros(2, 2)))
    assert count.operators["new_zeros"].moved == 16
    assert count.operators["add"].moved == 4 * (12 + 7 * 12), "an expanded operand is read as often as it has numbers"
    assert "new_zeros" not in count.passed_over


def test_fused_attention_on_a_cpu_and_the_triangular_solve_get_nothing():
    """The blind spots of which the notebook and the cost explorer speak."""
    q = torch.ones(1, 2, 8, 16)
    fused = count_operators(lambda: F.scaled_dot_product_attention(q, q, q, is_causal=True))
    assert fused.flops == 0 and "_scaled_dot_product_flash_attention_for_cpu" in fused.passed_over
    solve = count_operators(lambda: torch.linalg.solve_triangular(torch.eye(8), torch.eye(8), upper=False))
    assert solve.flops == 0 and solve.passed_over == ["linalg_solve_triangular"]
    assert "linalg_solve_triangular" in count_mixer(small().config, LINEAR, 9).passed_over


def test_written_out_attention_is_seen_and_fused_attention_is_not():
    config = small().config
    seen = count_mixer(config, FULL, 10, device="cpu")
    fused = count_mixer(config, FULL, 10, attention="fused", device="cpu")
    assert seen.flops - fused.flops == 4 * 10 * 10 * config.text.num_attention_heads * config.text.head_dim
    assert seen.flops == count_mixer(config, FULL, 10).flops, "the meta device counts alike"


def test_modules_have_the_flops_of_their_parts():
    model = small(MOE).model
    with written_out(model):
        count = count_operators(lambda: model(torch.tensor([IDS])), model)
    layers = sum(count.modules[f"layers.{n}"] for n in range(4))
    head = 2 * len(IDS) * model.config.hidden_size * model.config.vocab_size
    assert count.flops == layers + head
    assert count.modules["layers.3"] == count.modules["layers.3.mixer"] + count.modules["layers.3.ffn"]


def test_nobody_listens_afterwards_and_the_result_is_the_same():
    model = small().model
    ids = torch.tensor([IDS])
    with torch.no_grad():
        before = model(ids).logits
        with written_out(model):
            inside = model(ids).logits
            assert dict(taps(model))["layers.3.mixer.weights"].wanted
        after = model(ids).logits
    assert not any(tap.wanted for _, tap in taps(model))
    torch.testing.assert_close(inside, before)
    assert torch.equal(before, after)


def test_the_table_has_what_counts_first_and_says_what_it_leaves_out():
    count = count_mixer(small().config, LINEAR, 70)
    table = count.table(5)
    first, second = (count.operators[row[0]] for row in table.rows[:2])
    assert {row[0] for row in table.rows[:2]} == {"bmm", "mm"} and len(table.rows) == 5
    assert first.flops > second.flops > 0
    assert "more operators that got none are left out" in table.caption
    assert "left out" not in count.table(99).caption
