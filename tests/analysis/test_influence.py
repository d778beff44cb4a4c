"""O = M V to 1e-9 in float64, and M taken apart: by what happened since, by chunk, by kind of layer."""

import json
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import IDS, small
from torch import Tensor

import qwen35_lab as lab
from qwen35_lab.analysis import (
    assemble,
    attention_map,
    influence_map,
    influence_parts,
    layer_kinds,
    routing_of,
    strongest_reader,
    within_chunk_mask,
)  # fmt: skip
from qwen35_lab.analysis.influence import assemble_influence, split_influence
from qwen35_lab.model.delta_rule import recurrent
from qwen35_lab.model.norm import l2_norm
from qwen35_lab.paths import data_path
from qwen35_lab.recall import batch, microscopes

EXACT = {"atol": 1e-12, "rtol": 1e-12}
SHAPES = {"T": st.integers(1, 30), "G": st.integers(1, 2), "share": st.integers(1, 3), "K": st.integers(1, 5)}
GATES = {"decay": st.sampled_from(["random", "none"]), "strength": st.sampled_from(["random", "none", "full"])}


def inputs(T: int, G: int, share: int, K: int, seed: int, decay: str = "random", strength: str = "random"):
    """q, k [T, G, K], g, beta [T, G · share]; half-lives from under one token to hundreds."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    q, k = l2_norm(normal(T, G, K)) * K**-0.5, l2_norm(normal(T, G, K) + 1)
    g, beta = -0.1 * normal(T, G * share).exp(), normal(T, G * share).sigmoid()
    return q, k, g * (decay == "random"), {"random": beta, "none": beta * 0, "full": beta * 0 + 1}[strength]


def naive_parts(q: Tensor, k: Tensor, g: Tensor, beta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Follow what each token puts under its key, one number at a time: faded only, and faded and erased."""
    T, H = beta.shape
    direct, faded, kept = (torch.zeros(H, T, T, dtype=torch.float64) for _ in range(3))
    for h in range(H):
        of = h * k.shape[1] // H
        for j in range(T):
            written = k[j, of] * beta[j, h]
            only_faded, memory = written.clone(), written.clone()
            for i in range(j, T):
                if i > j:
                    only_faded, memory = only_faded * g[i, h].exp(), memory * g[i, h].exp()
                    memory = memory - k[i, of] * beta[i, h] * (k[i, of] @ memory)
                direct[h, i, j], faded[h, i, j] = q[i, of] @ written, q[i, of] @ only_faded
                kept[h, i, j] = q[i, of] @ memory
    return direct, faded - direct, kept - faded


@cache
def recall_trace() -> lab.Trace:
    ids = batch(1, 0).inputs[0]
    return lab.load("recall", dtype="float64").trace(ids, ["*", "layers.*.mixer.weights"])


def assert_reads_are_influence_times_values(trace: lab.Trace, layer: int):
    """To 1e-9 of the largest read."""
    v, read = trace[f"layers.{layer}.mixer.v"], trace[f"layers.{layer}.mixer.read"]
    assert float(read.abs().max()) > 0
    for M in (influence_map(trace, layer), influence_parts(trace, layer).total, assemble(trace, layer, 16).sum(0)):
        assert lab.gap(torch.einsum("hij,jhv->ihv", M, v), read) < 1e-9


@pytest.mark.parametrize("name", ["recall", *microscopes()])
def test_influence_times_values_is_what_every_layer_of_every_shipped_model_reads(name: str):
    qwen = lab.load(name, dtype="float64")
    trace = qwen.trace(batch(1, 0).inputs[0])
    layers = [n for n, kind in enumerate(qwen.config.text.layer_types) if kind == "linear_attention"]
    assert layers
    for layer in layers:
        assert_reads_are_influence_times_values(trace, layer)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_influence_times_values_is_what_a_layer_of_the_smallest_family_member_reads(seed: int):
    """A whole layer, with its projections and its convolution, at random weights."""
    raw = json.loads(data_path("family", "Qwen3.5-0.8B.json").read_text())["text_config"]
    raw |= {"num_hidden_layers": 1, "layer_types": ["linear_attention"], "vocab_size": 100, "intermediate_size": 8}
    qwen = small(raw, seed)
    ids = torch.randint(100, (96,), generator=torch.Generator().manual_seed(seed))
    text = qwen.config.text
    assert (text.linear_num_value_heads, text.linear_value_head_dim, text.hidden_size) == (16, 128, 1024)
    qwen.model.double()
    assert_reads_are_influence_times_values(qwen.trace(ids, "layers.0.mixer.*"), 0)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_influence_times_values_is_the_recurrence_at_the_shape_of_the_smallest_family_member(seed: int):
    text = lab.load_config("Qwen3.5-0.8B").text
    G, H, K = text.linear_num_key_heads, text.linear_num_value_heads, text.linear_key_head_dim
    x = inputs(96, G, H // G, K, seed)
    v = torch.randn(96, H, text.linear_value_head_dim, generator=torch.Generator().manual_seed(seed)).double()
    q, k, g, beta = (a[None] for a in x)
    o = recurrent(q, k, v[None], g, beta)[0][0]
    for M in (split_influence(*x).total, assemble_influence(*x, chunk_size=64).sum(0)):
        torch.testing.assert_close(torch.einsum("hij,jhv->ihv", M, v), o, atol=1e-9, rtol=1e-9)


@settings(max_examples=40)
@given(**SHAPES, **GATES, seed=st.integers(0, 2**31))
def test_the_parts_are_what_following_each_write_finds(T, G, share, K, decay, strength, seed):
    x = inputs(T, G, share, K, seed, decay, strength)
    parts, (direct, decayed, erased) = split_influence(*x), naive_parts(*x)
    torch.testing.assert_close(parts.direct, direct, **EXACT)
    torch.testing.assert_close(parts.decayed, decayed, **EXACT)
    torch.testing.assert_close(parts.erased, erased, **EXACT)
    torch.testing.assert_close(parts.total, direct + decayed + erased, **EXACT)
    torch.testing.assert_close(parts.without_erase, direct + decayed, **EXACT)


def test_the_parts_of_a_trace_sum_to_its_map():
    for layer in (0, 1, 2):
        torch.testing.assert_close(
            influence_parts(recall_trace(), layer).total, influence_map(recall_trace(), layer), **EXACT
        )


def test_leaving_out_the_erase_is_as_wrong_as_the_largest_erased_entry():
    q, k, g, beta = inputs(20, 1, 2, 4, seed=0)
    beta = beta * torch.tensor([1.0, 0.0])  # the second head writes nothing, so it has nothing to be wrong about
    parts, (direct, decayed, erased) = split_influence(q, k, g, beta), naive_parts(q, k, g, beta)
    expected = erased[0].abs().max() / (direct + decayed + erased)[0].abs().max()
    assert parts.wrongness().tolist() == pytest.approx([float(expected), 0.0])
    assert expected > 0.1


def test_one_key_written_twice_at_full_strength_leaves_nothing_of_the_first_value():
    k = torch.ones(2, 1, 1, dtype=torch.float64)
    parts = split_influence(k, k, torch.zeros(2, 1), torch.ones(2, 1))
    assert parts.total[0].tolist() == [[1, 0], [0, 1]]
    assert parts.without_erase[0].tolist() == [[1, 0], [1, 1]]


def test_strong_decay_over_a_long_text_stays_finite():
    q, k, g, beta = inputs(200, 1, 1, 4, seed=0)
    parts = split_influence(q, k, g * 0 - 1e4, beta)
    assert all(x.isfinite().all() for x in (parts.direct, parts.decayed, parts.erased))


@settings(max_examples=40)
@given(**SHAPES, **GATES, chunk_size=st.integers(1, 33), seed=st.integers(0, 2**31))
def test_chunks_add_up_to_the_map_each_with_the_rows_of_its_own_tokens(
    T, G, share, K, decay, strength, chunk_size, seed
):
    x = inputs(T, G, share, K, seed, decay, strength)
    added = assemble_influence(*x, chunk_size)
    torch.testing.assert_close(added.sum(0), sum(naive_parts(*x)), **EXACT)
    for n, rows in enumerate(torch.arange(T).split(chunk_size)):
        others = torch.ones(T, dtype=torch.bool).index_fill(0, rows, False)
        assert not added[n][:, others].any()
    assert len(added) == -(-T // chunk_size)


def test_only_entries_through_the_state_change_when_the_state_is_dropped_between_chunks():
    q, k, g, beta = inputs(22, 1, 2, 4, seed=0)
    within = within_chunk_mask(22, 8)
    alone = torch.zeros(2, 22, 22, dtype=torch.float64)
    for piece in (slice(0, 8), slice(8, 16), slice(16, 22)):
        alone[:, piece, piece] = split_influence(q[piece], k[piece], g[piece], beta[piece]).total
    M = assemble_influence(q, k, g, beta, 8).sum(0)
    torch.testing.assert_close(M * within, alone, **EXACT)
    assert (M * ~within).abs().max() > 1e-3
    assert torch.equal(within_chunk_mask(5, 5), torch.ones(5, 5).tril().bool())


def test_the_softmax_map_is_the_recorded_one():
    weights = attention_map(recall_trace(), 3)
    q, k = recall_trace()["layers.3.mixer.q"], recall_trace()["layers.3.mixer.k"]
    head = 3
    scores = q[:, head] @ k[:, head // 2].T / q.shape[-1] ** 0.5
    later = torch.ones_like(scores).triu(1).bool()
    torch.testing.assert_close(weights[head], scores.masked_fill(later, -torch.inf).softmax(-1), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name, words", [("erase", "erase"), ("write", "write"), ("state", "state"), ("*", "erase")])
@pytest.mark.parametrize("where", [{}, {"token": 3}, {"token": slice(1, 4), "head": [0, 2]}])
def test_a_layer_whose_memory_was_edited_has_no_map(name, words, where):
    """M V is then not what was read."""
    qwen = small()
    edits = [
        lab.edit("layers.[01].mixer.beta", token=2).scale(0.5),
        lab.edit(f"layers.[0].mixer.{name}", **where).scale(3),
    ]
    trace = qwen.trace(IDS, "*", edits[: 1 + (name != "*")])
    if name != "*":
        for analysis in (influence_map, influence_parts, lambda *a: assemble(*a, chunk_size=4)):
            with pytest.raises(
                lab.InputError, match=rf"layers\.0\.mixer\.{words} was edited in this trace.*no longer M V"
            ):
                analysis(trace, 0)
    M, v, read = influence_map(trace, 1), trace["layers.1.mixer.v"], trace["layers.1.mixer.read"]  # another layer
    assert lab.gap(torch.einsum("hij,jhv->ihv", M, v), read) < 1e-5


def test_edits_of_what_goes_into_the_rule_leave_the_map_exact():
    edits = [lab.edit(f"layers.*.mixer.{name}", token=4).scale(0.3) for name in ("q", "k", "v", "beta", "decay")]
    trace = small().trace(IDS, "*", [lab.edit("layers.0.mixer.v", head=1).add(1), *edits])
    M, v, read = influence_map(trace, 0), trace["layers.0.mixer.v"], trace["layers.0.mixer.read"]
    assert lab.gap(torch.einsum("hij,jhv->ihv", M, v), read) < 1e-5


def test_a_layer_that_is_not_there_is_refused_with_those_that_are():
    trace = small().trace(IDS)
    for analysis in (influence_map, influence_parts, attention_map, routing_of):
        with pytest.raises(lab.InputError, match="nothing of layer 99, only of layers 0 to 3"):
            analysis(trace, 99)
        for wrong in (-1, None, 1.5, "0"):
            with pytest.raises(lab.InputError, match=r"layer is .*; pass a whole number, 0 or more"):
                analysis(trace, wrong)
    assert torch.equal(influence_map(trace, torch.tensor(1)), influence_map(trace, 1))
    with pytest.raises(lab.InputError, match=r'only of layer 1; .*record "layers\.3\.mixer\.weights"'):
        attention_map(small().trace(IDS, "layers.1.*"), 3)
    with pytest.raises(lab.InputError, match=r'nothing of the mixers.*record "layers\.\*\.mixer\.\*"'):
        strongest_reader(small().trace(IDS, "logits"))
    with pytest.raises(lab.InputError, match="A Qwen is no trace"):
        influence_map(small(), 0)


@pytest.mark.parametrize("record", ["q", "k", "v"])
def test_the_kind_of_a_layer_shows_in_the_axes_of_what_both_kinds_have(record):
    trace = small().trace(IDS, [f"layers.*.mixer.{record}", "layers.*.mixer.out"])
    with pytest.raises(lab.InputError, match=r"attention layer.*attention_map\(trace, 3\)"):
        influence_map(trace, 3)
    with pytest.raises(lab.InputError, match=r"DeltaNet layer.*influence_map\(trace, 0\)"):
        attention_map(trace, 0)
    assert layer_kinds(trace) == ["linear_attention"] * 3 + ["full_attention"]


def test_a_map_that_is_not_there_is_refused_with_what_to_do():
    trace = small().trace(IDS)
    with pytest.raises(lab.InputError, match=r'not recorded.*record "layers\.3\.mixer\.weights"'):
        attention_map(trace, 3)
    with pytest.raises(lab.InputError, match=r"DeltaNet layer.*influence_map\(trace, 0\)"):
        attention_map(trace, 0)
    for analysis in (influence_map, influence_parts, lambda *a: assemble(*a, chunk_size=4)):
        with pytest.raises(lab.InputError, match=r"attention layer.*attention_map\(trace, 3\)"):
            analysis(trace, 3)
    with pytest.raises(lab.InputError, match=r'record "layers\.1\.mixer\.k", "layers\.1\.mixer\.beta"'):
        influence_parts(small().trace(IDS, ["layers.1.mixer.q", "layers.1.mixer.decay"]), 1)


def test_chunks_that_make_no_sense_are_refused():
    with pytest.raises(lab.InputError, match="chunk_size is 0; pass a whole number, 1 or more"):
        assemble(recall_trace(), 0, 0)
    with pytest.raises(lab.InputError, match=r"chunk_size is 2\.5"):
        assemble(recall_trace(), 0, 2.5)
    with pytest.raises(lab.InputError, match="larger chunk_size"):
        assemble_influence(*inputs(1000, 1, 1, 2, seed=0), chunk_size=1)
