"""Heads of gated attention: measured against the layer's own output, and on weights and gates made by hand."""

import math

import pytest
import torch
from small import IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis.heads import attention_result, head_statistics

RECORD = ["*", "layers.3.mixer.weights"]


@pytest.mark.parametrize("raw", [None, MOE])
def test_the_result_through_gate_and_matrix_is_the_layers_output(raw):
    qwen = small() if raw is None else small(raw)
    trace = qwen.trace(IDS, RECORD)
    y = attention_result(trace, 3) * trace["layers.3.mixer.gate"]
    with torch.no_grad():
        out = qwen.model.layers[3].mixer.o_proj(y.flatten(1))
    torch.testing.assert_close(out, trace["layers.3.mixer.out"], rtol=1e-4, atol=1e-5)


def test_a_gate_of_one_suppresses_nothing_and_a_half_suppresses_half():
    for value, suppressed in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)):
        edit = lab.edit("layers.3.mixer.gate").set(value)
        found = head_statistics(small().trace(IDS, RECORD, edits=[edit]), 3)
        torch.testing.assert_close(found.suppressed, torch.full((4,), suppressed))
        torch.testing.assert_close(found.gate, torch.full((4,), value))
        assert found.shut.tolist() == [float(value < 0.1)] * 4


def test_where_a_head_looks():
    T = len(IDS)
    weights = torch.zeros(4, T, T)
    weights[0] = torch.eye(T)  # looks at itself
    weights[1, :, 0] = 1  # a sink
    weights[2, 0, 0] = 1
    weights[2, torch.arange(1, T), torch.arange(T - 1)] = 1  # the token before
    weights[3] = torch.ones(T, T).tril() / torch.arange(1, T + 1)[:, None]  # all alike
    found = head_statistics(small().trace(IDS, RECORD, edits=[lab.edit("layers.3.mixer.weights").set(weights)]), 3)
    torch.testing.assert_close(found.own[:2], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(found.sink[:3], torch.tensor([0.0, 1.0, 1 / (T - 1)]))
    torch.testing.assert_close(found.distance, torch.tensor([0.0, T / 2, 1.0, T / 4]))
    even = sum(math.log(n) for n in range(2, T + 1)) / (T - 1)
    torch.testing.assert_close(found.entropy, torch.tensor([0.0, 0.0, 0.0, even]))


def test_what_is_missing_is_named():
    qwen = small()
    with pytest.raises(lab.InputError, match=r"record .*layers.3.mixer.weights"):
        head_statistics(qwen.trace(IDS), 3)
    with pytest.raises(lab.InputError, match="DeltaNet layer"):
        head_statistics(qwen.trace(IDS, RECORD), 1)
    with pytest.raises(lab.InputError, match="longer prompt"):
        head_statistics(qwen.trace(IDS[:1], RECORD), 3)
