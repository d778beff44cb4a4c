"""Norms and shares of the residual stream, and who reads from whom."""

import math

import pytest
import torch
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab.analysis import contributions, influence_map, layer_kinds, residual_stream, strongest_reader
from qwen35_lab.analysis.residual import TAPS


@pytest.mark.parametrize("raw", [DENSE, MOE], ids=["dense", "moe"])
def test_what_the_halves_add_is_what_the_stream_gains(raw):
    trace = small(raw).trace(IDS, TAPS)
    stream = residual_stream(trace)
    assert stream.shape == (5, len(IDS), 24)
    for n in range(4):
        gained = trace[f"layers.{n}.mixer.out"] + trace[f"layers.{n}.ffn.out"]
        torch.testing.assert_close(stream[n + 1] - stream[n], gained, atol=1e-5, rtol=1e-5)


def test_norms_and_cosines_one_vector_at_a_time():
    trace = small().trace(IDS)
    found = contributions(trace)
    for n in range(4):
        for token in range(len(IDS)):
            x, m, f = (trace[f"layers.{n}.{tap}"][token].tolist() for tap in ("input", "mixer.out", "ffn.out"))
            middle = [a + b for a, b in zip(x, m, strict=True)]
            assert found.stream[n, token] == pytest.approx(math.hypot(*x), rel=1e-5)
            assert found.mixer[n, token] == pytest.approx(math.hypot(*m), rel=1e-5)
            assert found.ffn[n, token] == pytest.approx(math.hypot(*f), rel=1e-5)
            assert found.mixer_cosine[n, token] == pytest.approx(cosine(m, x), abs=1e-5)
            assert found.ffn_cosine[n, token] == pytest.approx(cosine(f, middle), abs=1e-5)
    torch.testing.assert_close(found.output[:-1], found.stream[1:])


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


def test_half_precision_is_measured_in_float32():
    qwen = lab.from_config(DENSE, dtype="bfloat16")
    assert residual_stream(qwen.trace(IDS)).dtype == torch.float32


@pytest.mark.parametrize("pattern", ["LLLF", "FL", "F", "LLFLL"])
def test_the_kinds_of_layers_are_read_off_the_trace(pattern):
    names = {"L": "linear_attention", "F": "full_attention"}
    types = [names[letter] for letter in pattern]
    qwen = small(num_hidden_layers=len(types), layer_types=types)
    assert layer_kinds(qwen.trace(IDS)) == types


def test_kinds_that_the_trace_does_not_tell_are_refused():
    with pytest.raises(lab.InputError, match="what kind layer 0 is"):
        layer_kinds(small().trace(IDS, TAPS))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_influence_times_values_is_what_the_layer_reads(layer):
    trace = small().trace(IDS)
    M, v = influence_map(trace, layer), trace[f"layers.{layer}.mixer.v"]
    reads = torch.einsum("hij,jhv->ihv", M, v)
    torch.testing.assert_close(reads, trace[f"layers.{layer}.mixer.read"], atol=1e-5, rtol=1e-4)
    assert torch.equal(M, M.tril())  # nobody reads from the future


def test_the_strongest_reader_is_the_largest_entry_of_the_last_rows():
    trace = small().trace(IDS)
    rows = {(n, h): influence_map(trace, n)[h, -1, :-1].abs().max() for n in (0, 1, 2) for h in range(4)}
    assert strongest_reader(trace) == max(rows, key=lambda place: rows[place])
    assert strongest_reader(trace, [1])[0] == 1


def test_one_token_has_nobody_to_read_from():
    with pytest.raises(lab.InputError, match="at least two tokens"):
        strongest_reader(small().trace([1]))
