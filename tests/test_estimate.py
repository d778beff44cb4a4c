"""What a run takes, told before it is run, against what it took."""

import pytest
import torch
from peak import measured
from small import DENSE, IDS, MOE, small

import qwen35_lab as lab
from qwen35_lab import estimate, memory

LAZY = [f"layers.*.mixer.{name}" for name in ("erase", "write", "state", "scores", "weights")]
WIDE = {"hidden_size": 64, "intermediate_size": 192, "max_position_embeddings": 8192}
CPU = torch.device("cpu")


# ------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("moe", [False, True])
def test_what_is_kept_is_told_exactly(dtype, moe):
    qwen = lab.from_config(small(MOE if moe else DENSE).config, dtype=dtype)
    runs: list[tuple] = [((), 0), ((), 4)]
    runs += [(lab.routing(layer=1, top_k=5), 0), ([lab.routing(top_k=3), lab.routing(top_k=1)], 0)] if moe else []
    for edits, new in runs:
        found = qwen.trace(IDS, ["*", *LAZY], edits, max_new_tokens=new)
        sizes = qwen.trace_size(IDS, ["*", *LAZY], edits, max_new_tokens=new)
        assert sizes.keys() == found.tensors.keys() and len(found.steps) == new
        for name, tensor in found.tensors.items():
            assert sizes[name] == tensor.numel() * tensor.element_size(), name
        assert sizes.kept == found.nbytes() < sizes.peak
    if moe:
        with qwen.edited(lab.routing(top_k=1)):  # what is turned already counts too
            assert qwen.trace_size(IDS, "layers.0.ffn.expert_ids").kept == 8 * len(IDS)


# ------------------------------------------------------------------------- the peak


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "tokens, record, edits, new",
    [
        (300, "layers.0.output", (), 0),  # nothing to keep: what computing takes
        (300, "*", (), 0),
        (300, ["*", *LAZY], (), 0),
        (600, "layers.3.mixer.weights", (), 0),  # a map of all tokens, several times over
        (600, "layers.3.mixer.scores", (), 0),
        (300, "layers.0.output", lab.edit("layers.3.mixer.weights").scale(2), 0),  # formed for an edit alone
        (300, "layers.0.output", lab.edit("layers.3.mixer.weights", query=5).zero(), 0),
        (300, "layers.0.output", lab.edit("layers.*.mixer.state").scale(0.5), 0),
        (300, ["*", *LAZY], (), 6),  # every tap in pieces that are joined
        (2200, "layers.0.output", (), 3),  # a prompt in two pieces, the second looks back
    ],
)
def test_the_peak_is_what_is_measured_or_a_little_more(dtype, tokens, record, edits, new):
    """At most twice: parts of a layer are counted as if all of their values were there together."""
    for raw in (DENSE, MOE | {"num_experts_per_tok": 5}):
        qwen = lab.from_config({**raw, **WIDE}, dtype=dtype)
        ids = [n % 40 for n in range(tokens)]
        qwen.trace(ids[:3], "embed")
        told = qwen.trace_size(ids, record, edits, max_new_tokens=new).peak
        found = measured(lambda: qwen.trace(ids, record, edits, max_new_tokens=new))  # noqa: B023
        assert found <= told <= 2 * found, (found, told)


@pytest.mark.parametrize("record, most", [("layers.0.output", 0.2), ("logits", 1.3)])
def test_scores_of_a_large_vocabulary_take_room_only_where_they_are_asked_for(record, most):
    qwen = lab.from_config(DENSE | {"vocab_size": 50_000})
    ids, logits = [1] * 200, 4 * 200 * 50_000
    found, told = measured(lambda: qwen.trace(ids, record)), qwen.trace_size(ids, record).peak
    assert found <= told <= 2 * found and found < most * logits


# ------------------------------------------------------------------------- the refusal


@pytest.fixture
def room(monkeypatch):
    """Sets how many bytes are free."""
    return lambda size: monkeypatch.setattr(estimate, "free", lambda device, enough: size)


@pytest.mark.parametrize(
    "record, edits, new",
    [
        ("*", (), 0),
        ("*", (), 5),
        ("layers.0.mixer.state", (), 0),
        ("embed", lab.edit("layers.3.mixer.scores").add(1), 0),
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_run_and_what_fits_is_run(room, record, edits, new):
    qwen, ran = small(), []
    told = qwen.trace_size(IDS, record, edits, max_new_tokens=new).peak
    qwen.model.register_forward_pre_hook(lambda *a: ran.append(1))
    room(told - 1)
    with pytest.raises(lab.InputError, match="are free; "):
        qwen.trace(IDS, record, edits, max_new_tokens=new)
    assert not ran
    room(told)
    assert qwen.trace(IDS, record, edits, max_new_tokens=new) and ran


def test_pieces_that_are_joined_count_twice():
    qwen = small(num_hidden_layers=1, linear_key_head_dim=64, linear_value_head_dim=64)
    ids, state = [1] * 200, "layers.0.mixer.state"
    sizes = qwen.trace_size(ids, state)
    assert sizes.peak == 2 * sizes.kept
    assert 1.9 * sizes.kept < measured(lambda: qwen.trace(ids, state)) <= sizes.peak * 1.01
    whole = qwen.trace_size([1] * 900, "logits", max_new_tokens=2)  # in a generation everything comes in pieces
    assert whole.joining == whole.kept and qwen.trace_size([1] * 900, "logits").joining == 0


def test_new_tokens_count():
    qwen = small(max_position_embeddings=8192)
    one, many = (qwen.trace_size(IDS, "*", max_new_tokens=new) for new in (1, 1001))
    assert many["embed"] == one["embed"] * (len(IDS) + 1000) / len(IDS) and many.cache > one.cache > 0


def test_the_refusal_says_what_takes_the_room_and_what_to_do(room):
    qwen = small()
    room(100_000)
    with pytest.raises(
        lab.InputError, match=r"Recording 2 values of 30 tokens takes .* kB, of which .* are kept .* 100 kB"
    ):
        qwen.trace([1] * 30, ["embed", "layers.0.mixer.state"])
    room(2_000_000)
    with pytest.raises(lab.InputError, match=r"record fewer taps \(layers.0.mixer.state alone takes 1.38 MB\)"):
        qwen.trace([1] * 900, ["layers.*.mixer.state", "*"])
    with pytest.raises(lab.InputError, match=r"for computing layers.3.mixer, .*; leave out layers.3.mixer.weights, or"):
        qwen.trace([1] * 900, "embed", lab.edit("layers.3.mixer.weights", head=0).zero())
    with pytest.raises(lab.InputError, match="free; take a shorter text"):
        qwen.trace([1] * 900, "embed")


# ------------------------------------------------------------------------- what is free


def test_free_memory_is_what_the_machine_has_at_most():
    assert 0 < memory.free(CPU) <= memory.total()
    assert memory.in_words(12_345_678) == "12.3 MB" and memory.in_words(999) == "999 bytes"


@pytest.mark.parametrize("limit, used, details, reclaimable", memory.LIMITS, ids=["cgroup 2", "cgroup 1"])
def test_a_containers_limit_holds_and_files_in_its_cache_are_room(
    monkeypatch, tmp_path, limit, used, details, reclaimable
):
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    without = memory.free(CPU)
    (tmp_path / limit).parent.mkdir(exist_ok=True)
    (tmp_path / limit).write_text("1000000\n")
    (tmp_path / used).write_text("700000\n")
    assert memory.free(CPU) == 300_000
    (tmp_path / details).write_text(f"anon 5\n{reclaimable} 200000\nslab 7\n")
    assert memory.free(CPU) == 500_000
    (tmp_path / used).write_text("1300000\n")
    assert memory.free(CPU) == 0
    (tmp_path / limit).write_text("max\n")
    assert memory.free(CPU) == pytest.approx(without, rel=0.2)
