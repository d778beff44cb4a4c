"""Gaps between tensors and differences between traces."""

import math

import pytest
import torch
from small import IDS, MOE, small

import qwen35_lab as lab

ALL = ["*", *(f"layers.*.mixer.{name}" for name in ("erase", "write", "state", "scores", "weights"))]


def test_a_gap_is_relative_to_the_largest_reference_value():
    assert lab.gap(torch.tensor([1.0, 7.0]), torch.tensor([1.0, 8.0])) == 1 / 8
    assert lab.gap(torch.tensor([0.5]), torch.tensor([0.0])) == 0.5  # nothing to be relative to


def test_infinities_that_agree_are_no_difference_and_others_are():
    inf = torch.inf
    assert lab.gap(torch.tensor([-inf, 1.0]), torch.tensor([-inf, 2.0])) == 0.5
    assert lab.gap(torch.tensor([-inf, 1.0]), torch.tensor([3.0, 1.0])) == inf
    assert lab.gap(torch.tensor([inf]), torch.tensor([-inf])) == inf


def test_nan_is_below_no_bound():
    assert math.isnan(lab.gap(torch.tensor([math.nan, 1.0]), torch.tensor([1.0, 1.0])))


def test_shapes_that_differ_are_refused_and_not_broadcast():
    with pytest.raises(lab.InputError, match=r"\[3\] and \[1\]"):
        lab.gap(torch.ones(3), torch.ones(1))


def test_a_trace_does_not_differ_from_itself():
    trace = small().trace(IDS)
    differences = lab.diff(trace, trace)
    assert differences.first() is None
    assert [d.name for d in differences] == list(trace)


def test_the_first_difference_is_where_the_change_was_made():
    qwen = small()
    before = qwen.trace(IDS)
    with torch.no_grad():
        qwen.model.layers[2].ffn.down_proj.weight[0] += 0.1
    first = lab.diff(before, qwen.trace(IDS)).first()
    assert first and first.name == "layers.2.ffn.out"


def test_a_difference_that_is_nan_is_found():
    qwen = small()
    before = qwen.trace(IDS)
    with torch.no_grad():
        qwen.model.layers[1].ffn.down_proj.weight[0, 0] = math.nan
    first = lab.diff(before, qwen.trace(IDS)).first()
    assert first and first.name == "layers.1.ffn.out"


def test_the_table_names_every_value_in_text_and_html():
    trace = small().trace(IDS, ["layers.*.mixer.out"])
    differences = lab.diff(trace, trace)
    for name in trace:
        assert name in repr(differences) and name in differences._repr_html_()


def test_of_different_texts_the_common_beginning_is_compared_and_the_table_says_so():
    qwen = small()
    one, other = qwen.trace(IDS, ALL), qwen.trace([*IDS[:7], 0, 0], ALL)
    found = lab.diff(one, other)
    assert found.tokens == 7 and found.first() is None and [d.name for d in found] == list(one)
    words = "The first 7 tokens are the same and are compared; token 7 is '<6>' in one trace and '<0>' in the other."
    assert found.note == words and words in repr(found) and "first 7 tokens" in found._repr_html_()
    part = lab.diff(one, qwen.trace(IDS[:4], ALL))
    assert part.first() is None and "have 11 and 4 tokens; the 4 that both have are compared" in repr(part)
    assert lab.diff(one, one).note == "" and lab.diff(one, one).tokens == 11


def test_generations_that_part_can_be_compared():
    qwen = small()
    runs = [qwen.trace(IDS, ALL, max_new_tokens=5, temperature=3.0, seed=seed) for seed in (1, 2)]
    assert runs[0].tokens != runs[1].tokens
    found = lab.diff(*runs)
    assert len(IDS) <= found.tokens < len(IDS) + 4 and found.first() is None


def test_a_value_of_another_shape_is_a_row_that_says_its_shapes():
    qwen = small(MOE)
    found = lab.diff(qwen.trace(IDS), qwen.trace(IDS, "*", lab.routing(layer=1, top_k=1)))
    rows = {d.name: d for d in found}
    assert rows["layers.1.ffn.expert_ids"].shapes == ("token 11 × choice 2", "token 11 × choice 1")
    assert rows["layers.0.ffn.out"].gap == 0 and rows["layers.0.ffn.out"].shapes is None
    first = found.first()
    assert first is rows["layers.1.ffn.expert_ids"]
    assert repr(first) == "layers.1.ffn.expert_ids has another shape: token 11 × choice 2 and token 11 × choice 1"
    line = next(line for line in repr(found).splitlines() if line.startswith("layers.1.ffn.expert_ids"))
    assert "token 11 × choice 2" in line and "other shape" in line


def test_models_of_other_widths_and_other_kinds_of_layers_are_compared_as_far_as_they_go():
    wide = lab.diff(small().trace(IDS), small(hidden_size=36).trace(IDS))
    shapes = {d.name: d.shapes for d in wide}
    assert shapes["embed"] == ("token 11 × feature 24", "token 11 × feature 36") and not shapes["layers.0.mixer.q"]
    kinds, sizes = ["full_attention", "linear_attention"] * 2, {"linear_num_key_heads": 4, "linear_key_head_dim": 16}
    mixed = lab.diff(small(**sizes).trace(IDS), small(layer_types=kinds, **sizes).trace(IDS))
    found = next(d for d in mixed if d.name == "layers.0.mixer.q")  # the same sizes, but of other things
    assert found.shapes == ("token 11 × key_head 4 × key 16", "token 11 × head 4 × feature 16")


@pytest.mark.parametrize(
    "ids, record, problem",
    [([1, 2], ["logits"], "begin with different tokens"), (IDS, ["embed"], "no value in common")],
)
def test_traces_that_cannot_be_compared_are_refused(ids, record, problem):
    qwen = small()
    with pytest.raises(lab.InputError, match=problem):
        lab.diff(qwen.trace(IDS, ["logits"]), qwen.trace(ids, record))


def test_what_is_no_trace_is_refused():
    trace = small().trace(IDS, "embed")
    for pair in ((trace, 3), (None, trace)):
        with pytest.raises(lab.InputError, match=r"is no trace; pass two that qwen.trace"):
            lab.diff(*pair)
