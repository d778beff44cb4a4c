"""Gaps between tensors and differences between traces."""

import math

import pytest
import torch
from small import IDS, small

import qwen35_lab as lab


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


@pytest.mark.parametrize(
    "ids, record, problem", [([1, 2], ["logits"], "different tokens"), (IDS, ["embed"], "no value in common")]
)
def test_traces_that_cannot_be_compared_are_refused(ids, record, problem):
    qwen = small()
    with pytest.raises(lab.InputError, match=problem):
        lab.diff(qwen.trace(IDS, ["logits"]), qwen.trace(ids, record))
